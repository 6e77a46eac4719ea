/// A request that cannot be read, in the words of Go's packages.
struct JSONFailure: Error {
    let text: String
}

/// Makes the bytes of a message from JSON, with the meaning that etcd's gateway gives to it: either name of a field,
/// numbers also as strings, bytes as base64 or as an array of numbers, enumerations by name or number, `null` for what is
/// not there; what it does not know it passes over, and of two values of a field the last one counts.
struct JSONReader {
    /// Messages within each other: two for each of the nested transactions that a request may have, and some.
    private static let depthMax = 300

    private enum Kind: String {
        case null
        case bool
        case number
        case string
        case array
        case object
    }

    private let text: UnsafeBufferPointer<UInt8>

    /// - Parameter json: One valid value, as `JSONScanner` found it, with or without space around it.
    static func read(_ json: UnsafeBufferPointer<UInt8>, as type: GatewayMessage) throws(JSONFailure) -> [UInt8] {
        let reader = JSONReader(text: json)
        let begin = reader.skipSpace(0)
        guard begin < json.count else { return [] }
        return try reader.message(begin..<reader.endOfValue(begin), type, depth: 0)
    }

    // MARK: Values

    private func message(_ place: Range<Int>, _ type: GatewayMessage, depth: Int) throws(JSONFailure) -> [UInt8] {
        let kind = kind(place)
        if kind == .null { return [] }
        guard kind == .object else { throw Self.wrongType(kind.rawValue, "map[string]json.RawMessage") }
        guard depth < Self.depthMax else { throw JSONFailure(text: "exceeded max depth") }
        var plain = [Range<Int>?](repeating: nil, count: type.fields.count)
        var preferred = plain
        var next = skipSpace(place.lowerBound + 1)
        while text[next] == UInt8(ascii: "\"") {
            let nameEnd = endOfString(next)
            let name = String(decoding: unquote(next..<nameEnd), as: UTF8.self)
            let begin = skipSpace(skipSpace(nameEnd) + 1)
            let end = endOfValue(begin)
            if let (slot, isPreferred) = type.slots[name] {
                if isPreferred { preferred[slot] = begin..<end } else { plain[slot] = begin..<end }
            }
            next = skipSpace(end)
            if text[next] == UInt8(ascii: ",") { next = skipSpace(next + 1) }
        }
        var bytes: [UInt8] = []
        for (slot, field) in type.fields.enumerated() {
            guard let place = preferred[slot] ?? plain[slot], self.kind(place) != .null else { continue }
            if field.isRepeated {
                for element in try elements(place, "[]json.RawMessage") {
                    try append(element, field, always: true, depth: depth, to: &bytes)
                }
            } else {
                try append(place, field, always: field.isInOneof, depth: depth, to: &bytes)
            }
        }
        return bytes
    }

    private func append(
        _ place: Range<Int>, _ field: GatewayField, always: Bool, depth: Int, to bytes: inout [UInt8]
    ) throws(JSONFailure) {
        let payload: [UInt8]
        switch field.kind {
        case .message(let type): payload = try message(place, type, depth: depth + 1)
        case .string: payload = try string(place)
        case .bytes: payload = try self.bytes(place)
        default:
            let number = try varint(place, field.kind)
            if always || number != 0 {
                Self.append(varint: field.number << 3, to: &bytes)
                Self.append(varint: number, to: &bytes)
            }
            return
        }
        if case .message = field.kind {} else if payload.isEmpty, !always { return }
        Self.append(varint: field.number << 3 | 2, to: &bytes)
        Self.append(varint: UInt64(payload.count), to: &bytes)
        bytes += payload
    }

    private func varint(_ place: Range<Int>, _ kind: GatewayKind) throws(JSONFailure) -> UInt64 {
        switch kind {
        case .bool: try bool(place) ? 1 : 0
        case .int32: UInt64(bitPattern: Int64(try integer(place, Int32.self, "int32")))
        case .int64: UInt64(bitPattern: try integer(place, Int64.self, "int64"))
        case .uint32: UInt64(try integer(place, UInt32.self, "uint32"))
        case .uint64: try integer(place, UInt64.self, "uint64")
        case .enumeration(let type): UInt64(bitPattern: Int64(try enumeration(place, type)))
        case .string, .bytes, .message: preconditionFailure("no number")
        }
    }

    private func bool(_ place: Range<Int>) throws(JSONFailure) -> Bool {
        switch kind(place) {
        case .null: return false
        case .bool: return text[place.lowerBound] == UInt8(ascii: "t")
        case let other: throw Self.wrongType(other.rawValue, "bool")
        }
    }

    private func integer<Number: FixedWidthInteger>(
        _ place: Range<Int>, _: Number.Type, _ name: String
    ) throws(JSONFailure) -> Number {
        var place = place
        if kind(place) == .string {
            // What stands between the quotes is read as JSON.
            place = place.lowerBound + 1..<place.upperBound - 1
            if let text = JSONScanner.check(self.text[place]) { throw JSONFailure(text: text) }
            let begin = skipSpace(place.lowerBound)
            place = begin..<endOfValue(begin, in: place.upperBound)
        }
        switch kind(place) {
        case .null: return 0
        case .number:
            let digits = String(decoding: text[place], as: UTF8.self)
            // Go knows no -0 without a sign.
            guard Number.isSigned || !digits.hasPrefix("-"), let number = Number(digits) else {
                throw Self.wrongType("number " + digits, name)
            }
            return number
        case let other: throw Self.wrongType(other.rawValue, name)
        }
    }

    private func enumeration(_ place: Range<Int>, _ type: GatewayEnumeration) throws(JSONFailure) -> Int32 {
        guard kind(place) == .string else { return try integer(place, Int32.self, "protoreflect.EnumNumber") }
        let name = String(decoding: text[place.lowerBound + 1..<place.upperBound - 1], as: UTF8.self)
        guard let number = type.numbers[name] else {
            let shown = GoText.quoted(text[place])
            throw JSONFailure(text: "unknown value \(shown) for enum \(type.name)")
        }
        return number
    }

    private func string(_ place: Range<Int>) throws(JSONFailure) -> [UInt8] {
        switch kind(place) {
        case .null: return []
        case .string: return Array(String(decoding: unquote(place), as: UTF8.self).utf8)
        case let other: throw Self.wrongType(other.rawValue, "string")
        }
    }

    private func bytes(_ place: Range<Int>) throws(JSONFailure) -> [UInt8] {
        switch kind(place) {
        case .null: return []
        case .string: return try Base64.decode(unquote(place))
        case .array:
            var bytes: [UInt8] = []
            for element in try elements(place, "[]uint8") {
                let kind = kind(element)
                guard kind != .string else { throw Self.wrongType(kind.rawValue, "uint8") }
                bytes.append(try integer(element, UInt8.self, "uint8"))
            }
            return bytes
        case let other: throw Self.wrongType(other.rawValue, "[]uint8")
        }
    }

    private func elements(_ place: Range<Int>, _ name: String) throws(JSONFailure) -> [Range<Int>] {
        let kind = kind(place)
        guard kind == .array else { throw Self.wrongType(kind.rawValue, name) }
        var elements: [Range<Int>] = []
        var next = skipSpace(place.lowerBound + 1)
        while text[next] != UInt8(ascii: "]") {
            let end = endOfValue(next)
            elements.append(next..<end)
            next = skipSpace(end)
            if text[next] == UInt8(ascii: ",") { next = skipSpace(next + 1) }
        }
        return elements
    }

    private static func wrongType(_ found: String, _ wanted: String) -> JSONFailure {
        JSONFailure(text: "json: cannot unmarshal \(found) into Go value of type \(wanted)")
    }

    private static func append(varint number: UInt64, to bytes: inout [UInt8]) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    // MARK: Text, known to be valid

    private func kind(_ place: Range<Int>) -> Kind {
        switch text[place.lowerBound] {
        case UInt8(ascii: "n"): .null
        case UInt8(ascii: "t"), UInt8(ascii: "f"): .bool
        case UInt8(ascii: "\""): .string
        case UInt8(ascii: "["): .array
        case UInt8(ascii: "{"): .object
        default: .number
        }
    }

    private func skipSpace(_ begin: Int) -> Int {
        var place = begin
        while place < text.count, JSONScanner.isSpace(text[place]) { place += 1 }
        return place
    }

    /// - Parameter begin: Of the opening quote.
    private func endOfString(_ begin: Int) -> Int {
        var place = begin + 1
        while text[place] != UInt8(ascii: "\"") { place += text[place] == UInt8(ascii: "\\") ? 2 : 1 }
        return place + 1
    }

    /// - Parameter limit: Where the text ends that it lies in; nil for all of it.
    private func endOfValue(_ begin: Int, in limit: Int? = nil) -> Int {
        let limit = limit ?? text.count
        var place = begin
        var depth = 0
        repeat {
            switch text[place] {
            case UInt8(ascii: "\""): place = endOfString(place)
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                place += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                place += 1
            default:
                place += 1
                while depth == 0, place < limit, !isEndOfWord(text[place]) { place += 1 }
            }
        } while depth > 0
        return place
    }

    private func isEndOfWord(_ byte: UInt8) -> Bool {
        JSONScanner.isSpace(byte) || byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]")
            || byte == UInt8(ascii: "}")
    }

    /// The content of a string, quotes included in `place`; it may be no valid UTF-8.
    private func unquote(_ place: Range<Int>) -> [UInt8] {
        let content = text[place.lowerBound + 1..<place.upperBound - 1]
        guard content.contains(UInt8(ascii: "\\")) else { return Array(content) }
        var result: [UInt8] = []
        var next = content.startIndex
        while next < content.endIndex {
            guard text[next] == UInt8(ascii: "\\") else {
                result.append(text[next])
                next += 1
                continue
            }
            let code = text[next + 1]
            next += 2
            switch code {
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "f"): result.append(0x0c)
            case UInt8(ascii: "n"): result.append(0x0a)
            case UInt8(ascii: "r"): result.append(0x0d)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "u"):
                var unit = hexadecimal(next)
                next += 4
                if (0xd800..<0xdc00).contains(unit), next + 6 <= content.endIndex, text[next] == UInt8(ascii: "\\"),
                    text[next + 1] == UInt8(ascii: "u"), (0xdc00..<0xe000).contains(hexadecimal(next + 2))
                {
                    unit = 0x10000 + (unit - 0xd800) << 10 + (hexadecimal(next + 2) - 0xdc00)
                    next += 6
                }
                result += String(Unicode.Scalar(unit) ?? "\u{fffd}").utf8
            default: result.append(code)
            }
        }
        return result
    }

    private func hexadecimal(_ begin: Int) -> UInt32 {
        UInt32(String(decoding: text[begin..<begin + 4], as: UTF8.self), radix: 16) ?? 0
    }
}
