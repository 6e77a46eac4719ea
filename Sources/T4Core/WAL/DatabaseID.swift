/// The identity of a database: 16 bytes, drawn once when it is made and written into every log segment.
package struct DatabaseID: Hashable, Sendable, CustomStringConvertible {
    /// Bytes of an id.
    package static let byteCount = 16

    /// The first eight bytes, little-endian.
    let low: UInt64
    /// The last eight bytes, little-endian.
    let high: UInt64

    init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    /// Takes over 16 bytes; nil for any other number of bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        low = bytes.littleEndian(at: 0)
        high = bytes.littleEndian(at: 8)
    }

    /// Draws a new id.
    package static func random(using generator: inout some RandomNumberGenerator) -> DatabaseID {
        DatabaseID(low: generator.next(), high: generator.next())
    }

    /// The 16 bytes.
    package var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(low)
        bytes.appendLittleEndian(high)
        return bytes
    }

    /// 32 lower-case hexadecimal digits.
    package var description: String { bytes.hex }

    /// Reads the 32 digits that `description` gives.
    package init?(hex: some StringProtocol) {
        guard let bytes = [UInt8](hex: hex) else { return nil }
        self.init(bytes)
    }
}
