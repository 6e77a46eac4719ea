// Small helpers on bytes that every part of the core needs.

extension RawSpan {
    /// A copy of the bytes.
    @inline(__always)
    package func copyBytes() -> [UInt8] {
        withUnsafeBytes { [UInt8]($0) }
    }

    /// The big-endian integer at `offset`, which must lie inside the span with all its bytes.
    @inline(__always)
    package func bigEndian<Integer: FixedWidthInteger>(at offset: Int, as type: Integer.Type = Integer.self) -> Integer
    {
        withUnsafeBytes { Integer(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: Integer.self)) }
    }
}

extension Array where Element == UInt8 {
    /// Appends an integer in big-endian order.
    @inline(__always)
    package mutating func append<Integer: FixedWidthInteger>(bigEndian integer: Integer) {
        Swift.withUnsafeBytes(of: integer.bigEndian) { append(contentsOf: $0) }
    }

    /// True when the span holds the same bytes.
    @inline(__always)
    package func isEqual(to other: RawSpan) -> Bool {
        count == other.byteCount && withUnsafeBytes { left in other.withUnsafeBytes { left.elementsEqual($0) } }
    }

    /// Orders byte strings as unsigned bytes.
    @inline(__always)
    package func precedes(_ other: RawSpan) -> Bool {
        withUnsafeBytes { left in other.withUnsafeBytes { left.lexicographicallyPrecedes($0) } }
    }
}

extension [UInt8] {
    /// Lower-case hexadecimal digits.
    package var hex: String {
        let digits = Array<UInt8>("0123456789abcdef".utf8)
        return String(decoding: flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// Reads pairs of hexadecimal digits.
    package init?(hex: some StringProtocol) {
        let digits = hex.utf8.compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        guard digits.count == hex.utf8.count, digits.count.isMultiple(of: 2) else { return nil }
        self = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

/// A byte string as a dictionary key: hashed once, with a seed of this process, eight bytes at a time.
package struct ByteKey: Hashable, Sendable {
    package let bytes: [UInt8]
    private let digest: UInt64

    private static let seed = UInt64.random(in: .min ... .max)

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        self.digest = ByteKey.digest(of: bytes)
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(digest) }

    package static func == (left: ByteKey, right: ByteKey) -> Bool {
        left.digest == right.digest && left.bytes == right.bytes
    }

    /// Multiply-and-fold over 64-bit words; the `Hasher` above it keeps its own secret seed.
    private static func digest(of bytes: [UInt8]) -> UInt64 {
        bytes.withUnsafeBytes { raw in
            var state = seed ^ UInt64(raw.count) &* 0x9E37_79B9_7F4A_7C15
            var offset = 0
            while offset + 8 <= raw.count {
                state = fold(state ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                offset += 8
            }
            var tail: UInt64 = 0
            while offset < raw.count {
                tail = tail << 8 | UInt64(raw[offset])
                offset += 1
            }
            return fold(state ^ tail)
        }
    }

    @inline(__always)
    private static func fold(_ value: UInt64) -> UInt64 {
        let product = value.multipliedFullWidth(by: 0xD6E8_FEB8_6659_FD93)
        return product.high ^ product.low
    }
}
