import Foundation

/// A log segment as bytes on disk: a header of 72 bytes, then frames with a length word and a checksum before each
/// payload, up to a zero length.
struct LogFile {
    let url: URL
    private let bytes: [UInt8]

    struct Frame {
        let offset: Int
        /// From the length word to the end of the payload, in bytes.
        let size: Int
    }

    /// The segment that was written last.
    static func last(in dataDirectory: URL) throws -> LogFile {
        let folder = dataDirectory.appending(path: "wal")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".wal") }
        guard let name = names.max() else { throw ProcessFailure("no segment in \(folder.path)") }
        let url = folder.appending(path: name)
        return LogFile(url: url, bytes: Array(try Data(contentsOf: url)))
    }

    var frames: [Frame] {
        var frames: [Frame] = []
        var offset = 72
        while offset + 8 <= bytes.count {
            let word = bytes[offset..<offset + 4].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            // The highest bit marks the first frame of a batch; a word of ones begins the footer.
            let length = Int(word & 0x7fff_ffff)
            if length == 0 || word == .max { break }
            frames.append(Frame(offset: offset, size: 8 + length))
            offset += 8 + length
        }
        return frames
    }

    /// Where the next frame would begin.
    var end: Int { frames.last.map { $0.offset + $0.size } ?? 72 }

    func overwrite(at offset: Int, with new: [UInt8]) throws {
        let file = try FileHandle(forWritingTo: url)
        try file.seek(toOffset: UInt64(offset))
        try file.write(contentsOf: new)
        try file.close()
    }

    func flipBit(at offset: Int) throws {
        try overwrite(at: offset, with: [bytes[offset] ^ 1])
    }

    /// What the file holds after `flipBit`.
    func flipped(at offset: Int) -> [UInt8] {
        var bytes = bytes
        bytes[offset] ^= 1
        return bytes
    }
}
