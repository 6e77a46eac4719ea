/// A message as JSON, before it is decided how it is spelled.
indirect enum JSONPiece: Sendable {
    case object([(name: String, value: JSONPiece)])
    case array([JSONPiece])
    case bytes([UInt8])
    case integer(Int64)
    case text(String)
    case flag(Bool)
    /// Of an enumeration.
    case name(String, Int)
}

/// Spells messages in all the ways that a gateway has to read, and in some that it has to refuse.
struct JSONSpeller {
    var generator: StepGenerator
    /// Nothing but what says the same in other words.
    var isStrict = false

    private mutating func chance(_ perMille: UInt64) -> Bool { generator.below(1000) < perMille }

    mutating func text(_ piece: JSONPiece) -> String {
        // etcd ends with some numbers that an enumeration does not have.
        if case .name(let name, let number) = piece {
            return chance(300) ? "\(number)" : string(chance(5) ? name + "x" : name)
        }
        if !isStrict, chance(6) { return odd() }
        switch piece {
        case .object(let members):
            var texts: [String] = []
            for member in members {
                let value = !isStrict && chance(8) ? "null" : text(member.value)
                texts.append(space() + string(spelled(member.name)) + space() + ":" + space() + value + space())
                if chance(8) { texts.append(string(spelled(member.name)) + ":" + text(member.value)) }
            }
            if chance(15) { texts.append(string("zzz") + ":" + odd()) }
            if chance(30) { texts.shuffle(using: &generator.random) }
            return "{" + texts.joined(separator: ",") + space() + "}"
        case .array(let elements):
            var texts: [String] = []
            for element in elements { texts.append(text(element)) }
            return "[" + texts.joined(separator: space() + ",") + "]"
        case .bytes(let bytes): return base64(bytes)
        case .integer(let number): return integer(number)
        case .text(let text): return string(text)
        case .flag(let flag): return flag ? "true" : "false"
        case .name: preconditionFailure("spelled before")
        }
    }

    private mutating func space() -> String { chance(960) ? "" : generator.one(of: [" ", "\n", "\t", "\r\n ", "  "]) }

    private mutating func spelled(_ name: String) -> String {
        guard name.contains("_"), chance(400) else { return name }
        let parts = name.split(separator: "_")
        return parts[0] + parts.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    private mutating func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            if scalar == "\"" || scalar == "\\" || scalar.value < 0x20 || scalar.value > 0xff || chance(4) {
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    private mutating func integer(_ number: Int64) -> String {
        if !isStrict, chance(15) {
            return generator.one(of: [
                "\(number).0", "\(number)e0", "\" \(number) \"", "\"0x\(number)\"", "-0", "0\(number)", "\"\"", "\"-\"",
                "\(number)0000000000000000000", "\"\(number).5\"", "\"null\"", "+\(number)", "\"\\u003\(number)\"",
            ])
        }
        return chance(500) ? "\"\(number)\"" : "\(number)"
    }

    private mutating func base64(_ bytes: [UInt8]) -> String {
        if chance(12) { return "[" + bytes.map { "\($0)" }.joined(separator: ",") + "]" }
        var text = JSONSpeller.base64(bytes)
        guard !isStrict, chance(40) else { return "\"\(text)\"" }
        switch generator.below(8) {
        case 0: text = text.replacing("+", with: "-").replacing("/", with: "_")
        case 1: text = text.replacing("=", with: "")
        case 2: text += "="
        case 3: text = text.replacing("/", with: "\\/")
        case 4: text += "\\n"
        case 5: text = String(text.dropLast())
        case 6: text = "\\u00" + String(text.utf8.first ?? 0x41, radix: 16) + text.dropFirst()
        default: text += generator.one(of: ["!", " ", "-_8=", "AAAA", "\\u00e9", "é"])
        }
        return "\"\(text)\""
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 { text.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : "=") }
        }
        return text
    }

    /// Some value, mostly of a wrong type.
    private mutating func odd() -> String {
        generator.one(of: [
            "null", "true", "5", "-1.5e3", "\"\"", "\"a\\u00e9\\ud83d\\ude00\"", "[]", "[null]", "[1,\"a\"]", "{}",
            "{\"a\":{\"b\":[{}]}}", "[[[]]]", "\"\\ud800\"", "\u{e9}", "nul", "1e999", "\"\\x\"",
        ])
    }

    /// A text with a byte more, less or other, or without its end.
    mutating func damaged(_ text: String) -> String {
        var characters = Array(text.unicodeScalars)
        let place = generator.below(characters.count + 1)
        let signs = Array("{}[]\",:x\\0-.e tn\u{7f}\u{1}".unicodeScalars)
        switch generator.below(4) {
        case 0: characters = Array(characters[..<place])
        case 1: characters.insert(generator.one(of: signs), at: place)
        case _ where place == characters.count: characters.append(generator.one(of: signs))
        case 2: characters.remove(at: place)
        default: characters[place] = generator.one(of: signs)
        }
        var result = ""
        result.unicodeScalars.append(contentsOf: characters)
        return result
    }

    /// A text without its end: not nothing at all, which is a request, too.
    mutating func cut(_ text: String) -> String { String(text.prefix(1 + generator.below(max(1, text.count - 1)))) }
}
