import Foundation
import Testing

/// One Swift file of the repository.
struct SourceFile: Sendable {
    /// Path below the repository's root, `Sources/T4Core/Node.swift` for instance.
    var path: String
    /// Its lines, as they are.
    var lines: [String]
    /// Its lines without comments and without the insides of string literals: what a rule about code looks at.
    var code: [String]

    init(path: String, text: String) {
        self.path = path
        self.lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        // No rule looks at generated code closer than at its imports, and there is a lot of it.
        self.code = (path.hasPrefix("Sources/EtcdAPI/") ? text : strippingCommentsAndStrings(text))
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    /// The name of the file without its folders.
    var name: String { path.split(separator: "/").last.map(String.init) ?? path }
}

/// A place where a rule is broken.
struct Finding: Hashable, Sendable, CustomStringConvertible {
    var path: String
    /// From 1.
    var line: Int
    var reason: String

    var description: String { "\(path):\(line): \(reason)" }
}

/// Where the repository lies: two folders above this file's folder.
let repositoryRoot = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// Every Swift file of the repository, read once for all rules.
let repositoryFiles = Result {
    try ["Sources", "Tests", "Examples", "Benchmarks"].flatMap(swiftFiles(below:)).sorted { $0.path < $1.path }
}

/// Every Swift file below a folder; a folder that does not exist counts as empty.
private func swiftFiles(below folder: String) throws -> [SourceFile] {
    let top = repositoryRoot.appending(path: folder)
    guard let walk = FileManager.default.enumerator(atPath: top.path) else { return [] }
    var files: [SourceFile] = []
    for case let relative as String in walk
    where relative.hasSuffix(".swift") && !relative.split(separator: "/").contains(where: { $0.hasPrefix(".") }) {
        let text = try String(contentsOf: top.appending(path: relative), encoding: .utf8)
        files.append(SourceFile(path: "\(folder)/\(relative)", text: text))
    }
    return files
}

/// Replaces comments and the insides of string literals by spaces and keeps every line break.
///
/// Interpolated code inside strings goes too; no rule needs it.
func strippingCommentsAndStrings(_ text: String) -> String {
    var result: [UInt8] = []
    let bytes = Array(text.utf8)
    result.reserveCapacity(bytes.count)
    var index = 0

    func matches(_ wanted: StaticString, at start: Int) -> Bool {
        let count = wanted.utf8CodeUnitCount
        guard start + count <= bytes.count else { return false }
        for offset in 0..<count where bytes[start + offset] != wanted.utf8Start[offset] { return false }
        return true
    }
    func skip(_ count: Int) {
        for _ in 0..<count where index < bytes.count {
            result.append(bytes[index] == UInt8(ascii: "\n") ? bytes[index] : UInt8(ascii: " "))
            index += 1
        }
    }
    func skip(to end: StaticString, escapes: Bool) {
        while index < bytes.count, !matches(end, at: index) {
            skip(escapes && bytes[index] == UInt8(ascii: "\\") ? 2 : 1)
        }
        skip(end.utf8CodeUnitCount)
    }

    while index < bytes.count {
        // Few bytes can begin a comment or a string: the others need no closer look.
        guard
            bytes[index] == UInt8(ascii: "/") || bytes[index] == UInt8(ascii: "\"") || bytes[index] == UInt8(ascii: "#")
        else {
            result.append(bytes[index])
            index += 1
            continue
        }
        if matches("//", at: index) {
            while index < bytes.count, bytes[index] != UInt8(ascii: "\n") { skip(1) }
        } else if matches("/*", at: index) {
            skip(2)
            skip(to: "*/", escapes: false)
        } else if matches("#\"\"\"", at: index) {
            skip(4)
            skip(to: "\"\"\"#", escapes: false)
        } else if matches("#\"", at: index) {
            skip(2)
            skip(to: "\"#", escapes: false)
        } else if matches("\"\"\"", at: index) {
            skip(3)
            skip(to: "\"\"\"", escapes: true)
        } else if matches("\"", at: index) {
            skip(1)
            skip(to: "\"", escapes: true)
        } else {
            result.append(bytes[index])
            index += 1
        }
    }
    return String(decoding: result, as: UTF8.self)
}
