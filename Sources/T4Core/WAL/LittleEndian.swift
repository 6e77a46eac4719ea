// Integers of the log format are little-endian and unaligned.
extension [UInt8] {
    /// Reads the integer that starts at `offset`; the caller has checked that it lies inside.
    package func littleEndian<T: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as type: T.Type = T.self) -> T {
        precondition(offset >= 0 && offset + MemoryLayout<T>.size <= count)
        return withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
    }

    /// Overwrites the bytes at `offset` with an integer; the caller has made room.
    mutating func setLittleEndian(_ value: some FixedWidthInteger & BitwiseCopyable, at offset: Int) {
        precondition(offset >= 0 && offset + value.bitWidth / 8 <= count)
        withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: type(of: value).self) }
    }

    /// Adds an integer at the end.
    mutating func appendLittleEndian(_ value: some FixedWidthInteger & BitwiseCopyable) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }
}
