/// Where the checksums of what nodes send each other begin: what is meant for another database does not pass.
package struct PeerSeed: Hashable, Sendable {
    /// For what is said before it is known which database is meant.
    package static let none = PeerSeed(state: CRC32C.initial)

    let state: UInt32

    private init(state: UInt32) { self.state = state }

    /// For nodes of one database.
    package init(_ databaseID: DatabaseID) {
        state = CRC32C.update(CRC32C.initial, databaseID.bytes.span.bytes)
    }
}

/// Why bytes of another node cannot be read.
package enum PeerCodingError: Error, Hashable, Sendable, CustomStringConvertible {
    /// They end too early.
    case truncated
    /// The checksum over them does not match: they were damaged, or are of another database.
    case checksum
    /// There are bytes behind the end.
    case tooLong(Int)
    /// There is no such kind of message, or value of this field.
    case unknown(field: String, UInt64)
    /// A text that is not UTF-8.
    case text
    /// The numbers of a message contradict each other.
    case contradiction(String)
    /// The entry that begins at this byte of the message is not whole, or its checksum does not match.
    case entry(offset: Int)

    package var description: String {
        switch self {
        case .truncated: "it ends too early"
        case .checksum: "its checksum does not match"
        case .tooLong(let count): "\(count) bytes too many"
        case .unknown(let field, let value): "\(field) \(value) is unknown"
        case .text: "a text in it is not UTF-8"
        case .contradiction(let what): "it contradicts itself: \(what)"
        case .entry(let offset): "the log entry at its byte \(offset) is damaged"
        }
    }
}

/// Puts together a piece of what nodes send each other: the bytes of the piece (4), its content, CRC-32C of both (4).
/// Integers are little-endian, a text stands behind its length (4).
package struct PeerWriter: Sendable {
    /// Bytes of a piece beside its content.
    package static let frameBytes = 8

    private var bytes = [UInt8](repeating: 0, count: 4)

    /// An empty piece.
    package init() {}

    /// Adds a number.
    package mutating func put(_ value: some FixedWidthInteger & BitwiseCopyable) { bytes.appendLittleEndian(value) }

    /// Adds a text.
    package mutating func put(_ text: String) {
        bytes.appendLittleEndian(UInt32(text.utf8.count))
        bytes += text.utf8
    }

    /// Adds bytes as they are.
    package mutating func put(raw: [UInt8]) { bytes += raw }

    /// The piece.
    package consuming func sealed(_ seed: PeerSeed) -> [UInt8] {
        bytes.setLittleEndian(UInt32(bytes.count - 4), at: 0)
        bytes.appendLittleEndian(CRC32C.finish(CRC32C.update(seed.state, bytes.span.bytes)))
        return bytes
    }
}

/// Takes a piece apart that `PeerWriter` has put together. Nothing is believed before the checksum, and no length beyond
/// what there is.
package struct PeerReader: Sendable {
    private let bytes: [UInt8]
    private var offset = 4
    private let end: Int

    /// What of the bytes lies behind the piece.
    package var rest: Range<Int> { end + 4..<bytes.count }

    /// Looks for the piece with which the bytes begin.
    package init(_ bytes: [UInt8], seed: PeerSeed) throws(PeerCodingError) {
        guard bytes.count >= PeerWriter.frameBytes else { throw .truncated }
        let size: UInt32 = bytes.littleEndian(at: 0)
        guard Int(size) <= bytes.count - PeerWriter.frameBytes else { throw .truncated }
        end = 4 + Int(size)
        let sum = CRC32C.finish(CRC32C.update(seed.state, bytes.span.bytes.extracting(0..<end)))
        guard bytes.littleEndian(at: end) == sum else { throw .checksum }
        self.bytes = bytes
    }

    /// Takes a number.
    package mutating func number<T: FixedWidthInteger & BitwiseCopyable>(
        _: T.Type = T.self
    ) throws(PeerCodingError) -> T {
        let size = MemoryLayout<T>.size
        guard end - offset >= size else { throw .truncated }
        defer { offset += size }
        return bytes.littleEndian(at: offset)
    }

    /// Takes so many bytes.
    package mutating func raw(_ count: Int) throws(PeerCodingError) -> [UInt8] {
        guard count >= 0, end - offset >= count else { throw .truncated }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    /// Takes all that is left of the piece.
    package mutating func remainder() -> [UInt8] {
        defer { offset = end }
        return Array(bytes[offset..<end])
    }

    /// Takes a text.
    package mutating func text() throws(PeerCodingError) -> String {
        let size: UInt32 = try number()
        guard end - offset >= Int(size) else { throw .truncated }
        defer { offset += Int(size) }
        guard let text = String(validating: bytes[offset..<offset + Int(size)], as: UTF8.self) else { throw .text }
        return text
    }

    /// Takes a truth value.
    package mutating func flag(_ field: String) throws(PeerCodingError) -> Bool {
        let value: UInt8 = try number()
        guard value <= 1 else { throw .unknown(field: field, UInt64(value)) }
        return value == 1
    }

    /// The piece is read.
    package func finish() throws(PeerCodingError) {
        guard offset == end else { throw .tooLong(end - offset) }
    }
}
