import CLMDB
import T4Protocols

extension MDB_val {
    /// Borrows the bytes; LMDB reads them during the call only.
    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer) {
        self.init(mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
    }

    /// Bytes in the map, valid as long as the transaction (a write transaction: until its next change).
    @inline(__always)
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: mv_data, count: mv_size) }
}

extension [UInt8] {
    /// Lends the bytes; as `withUnsafeBytes`, with a typed error.
    @inline(__always)
    func lend<R>(_ body: (UnsafeRawBufferPointer) throws(LMDBFailure) -> R) throws(LMDBFailure) -> R {
        try span.bytes.withUnsafeBytes(body)
    }
}

extension UnsafeRawBufferPointer {
    /// The bytes from `count` on.
    func after(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self[count...]) }

    /// The first `count` bytes, or all if there are fewer.
    func first(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: prefix(count)) }

    /// What follows `prefix` in these bytes; nil when they do not start with it or end with it.
    func remainder(after prefix: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard count > prefix.count, compareBytes(first(prefix.count), prefix) == 0 else { return nil }
        return after(prefix.count)
    }

    /// A big-endian number of exactly 8 bytes.
    func number() throws(LMDBFailure) -> UInt64 {
        guard count == 8 else { throw LMDBFailure(code: MDB_CORRUPTED, operation: "reading a number") }
        return UInt64(bigEndian: loadUnaligned(as: UInt64.self))
    }
}

/// Lends the LMDB key of a piece in a tail group.
@inline(__always)
func withTailKey<R>(
    _ group: UInt64, _ piece: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws(LMDBFailure) -> R
) throws(LMDBFailure) -> R {
    var key: [UInt8] = []
    key.reserveCapacity(Layout.groupSizeBytes + piece.count)
    withUnsafeBytes(of: group.bigEndian) { key.append(contentsOf: $0) }
    key.append(contentsOf: piece)
    return try key.lend(body)
}
