// Goal: whatever is wrong with a file, `t4 config check` names the place, the key, the reason and the way out.
// Method: each file of the folder BadFiles has its own defect. Its first lines, `# expect: PLACE: MESSAGE`, say what
// must be reported, all of it and nothing else; where the defect leaves no readable comment, a file NAME.expected does.
import Foundation
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Config

@Suite(
    .enabled(
        if: BackendRegistry.builtIn.engineNames.contains("lmdb") && BackendRegistry.builtIn.storeNames.contains("s3"),
        "the files set up lmdb and s3"))
struct BadFileTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "BadFiles")

    private static func names(ending: String) -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(ending) }
                .sorted()
        } catch {
            return []
        }
    }

    @Test func thereAreManyFilesWithDefectsOfTheirOwn() throws {
        let names = Self.names(ending: ".toml")
        #expect(names.count >= 110)
        let expectations = try names.map { try Self.expectation(of: $0) }
        #expect(Set(expectations).count == names.count, "two files expect the same")
        for name in Self.names(ending: ".expected") {
            #expect(names.contains(name.replacing(".expected", with: ".toml")), "\(name) belongs to no file")
        }
    }

    @Test(arguments: names(ending: ".toml"))
    func isReported(_ name: String) throws {
        let wanted = try Self.expectation(of: name)
        let file = Self.folder.appending(path: name).path
        let error = #expect(throws: ConfigurationError.self) {
            try Configuration.load(file: file, environment: [:], registry: .builtIn)
        }
        let found = error?.problems.map { "\($0)".replacing("\(file):", with: "") } ?? []
        #expect(found == wanted)
        #expect(!found.joined().contains("hunter2"))
    }

    /// What each problem's line must be, without the file's name.
    private static func expectation(of name: String) throws -> [String] {
        let sibling = folder.appending(path: name.replacing(".toml", with: ".expected"))
        let isApart = FileManager.default.fileExists(atPath: sibling.path)
        let data = try Data(contentsOf: isApart ? sibling : folder.appending(path: name))
        let lines = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
        let mark = "# expect: "
        let registry = BackendRegistry.builtIn
        let lists = [
            "{engines}": registry.engineNames, "{stores}": (registry.storeNames + ["none"]).sorted(),
            "{store tables}": registry.storeNames,
        ]
        return lines.compactMap { line -> String? in
            let line = line.hasPrefix("\u{FEFF}") ? String(line.dropFirst()) : line
            guard line.hasPrefix(mark) else { return nil }
            return lists.reduce(String(line.dropFirst(mark.count))) { text, list in
                text.replacing(list.key, with: list.value.joined(separator: ", "))
            }
        }
    }
}
