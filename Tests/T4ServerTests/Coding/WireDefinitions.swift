import Foundation

/// The definitions in `Protos`.
enum WireDefinitions {
    /// The text of each file.
    static func texts() throws -> [String] {
        var root = URL(filePath: #filePath)
        for _ in 0..<4 { root.deleteLastPathComponent() }
        let folder = root.appending(path: "Protos")
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".proto") }
        return try names.map { try String(contentsOf: folder.appending(path: $0), encoding: .utf8) }
    }
}
