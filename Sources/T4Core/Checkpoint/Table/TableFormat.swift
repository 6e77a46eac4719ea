import T4Protocols

// The layout of a table; docs/formats.md, "Table", describes every byte. Integers are little-endian. Version 1: the first.

/// Constants of the table format.
enum TableFormat {
    static let magic = Array("T4TABLE\n".utf8)
    static let version: UInt32 = 1
    static let headerSize = 16
    static let footerSize = 64
    /// Raw bytes at which a block ends.
    static let blockSize = 16 * 1024
    /// Block contents are stored as they are; other numbers are kept for compressed ones.
    static let codecNone: UInt8 = 0
    /// Largest raw block that is written or believed: one row of the largest key and value.
    static let blockSizeMax = EngineLimits.valueBytesMax + EngineLimits.keyBytes.upperBound + 64
    /// Largest index and properties that are believed, in bytes.
    static let indexSizeMax = 256 << 20

    static var header: [UInt8] {
        var bytes = magic
        bytes.appendLittleEndian(version)
        bytes.appendLittleEndian(UInt32(0))
        return bytes
    }
}

/// Names a table by its content: SHA-256 over header, logical index and properties, hence independent of how blocks are
/// stored.
package struct TableID: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let bytes: [UInt8]

    /// Takes over 32 bytes; nil for any other number of bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == SHA256.byteCount else { return nil }
        self.bytes = bytes
    }

    /// Reads 64 hexadecimal digits.
    package init?(hex: some StringProtocol) {
        guard let bytes = [UInt8](hex: hex) else { return nil }
        self.init(bytes)
    }

    init(logicalIndex: [UInt8], properties: [UInt8]) {
        let hash = SHA256()
        hash.update(TableFormat.header.span.bytes)
        hash.update(logicalIndex.span.bytes)
        hash.update(properties.span.bytes)
        bytes = hash.digest()
    }

    package static func < (left: TableID, right: TableID) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }

    /// 64 lower-case hexadecimal digits.
    package var description: String { bytes.hex }
}

/// What a table holds, as its properties say.
package struct TableProperties: Hashable, Sendable {
    package var rowCount: UInt64 = 0
    /// Versions that are deletions, and removals of system rows.
    package var tombstoneCount: UInt64 = 0
    /// Lowest and highest revision of its versions; `.none` when it has none.
    package var revisionMin = Revision.none
    package var revisionMax = Revision.none
    /// Bytes of all blocks before they are stored.
    package var rawSize: UInt64 = 0
    package var firstName: [UInt8] = []
    package var lastName: [UInt8] = []

    mutating func add(_ row: TableRow) {
        if rowCount == 0 { firstName = row.name }
        lastName = row.name
        rowCount += 1
        guard row.isVersion else {
            if row.isRemoval { tombstoneCount += 1 }
            return
        }
        if RecordHeader(row.value.span.bytes).isTombstone { tombstoneCount += 1 }
        let revision = row.revision
        if revisionMin == .none || revision < revisionMin { revisionMin = revision }
        revisionMax = max(revisionMax, revision)
    }

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        for number in [rowCount, tombstoneCount, rawSize] { bytes.appendLittleEndian(number) }
        for revision in [revisionMin, revisionMax] { bytes.appendLittleEndian(revision.rawValue) }
        for name in [firstName, lastName] {
            bytes.appendLittleEndian(UInt32(name.count))
            bytes += name
        }
        return bytes
    }

    init() {}

    init?(_ bytes: [UInt8]) {
        var reader = TableBytes(bytes)
        guard let rows: UInt64 = reader.integer(), let tombstones: UInt64 = reader.integer(),
            let size: UInt64 = reader.integer(), let low: Int64 = reader.integer(), let high: Int64 = reader.integer(),
            let firstCount: UInt32 = reader.integer(), let first = reader.take(Int(firstCount)),
            let lastCount: UInt32 = reader.integer(), let last = reader.take(Int(lastCount)), reader.isAtEnd
        else { return nil }
        (rowCount, tombstoneCount, rawSize) = (rows, tombstones, size)
        (revisionMin, revisionMax) = (Revision(low), Revision(high))
        (firstName, lastName) = (first, last)
    }
}

/// The end of a table's file: where the indexes are.
struct TableFooter: Hashable {
    /// Where the logical index starts: end of the blocks.
    var indexOffset: UInt64
    var logicalSize: UInt32
    var physicalSize: UInt32
    var propertiesSize: UInt32
    /// CRC-32C over logical index, physical index and properties.
    var checksum: UInt32

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(indexOffset)
        for number in [logicalSize, physicalSize, propertiesSize, checksum] { bytes.appendLittleEndian(number) }
        bytes += [UInt8](repeating: 0, count: TableFormat.footerSize - 16 - bytes.count)
        bytes.appendLittleEndian(TableFormat.version)
        bytes.appendLittleEndian(CRC32C.checksum(bytes.span.bytes))
        bytes += TableFormat.magic
        return bytes
    }

    /// Bytes of both indexes and the properties.
    var indexSize: Int { Int(logicalSize) + Int(physicalSize) + Int(propertiesSize) }

    /// Reads the last bytes of an object of `size` bytes.
    init(_ bytes: [UInt8], size: UInt64, name: String) throws(CheckpointError) {
        guard bytes.count == TableFormat.footerSize, Array(bytes.suffix(8)) == TableFormat.magic else {
            throw CheckpointError(.corrupted, "\(name) is not a table, or was cut off")
        }
        let start = TableFormat.footerSize - 16
        let version: UInt32 = bytes.littleEndian(at: start)
        guard bytes.littleEndian(at: start + 4) == CRC32C.checksum(bytes.span.bytes.extracting(0..<start + 4)) else {
            throw CheckpointError(.corrupted, "the checksum of the footer of \(name) does not match")
        }
        guard version == TableFormat.version else {
            throw CheckpointError.laterVersion(name, has: "table format \(version)", known: "\(TableFormat.version)")
        }
        indexOffset = bytes.littleEndian(at: 0)
        logicalSize = bytes.littleEndian(at: 8)
        physicalSize = bytes.littleEndian(at: 12)
        propertiesSize = bytes.littleEndian(at: 16)
        checksum = bytes.littleEndian(at: 20)
        guard bytes[24..<start].allSatisfy({ $0 == 0 }), indexOffset >= UInt64(TableFormat.headerSize),
            indexSize <= TableFormat.indexSizeMax, indexOffset <= size,
            size - indexOffset == UInt64(indexSize + TableFormat.footerSize)
        else { throw CheckpointError(.corrupted, "the footer of \(name) contradicts the size of the object, \(size)") }
    }

    init(indexOffset: UInt64, logicalSize: UInt32, physicalSize: UInt32, propertiesSize: UInt32, checksum: UInt32) {
        self.indexOffset = indexOffset
        self.logicalSize = logicalSize
        self.physicalSize = physicalSize
        self.propertiesSize = propertiesSize
        self.checksum = checksum
    }
}

/// Takes a byte string apart; nil wherever it would end too early.
struct TableBytes {
    private let bytes: [UInt8]
    private(set) var offset: Int
    private let end: Int

    init(_ bytes: [UInt8], from offset: Int = 0, to end: Int? = nil) {
        self.bytes = bytes
        self.offset = offset
        self.end = end ?? bytes.count
    }

    var isAtEnd: Bool { offset == end }

    mutating func integer<T: FixedWidthInteger & BitwiseCopyable>() -> T? {
        guard end - offset >= MemoryLayout<T>.size else { return nil }
        defer { offset += MemoryLayout<T>.size }
        return bytes.littleEndian(at: offset)
    }

    /// A LEB128 number below 2^35.
    mutating func varint() -> Int? {
        var value = 0
        for shift in stride(from: 0, to: 35, by: 7) {
            guard offset < end else { return nil }
            let byte = bytes[offset]
            offset += 1
            value |= Int(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }

    mutating func take(_ count: Int) -> [UInt8]? {
        guard count >= 0, end - offset >= count else { return nil }
        defer { offset += count }
        return Array(bytes[offset..<offset + count])
    }

    /// Appends the next `count` bytes to `target`.
    mutating func append(_ count: Int, to target: inout [UInt8]) -> Bool {
        guard count >= 0, end - offset >= count else { return false }
        target += bytes[offset..<offset + count]
        offset += count
        return true
    }
}

extension [UInt8] {
    /// Appends a LEB128 number.
    mutating func append(varint value: Int) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(rest))
    }
}
