// What the engines of this package have in common, so that all refuse the same with the same words.

// Public because `compareBytes` is inlined into other modules.
#if canImport(Glibc)
    public import Glibc
#else
    public import Musl
#endif

extension EngineLimits {
    /// - Throws: `.invalidArgument` for a key or value of a size that the protocol does not allow.
    package static func check(_ key: RawSpan, _ value: RawSpan?) throws(EngineError) {
        guard keyBytes.contains(key.byteCount) else {
            throw EngineError(.invalidArgument, "key of \(key.byteCount) bytes; 1 to \(keyBytes.upperBound)")
        }
        if let value, value.byteCount > valueBytesMax {
            throw EngineError(.invalidArgument, "value of \(value.byteCount) bytes; at most \(valueBytesMax)")
        }
    }
}

/// Orders keys as unsigned bytes, a prefix first: below, at or above zero.
@inlinable @inline(__always)
package func compareBytes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
    let shared = min(left.count, right.count)
    if shared > 0, let first = left.baseAddress, let second = right.baseAddress {
        let order = memcmp(first, second, shared)
        if order != 0 { return Int(order) }
    }
    return left.count - right.count
}

extension EngineError {
    /// A failed system call on a file: `.noSpace` where the disk or a quota is full, else `.ioFailed`.
    package init(system number: Int32, _ operation: String, file: String) {
        let isFull = [ENOSPC, EDQUOT, EFBIG].contains(number)
        self.init(isFull ? .noSpace : .ioFailed, "\(operation) \(file): \(String(cString: strerror(number)))")
    }
}
