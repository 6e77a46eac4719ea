import T4Protocols

/// The numbers of a frame whose checksum holds.
struct FrameHeader {
    var isFirstOfBatch: Bool
    var payloadSize: Int
    var position: LogPosition
    var time: UInt64
    var revision: Revision
    var kind: LogEntry.Kind

    /// Bytes from the length word to the end of the body.
    var size: Int { LogFormat.frameHeaderSize + payloadSize }

    /// Payload bytes that a length word promises; nil for a zero word, a footer and lengths nobody writes.
    static func payloadSize(ofLengthWord word: UInt32) -> Int? {
        let size = Int(word & ~LogFormat.firstOfBatch)
        return (LogFormat.payloadSizeMin...LogFormat.payloadSizeMax).contains(size) ? size : nil
    }

    /// Reads the frame at `start`; nil if it is not whole or its checksum is wrong.
    init?(_ bytes: [UInt8], at start: Int, seed: UInt32) {
        guard bytes.count - start >= LogFormat.frameHeaderSize else { return nil }
        let word: UInt32 = bytes.littleEndian(at: start)
        guard let size = Self.payloadSize(ofLengthWord: word),
            bytes.count - start - LogFormat.frameHeaderSize >= size
        else { return nil }
        let checksum: UInt32 = bytes.littleEndian(at: start + 4)
        guard Self.checksum(bytes, at: start, payloadSize: size, seed: seed) == checksum else { return nil }
        isFirstOfBatch = word & LogFormat.firstOfBatch != 0
        payloadSize = size
        let payload = start + LogFormat.frameHeaderSize
        position = LogPosition(term: bytes.littleEndian(at: payload), index: bytes.littleEndian(at: payload + 8))
        time = bytes.littleEndian(at: payload + 16)
        revision = Revision(bytes.littleEndian(at: payload + 24))
        kind = LogEntry.Kind(rawValue: bytes[payload + 32])
    }

    /// The CRC-32C of length word and payload.
    static func checksum(_ bytes: [UInt8], at start: Int, payloadSize: Int, seed: UInt32) -> UInt32 {
        let all = bytes.span.bytes
        let state = CRC32C.update(seed, all.extracting(start..<start + 4))
        return CRC32C.finish(CRC32C.update(state, all.extracting(start + 8..<start + 8 + payloadSize)))
    }
}

extension [UInt8] {
    private static let emptyFrame = [UInt8](repeating: 0, count: LogFormat.frameHeaderSize + LogFormat.payloadSizeMin)

    /// Adds the frame of an entry; allocates only where the array has to grow.
    mutating func appendFrame(_ entry: LogEntry, isFirstOfBatch: Bool, seed: UInt32) {
        let start = count
        let payloadSize = LogFormat.payloadSizeMin + entry.body.count
        precondition(payloadSize <= LogFormat.payloadSizeMax)
        append(contentsOf: Self.emptyFrame)
        append(contentsOf: entry.body)
        setLittleEndian(UInt32(payloadSize) | (isFirstOfBatch ? LogFormat.firstOfBatch : 0), at: start)
        let payload = start + LogFormat.frameHeaderSize
        setLittleEndian(entry.position.term, at: payload)
        setLittleEndian(entry.position.index, at: payload + 8)
        setLittleEndian(entry.time, at: payload + 16)
        setLittleEndian(entry.revision.rawValue, at: payload + 24)
        self[payload + 32] = entry.kind.rawValue
        let checksum = FrameHeader.checksum(self, at: start, payloadSize: payloadSize, seed: seed)
        setLittleEndian(checksum, at: start + 4)
    }
}
