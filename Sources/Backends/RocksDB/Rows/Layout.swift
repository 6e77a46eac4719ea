import T4Protocols

/// How rows lie in the database, version 1.
///
/// ```
/// empty key    "t4r1", term (8 bytes), index (8 bytes): written with each batch
/// other keys   the rows, as they are
/// ```
///
/// Keys of `LocalEngine` have at least one byte, so the empty one is free. It sorts first, and scans start at the key
/// `[0]` behind it. A database without it has no rows. All numbers are big-endian. Version history: 1, the first.
enum Layout {
    /// Key of the row that names the format and the position.
    static let headKey: [UInt8] = []
    /// The lowest key that a row can have.
    static let firstKey: [UInt8] = [0]

    private static let magic = Array("t4r1".utf8)
    private static let headSizeBytes = 20

    /// Value of the head row.
    static func head(_ position: LogPosition) -> [UInt8] {
        var head = magic
        head.reserveCapacity(headSizeBytes)
        withUnsafeBytes(of: position.term.bigEndian) { head.append(contentsOf: $0) }
        withUnsafeBytes(of: position.index.bigEndian) { head.append(contentsOf: $0) }
        return head
    }

    /// The position in a head row; nil for what no version of this engine wrote.
    static func position(_ head: UnsafeRawBufferPointer) -> LogPosition? {
        guard head.count == headSizeBytes, head.starts(with: magic) else { return nil }
        return LogPosition(
            term: UInt64(bigEndian: head.loadUnaligned(fromByteOffset: 4, as: UInt64.self)),
            index: UInt64(bigEndian: head.loadUnaligned(fromByteOffset: 12, as: UInt64.self)))
    }
}

/// Lends bytes the way RocksDB takes them: at an address even where there are none.
@inline(__always)
func lend<R>(
    _ bytes: RawSpan, _ body: (UnsafePointer<CChar>, Int) throws(EngineError) -> R
) throws(EngineError) -> R {
    try bytes.withUnsafeBytes { (bytes) throws(EngineError) in
        guard let start = bytes.baseAddress else { return try body("", 0) }
        return try body(start.assumingMemoryBound(to: CChar.self), bytes.count)
    }
}
