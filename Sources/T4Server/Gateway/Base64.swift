/// The base64 of JSON: the standard alphabet with padding.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let pad = UInt8(ascii: "=")
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xff, count: 256)
        for (value, byte) in alphabet.enumerated() { values[Int(byte)] = UInt8(value) }
        return values
    }()

    /// Line ends are passed over.
    /// - Throws: What Go says, with the position of the first byte that does not belong there.
    static func decode(_ text: [UInt8]) throws(JSONFailure) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3)
        var next = 0
        while let group = try group(text, &next) {
            let bits = group.reduce(UInt32(0)) { $0 << 6 | UInt32($1) } << (6 * UInt32(4 - group.count))
            for index in 0..<group.count - 1 { bytes.append(UInt8(truncatingIfNeeded: bits >> (16 - 8 * index))) }
        }
        return bytes
    }

    /// The next four characters; fewer where padding ends the text.
    private static func group(_ text: [UInt8], _ next: inout Int) throws(JSONFailure) -> [UInt8]? {
        var group: [UInt8] = []
        while group.count < 4 {
            guard next < text.count else {
                if group.isEmpty { return nil }
                throw illegal(next - group.count)
            }
            let byte = text[next]
            next += 1
            let value = values[Int(byte)]
            if value != 0xff {
                group.append(value)
            } else if byte == pad {
                guard group.count >= 2 else { throw illegal(next - 1) }
                if group.count == 2 {
                    skipLineEnds(text, &next)
                    guard next < text.count else { throw illegal(text.count) }
                    guard text[next] == pad else { throw illegal(next - 1) }
                    next += 1
                }
                skipLineEnds(text, &next)
                guard next == text.count else { throw illegal(next) }
                return group
            } else if byte != 0x0a, byte != 0x0d {
                throw illegal(next - 1)
            }
        }
        return group
    }

    private static func skipLineEnds(_ text: [UInt8], _ next: inout Int) {
        while next < text.count, text[next] == 0x0a || text[next] == 0x0d { next += 1 }
    }

    private static func illegal(_ place: Int) -> JSONFailure {
        JSONFailure(text: "illegal base64 data at input byte \(place)")
    }

    /// Appends the text of some bytes.
    static func append(_ bytes: UnsafeRawBufferPointer, to text: inout [UInt8]) {
        var index = 0
        while index + 3 <= bytes.count {
            let bits = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
            for shift in [18, 12, 6, 0] as [UInt32] { text.append(alphabet[Int(bits >> shift & 63)]) }
            index += 3
        }
        let left = bytes.count - index
        guard left > 0 else { return }
        let bits = UInt32(bytes[index]) << 16 | (left == 2 ? UInt32(bytes[index + 1]) << 8 : 0)
        text.append(alphabet[Int(bits >> 18 & 63)])
        text.append(alphabet[Int(bits >> 12 & 63)])
        text.append(left == 2 ? alphabet[Int(bits >> 6 & 63)] : pad)
        text.append(pad)
    }
}
