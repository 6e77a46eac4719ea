import Foundation

/// The folder of a filesystem store, filled as `docs/formats.md` says and not by the store itself.
struct StoreFolder {
    let url: URL

    /// Makes an empty store.
    init(_ url: URL) throws {
        self.url = url
        for folder in ["objects", "tmp"] {
            try FileManager.default.createDirectory(
                at: url.appending(path: folder), withIntermediateDirectories: true)
        }
        try Data(repeating: 0, count: 8).write(to: url.appending(path: "lock"))
        try Data("t4 filesystem store 1\n".utf8).write(to: url.appending(path: "format"))
    }

    /// Puts an object whose name has only letters, digits, `-`, `_`, `.` and `/`.
    func put(_ name: String, _ body: String) throws {
        func littleEndian(_ number: UInt64, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(number >> (8 * $0) & 255) }
        }
        var bytes = Array("T4OBJECT".utf8) + littleEndian(1, 4) + littleEndian(0, 4)
        bytes += littleEndian(UInt64(body.utf8.count), 8) + [UInt8](repeating: 7, count: 16)
        let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        bytes += littleEndian(hash, 8) + Array(body.utf8)
        let file = url.appending(path: "objects/\(name)=")
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }
}
