package import T4Protocols

// The layout of a segment; docs/formats.md, "Log segment", describes every byte. Integers are little-endian.
// Version 1: the first.

/// Constants of the segment format.
enum LogFormat {
    /// First bytes of each segment.
    static let magic = Array("T4LOGSEG".utf8)
    /// The version this build reads and writes.
    static let version: UInt32 = 1
    /// Set in a frame's length word if the frame is the first of its fsync batch.
    static let firstOfBatch: UInt32 = 1 << 31
    /// The word that opens a footer where a frame would have its length.
    static let footerMark: UInt32 = 0xFFFF_FFFF
    /// Length word and checksum.
    static let frameHeaderSize = 8
    /// Term, index, time, revision, kind: the payload of an entry without a body.
    static let payloadSizeMin = 33
    /// Largest payload that is written or believed, in bytes.
    static let payloadSizeMax = 1 << 30
    /// How the name of a segment ends.
    static let nameSuffix = ".wal"
    /// How the name of a file that is not a segment yet ends; such files are removed when the log is opened.
    static let temporarySuffix = ".tmp"

    /// `00000000000000000001.wal`.
    static func segmentName(firstIndex: UInt64) -> String {
        let digits = String(firstIndex)
        return String(repeating: "0", count: 20 - digits.count) + digits + nameSuffix
    }

    /// The first index a segment's name tells; nil for names of other files.
    static func firstIndex(ofName name: String) -> UInt64? {
        guard name.hasSuffix(nameSuffix), name.utf8.count == 20 + nameSuffix.utf8.count else { return nil }
        let digits = name.utf8.prefix(20)
        guard digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        return UInt64(String(name.prefix(20)))
    }

    /// Bytes an entry takes in a segment.
    static func frameSize(_ entry: LogEntry) -> Int { frameHeaderSize + payloadSizeMin + entry.body.count }
}

/// The start of a segment.
package struct SegmentHeader: Hashable, Sendable {
    static let byteCount = 72

    /// The database the segment belongs to.
    package var databaseID: DatabaseID
    /// On local disk the term of the first entry; in the store the term of the uploader.
    package var term: UInt64
    /// The entry before the first one of the segment; `.zero` at the start of a log.
    package var previous: LogPosition

    /// Index of the segment's first entry.
    package var firstIndex: UInt64 { previous.index + 1 }

    func encoded() -> [UInt8] {
        var bytes = LogFormat.magic
        bytes.appendLittleEndian(LogFormat.version)
        bytes.appendLittleEndian(UInt32(0))
        bytes += databaseID.bytes
        for number in [term, firstIndex, previous.term, previous.index] { bytes.appendLittleEndian(number) }
        bytes.appendLittleEndian(UInt32(0))
        bytes.appendLittleEndian(CRC32C.checksum(bytes.span.bytes))
        return bytes
    }

    /// The state every checksum of this segment starts from, so that a frame of another file is never taken for one of
    /// it.
    var checksumSeed: UInt32 {
        CRC32C.update(CRC32C.initial, Array(encoded().suffix(4)).span.bytes)
    }

    /// Reads and checks the header of a segment file.
    init(_ bytes: [UInt8], path: String) throws(LogError) {
        func damaged(_ what: String, at offset: UInt64 = 0) -> LogError { .damaged(what, path: path, offset: offset) }
        guard bytes.count >= Self.byteCount else {
            throw damaged("the segment ends inside its header", at: UInt64(bytes.count))
        }
        guard Array(bytes[..<8]) == LogFormat.magic else { throw damaged("not a log segment") }
        let checksum: UInt32 = bytes.littleEndian(at: 68)
        guard CRC32C.checksum(bytes.span.bytes.extracting(0..<68)) == checksum else {
            throw damaged("the checksum of the segment header does not match")
        }
        // Only now: a version that was changed by damage is no later one.
        let version: UInt32 = bytes.littleEndian(at: 8)
        guard version == LogFormat.version else {
            throw LogError(
                .unsupported,
                "log format \(version), written by a later version of t4; this one reads up to \(LogFormat.version): "
                    + "use a newer t4", path: path, offset: 8)
        }
        databaseID = DatabaseID(low: bytes.littleEndian(at: 16), high: bytes.littleEndian(at: 24))
        term = bytes.littleEndian(at: 32)
        previous = LogPosition(term: bytes.littleEndian(at: 48), index: bytes.littleEndian(at: 56))
        let first: UInt64 = bytes.littleEndian(at: 40)
        guard previous.index < .max, first == firstIndex, term >= previous.term else {
            throw damaged("the segment header contradicts itself (first index \(first) after \(previous))")
        }
    }

    package init(databaseID: DatabaseID, term: UInt64, previous: LogPosition) {
        self.databaseID = databaseID
        self.term = term
        self.previous = previous
    }
}

/// What the entries of a segment add up to; its footer repeats it.
package struct SegmentTally: Hashable, Sendable {
    /// Number of entries.
    package var entryCount: UInt64 = 0
    /// Revision of the first and last entry that made one; `.none` if none did.
    package var firstRevision = Revision.none
    /// See `firstRevision`.
    package var lastRevision = Revision.none
    /// Commit time of the first entry, nanoseconds since 1970.
    package var firstTime: UInt64 = 0
    /// Commit time of the last entry, nanoseconds since 1970.
    package var lastTime: UInt64 = 0
    /// Position of the last entry; before the first one the position before the segment.
    package var lastPosition: LogPosition

    init(after previous: LogPosition) { lastPosition = previous }

    mutating func add(position: LogPosition, time: UInt64, revision: Revision) {
        if entryCount == 0 { firstTime = time }
        if firstRevision == .none { firstRevision = revision }
        if revision != .none { lastRevision = revision }
        entryCount += 1
        lastTime = time
        lastPosition = position
    }
}

/// The end of a sealed segment.
package struct SegmentFooter: Hashable, Sendable {
    static let byteCount = 104

    /// What the entries add up to.
    package var tally: SegmentTally
    /// Where the footer starts: bytes of header and frames.
    package var offset: UInt64
    /// SHA-256 of header and frames.
    package var hash: [UInt8]

    func encoded(seed: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(LogFormat.footerMark)
        bytes.appendLittleEndian(UInt32(0))
        bytes.appendLittleEndian(tally.entryCount)
        bytes.appendLittleEndian(tally.firstRevision.rawValue)
        bytes.appendLittleEndian(tally.lastRevision.rawValue)
        let numbers = [tally.firstTime, tally.lastTime, tally.lastPosition.term, tally.lastPosition.index, offset]
        for number in numbers { bytes.appendLittleEndian(number) }
        bytes += hash
        bytes.setLittleEndian(Self.checksum(bytes, seed: seed), at: 4)
        return bytes
    }

    /// Nil if the bytes are not an intact footer of the segment whose checksums start at `seed`, at this offset.
    init?(_ bytes: [UInt8], offset: UInt64, seed: UInt32) {
        guard bytes.count == Self.byteCount, bytes.littleEndian(at: 0) == LogFormat.footerMark,
            bytes.littleEndian(at: 4) == Self.checksum(bytes, seed: seed), bytes.littleEndian(at: 64) == offset
        else { return nil }
        tally = SegmentTally(after: LogPosition(term: bytes.littleEndian(at: 48), index: bytes.littleEndian(at: 56)))
        tally.entryCount = bytes.littleEndian(at: 8)
        tally.firstRevision = Revision(bytes.littleEndian(at: 16))
        tally.lastRevision = Revision(bytes.littleEndian(at: 24))
        tally.firstTime = bytes.littleEndian(at: 32)
        tally.lastTime = bytes.littleEndian(at: 40)
        self.offset = offset
        hash = Array(bytes[72..<(72 + SHA256.byteCount)])
    }

    init(tally: SegmentTally, offset: UInt64, hash: [UInt8]) {
        self.tally = tally
        self.offset = offset
        self.hash = hash
    }

    private static func checksum(_ bytes: [UInt8], seed: UInt32) -> UInt32 {
        let all = bytes.span.bytes
        let state = CRC32C.update(seed, all.extracting(0..<4))
        return CRC32C.finish(CRC32C.update(state, all.extracting(8..<byteCount)))
    }
}
