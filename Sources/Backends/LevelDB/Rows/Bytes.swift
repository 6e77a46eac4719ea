#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Orders keys as unsigned bytes, a prefix first: below, at or above zero.
@inline(__always)
func compareBytes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
    let shared = min(left.count, right.count)
    if shared > 0, let first = left.baseAddress, let second = right.baseAddress {
        let order = memcmp(first, second, shared)
        if order != 0 { return Int(order) }
    }
    return left.count - right.count
}

extension UnsafeRawBufferPointer {
    /// The start of these bytes, of which there is at least one, as LevelDB takes it.
    @inline(__always)
    var characters: UnsafePointer<CChar> { baseAddress!.assumingMemoryBound(to: CChar.self) }
}
