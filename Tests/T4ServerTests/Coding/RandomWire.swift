import SwiftProtobuf

/// The many ways in which a client may write the same message.
extension SeededGenerator {
    /// One to three messages behind each other, which protobuf reads as one merged message, with unknown fields around.
    mutating func wire(_ message: (inout SeededGenerator) -> some Message) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<(chance(60) ? 1 : Int.random(in: 2...3, using: &self)) {
            if chance(30) { bytes += unknownField() }
            bytes += try message(&self).serializedBytes() as [UInt8]
        }
        if chance(30) { bytes += unknownField() }
        return bytes
    }

    /// A field of any wire type that no message here has, or that has the number but not the type of a known one.
    mutating func unknownField(depth: Int = 0) -> [UInt8] {
        let number = chance(80) ? UInt64.random(in: 100...(1 << 29) - 1, using: &self) : 15
        switch Int.random(in: 0..<(depth < 3 ? 6 : 5), using: &self) {
        case 0: return varint(number << 3) + varint(next())
        case 1: return varint(number << 3 | 1) + (0..<8).map { _ in UInt8(truncatingIfNeeded: next()) }
        case 2:
            let content = bytes(atMost: 20)
            return varint(number << 3 | 2) + varint(UInt64(content.count)) + content
        case 3: return varint(number << 3 | 5) + (0..<4).map { _ in UInt8(truncatingIfNeeded: next()) }
        case 4: return varint(1 << 3 | 5) + (0..<4).map { _ in UInt8(truncatingIfNeeded: next()) }
        default:
            var group = varint(number << 3 | 3)
            for _ in 0..<Int.random(in: 0..<3, using: &self) { group += unknownField(depth: depth + 1) }
            return group + varint(number << 3 | 4)
        }
    }

    /// A number in as few bytes as it needs.
    mutating func varint(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
        return bytes
    }
}

/// An embedded message.
func embedded(_ field: UInt8, _ content: [UInt8]) -> [UInt8] {
    var generator = SeededGenerator(seed: 0)
    return [field << 3 | 2] + generator.varint(UInt64(content.count)) + content
}
