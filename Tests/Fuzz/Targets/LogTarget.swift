import T4Protocols

@testable import T4Core

/// A log segment. After a first byte that is even come the bytes of a segment; after an odd one, what lies behind a
/// proper header, and the checksums of frames are mended first, or no change would get beyond them.
extension FuzzTarget {
    static let log = FuzzTarget(name: "log") { input in
        guard let choice = input.first else { return }
        let rest = Array(input.dropFirst())
        let bytes = choice & 1 == 0 ? rest : OneSegment.mended(behind: OneSegment.header(choice), rest)
        var entries: [LogEntry] = []
        var start: LogPosition?
        do throws(LogError) {
            let reader = LogReader(directory: "log", databaseID: nil, fileSystem: OneSegment(bytes: bytes))
            _ = try reader.segments()
            start = try reader.read { entry in
                entries.append(entry)
                return .next
            }.start
        } catch {
            // Damage has to be said, and that it can be is a part of this.
            try FuzzFailure.unless(!"\(error)".isEmpty, "an error without words")
        }
        for entry in entries {
            guard let mutations = MutationCoding.decode(entry.body, revision: entry.revision) else { continue }
            try FuzzFailure.unless(
                MutationCoding.encode(mutations) == entry.body, "not written as it was read: \(entry.body)")
        }
        guard let start, let first = entries.first else { return }
        let object = LogObject.encode(
            entries, databaseID: OneSegment.database, term: first.position.term, previous: start)
        let read = try LogObject(
            object, key: StoreLayout.log(firstIndex: first.position.index), databaseID: OneSegment.database)
        try FuzzFailure.unless(read.entries == entries, "entries change when they are written again")
    }
}

/// A directory with one segment, in memory.
struct OneSegment: LogFileSystem {
    static let database = DatabaseID(low: 1, high: 2)

    var bytes: [UInt8]

    /// Of the first segment, or of the last one that there can be.
    static func header(_ choice: UInt8) -> SegmentHeader {
        SegmentHeader(
            databaseID: database, term: 7,
            previous: choice & 2 == 0 ? .zero : LogPosition(term: 7, index: .max - 2))
    }

    /// The header, and the frames behind it with right checksums.
    static func mended(behind header: SegmentHeader, _ frames: [UInt8]) -> [UInt8] {
        mended(header.encoded() + frames, from: SegmentHeader.byteCount, seed: header.checksumSeed)
    }

    /// Bytes with frames from there on, whose checksums are made right.
    static func mended(_ bytes: [UInt8], from start: Int, seed: UInt32) -> [UInt8] {
        var (bytes, offset) = (bytes, start)
        while bytes.count - offset >= LogFormat.frameHeaderSize {
            let word: UInt32 = bytes.littleEndian(at: offset)
            guard let size = FrameHeader.payloadSize(ofLengthWord: word),
                bytes.count - offset - LogFormat.frameHeaderSize >= size
            else { break }
            let sum = FrameHeader.checksum(bytes, at: offset, payloadSize: size, seed: seed)
            bytes.setLittleEndian(sum, at: offset + 4)
            offset += LogFormat.frameHeaderSize + size
        }
        return bytes
    }

    private static var refusal: LogError { LogError(.unsupported, "only for reading", path: "log") }

    func list(_ directory: String) throws(LogError) -> [String] {
        // The name that the header asks for, so that one is read at all.
        guard bytes.count >= 48 else { return [] }
        return [LogFormat.segmentName(firstIndex: bytes.littleEndian(at: 40))]
    }

    func open(_ path: String) throws(LogError) -> any LogFile { File(bytes: bytes) }
    func createDirectory(_ path: String) throws(LogError) { throw OneSegment.refusal }
    func openForWriting(_ path: String) throws(LogError) -> any LogFile { throw OneSegment.refusal }
    func create(_ path: String) throws(LogError) -> any LogFile { throw OneSegment.refusal }
    func rename(_ path: String, to newPath: String) throws(LogError) { throw OneSegment.refusal }
    func remove(_ path: String) throws(LogError) { throw OneSegment.refusal }
    func syncDirectory(_ path: String) throws(LogError) { throw OneSegment.refusal }
    func freeBytes(_ directory: String) throws(LogError) -> UInt64 { throw OneSegment.refusal }

    private final class File: LogFile {
        private let bytes: [UInt8]

        init(bytes: [UInt8]) { self.bytes = bytes }

        func size() -> UInt64 { UInt64(bytes.count) }

        func read(_ count: Int, at offset: UInt64) -> [UInt8] {
            guard offset < UInt64(bytes.count) else { return [] }
            return Array(bytes[Int(offset)...].prefix(count))
        }

        func write(_ bytes: RawSpan, at offset: UInt64) throws(LogError) { throw OneSegment.refusal }
        func syncData() throws(LogError) { throw OneSegment.refusal }
        func truncate(to size: UInt64) throws(LogError) { throw OneSegment.refusal }
    }
}
