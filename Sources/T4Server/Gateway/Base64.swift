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
        var next = plainGroups(text, &bytes)
        while let group = try group(text, &next) {
            let bits = group.reduce(UInt32(0)) { $0 << 6 | UInt32($1) } << (6 * UInt32(4 - group.count))
            for index in 0..<group.count - 1 { bytes.append(UInt8(truncatingIfNeeded: bits >> (16 - 8 * index))) }
        }
        return bytes
    }

    /// Takes whole groups without padding and line ends, which is mostly all of a text but its end.
    /// - Returns: Where they end.
    private static func plainGroups(_ text: [UInt8], _ bytes: inout [UInt8]) -> Int {
        values.withUnsafeBufferPointer { values in
            text.withUnsafeBufferPointer { text in
                var next = 0
                while next + 4 <= text.count {
                    let (first, second) = (values[Int(text[next])], values[Int(text[next + 1])])
                    let (third, fourth) = (values[Int(text[next + 2])], values[Int(text[next + 3])])
                    guard first | second | third | fourth != 0xff else { return next }
                    bytes.append(first << 2 | second >> 4)
                    bytes.append(second << 4 | third >> 2)
                    bytes.append(third << 6 | fourth)
                    next += 4
                }
                return next
            }
        }
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
        text += [UInt8](unsafeUninitializedCapacity: (bytes.count + 2) / 3 * 4) { result, count in
            alphabet.withUnsafeBufferPointer { alphabet in
                var index = 0
                while index < bytes.count {
                    let left = bytes.count - index
                    var bits = UInt32(bytes[index]) << 16
                    if left > 1 { bits |= UInt32(bytes[index + 1]) << 8 }
                    if left > 2 { bits |= UInt32(bytes[index + 2]) }
                    result[count] = alphabet[Int(bits >> 18)]
                    result[count + 1] = alphabet[Int(bits >> 12 & 63)]
                    result[count + 2] = left > 1 ? alphabet[Int(bits >> 6 & 63)] : pad
                    result[count + 3] = left > 2 ? alphabet[Int(bits & 63)] : pad
                    index += 3
                    count += 4
                }
            }
        }
    }
}
