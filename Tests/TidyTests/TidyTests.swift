// Goal: what a formatter cannot see of the house rules holds for every file of the repository.
// Method: each rule is a function over one file, tried on a file that breaks it, on one that keeps it, and on the tree.
import Foundation
import Testing

@Suite struct TidyTests {
    @Test(arguments: Rule.all)
    func findsWhatBreaksIt(_ rule: Rule) {
        #expect(!rule.check(rule.broken).isEmpty)
    }

    @Test(arguments: Rule.all)
    func acceptsWhatKeepsIt(_ rule: Rule) {
        #expect(rule.check(rule.kept).isEmpty)
    }

    @Test(arguments: Rule.all)
    func holdsInTheRepository(_ rule: Rule) throws {
        let files = try repositoryFiles.get().filter { file in
            rule.folders.contains { file.path.hasPrefix("\($0)/") }
        }
        try #require(!files.isEmpty)
        for finding in files.flatMap(rule.check) {
            Issue.record("\(finding)")
        }
    }

    /// Each scenario names tests, and they exist.
    @Test func everyFailureScenarioHasItsTest() throws {
        let document = repositoryRoot.appending(path: "docs/failure-scenarios.md")
        let rows = try String(contentsOf: document, encoding: .utf8).split(separator: "\n")
            .filter { $0.hasPrefix("| ") && !$0.hasPrefix("| what happens") }
        try #require(rows.count > 30)
        let tests = try repositoryFiles.get().filter { $0.path.hasPrefix("Tests/") }.flatMap(\.code).joined(
            separator: "\n")
        for row in rows {
            let last = row.split(separator: "|").last ?? ""
            let names = last.matches(of: /`(?<name>\w+)`/).map(\.name)
            #expect(!names.isEmpty, "\(row)")
            for name in names { #expect(tests.contains("func \(name)("), "no test \(name): \(row)") }
        }
    }

    /// The lines of other systems' guides name tests, and they exist.
    @Test func theTestsOfGuidesExist() throws {
        let document = repositoryRoot.appending(path: "docs/guides.md")
        let rows = try String(contentsOf: document, encoding: .utf8).split(separator: "\n").filter {
            $0.hasPrefix("| ")
        }
        let tests = try repositoryFiles.get().filter { $0.path.hasPrefix("Tests/") }.flatMap(\.code).joined(
            separator: "\n")
        let names = rows.flatMap { row in
            (row.split(separator: "|").last ?? "").matches(of: /`(?<name>\w+)`/).map { String($0.name) }
        }
        try #require(names.count > 25)
        for name in names { #expect(tests.contains("func \(name)("), "no test \(name)") }
    }

    @Test(arguments: [
        ("import A", "A"), ("public import A", "A"), ("@testable import A", "A"),
        ("@_exported public import struct A.B", "A"), ("  internal import A.B", "A"),
    ])
    func readsImports(_ line: String, _ module: String) {
        #expect(importedModule(line) == module)
    }

    @Test(arguments: ["// import A", "importA", "let import = 1", ""])
    func readsNoImport(_ line: String) {
        #expect(importedModule(SourceFile(path: "A.swift", text: line).code[0]) == nil)
    }

    @Test func leavesCodeAndBlanksTheRest() {
        let text = "a(\"b \\\" // c\") // d\n/* e\n f */ g \"\"\"\n h \"\n \"\"\" i #\"j\"k\"# l"
        let stripped = strippingCommentsAndStrings(text)
        #expect(stripped.filter { !$0.isWhitespace } == "a()gil")
        #expect(stripped.count(where: \.isNewline) == text.count(where: \.isNewline))
    }
}

extension String {
    fileprivate func count(where wanted: (Character) -> Bool) -> Int { reduce(0) { wanted($1) ? $0 + 1 : $0 } }
}
