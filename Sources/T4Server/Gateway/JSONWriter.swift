/// Writes messages as JSON the way etcd's gateway does: names of the protocol, fields in its order, 64-bit numbers as
/// strings, bytes as base64, names of enumerations; zeros and what is empty left out.
enum JSONWriter {
    private struct Value {
        var slot: Int
        var number: UInt64
        var payload: Range<Int>
    }

    /// Appends a message.
    /// - Throws: When the bytes are none of this type.
    static func append(
        _ message: UnsafeRawBufferPointer, _ type: GatewayMessage, to text: inout [UInt8]
    ) throws(JSONFailure) {
        let values = try values(of: message, type)
        text.append(UInt8(ascii: "{"))
        var isFirst = true
        var index = 0
        while index < values.count {
            let field = type.fields[values[index].slot]
            var end = index + 1
            while end < values.count, values[end].slot == values[index].slot { end += 1 }
            let found = values[index..<end]
            index = end
            if !field.isRepeated, !field.isInOneof, isZero(found[end - 1], field) { continue }
            if !isFirst { text.append(UInt8(ascii: ",")) }
            isFirst = false
            text.append(UInt8(ascii: "\""))
            text += field.name.utf8
            text += "\":".utf8
            if field.isRepeated {
                text.append(UInt8(ascii: "["))
                for (place, value) in found.enumerated() {
                    if place > 0 { text.append(UInt8(ascii: ",")) }
                    try append(value, field.kind, message, to: &text)
                }
                text.append(UInt8(ascii: "]"))
            } else {
                try append(found[end - 1], field.kind, message, to: &text)
            }
        }
        text.append(UInt8(ascii: "}"))
    }

    /// Appends a string, with the escapes that Go makes, which also suit HTML.
    static func append(string: String, to text: inout [UInt8]) {
        text.append(UInt8(ascii: "\""))
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\"".utf8
            case "\\": text += "\\\\".utf8
            case "\n": text += "\\n".utf8
            case "\r": text += "\\r".utf8
            case "\t": text += "\\t".utf8
            case "<", ">", "&", "\u{2028}", "\u{2029}", "\u{0}"..<" ":
                text += "\\u".utf8
                text += GoText.hexadecimal(scalar.value, 4).utf8
            default: text += UTF8.encode(scalar)!
            }
        }
        text.append(UInt8(ascii: "\""))
    }

    private static func isZero(_ value: Value, _ field: GatewayField) -> Bool {
        if field.kind.isVarint { return value.number == 0 }
        if case .message = field.kind { return false }
        return value.payload.isEmpty
    }

    private static func append(
        _ value: Value, _ kind: GatewayKind, _ message: UnsafeRawBufferPointer, to text: inout [UInt8]
    ) throws(JSONFailure) {
        switch kind {
        case .bool: text += (value.number == 0 ? "false" : "true").utf8
        case .int32: text += "\(Int32(truncatingIfNeeded: value.number))".utf8
        case .uint32: text += "\(UInt32(truncatingIfNeeded: value.number))".utf8
        case .int64: text += "\"\(Int64(bitPattern: value.number))\"".utf8
        case .uint64: text += "\"\(value.number)\"".utf8
        case .enumeration(let type):
            let number = Int32(truncatingIfNeeded: value.number)
            text += (type.names[number].map { "\"\($0)\"" } ?? "\(number)").utf8
        case .string:
            append(
                string: String(decoding: UnsafeRawBufferPointer(rebasing: message[value.payload]), as: UTF8.self),
                to: &text)
        case .bytes:
            text.append(UInt8(ascii: "\""))
            Base64.append(UnsafeRawBufferPointer(rebasing: message[value.payload]), to: &text)
            text.append(UInt8(ascii: "\""))
        case .message(let type):
            try append(UnsafeRawBufferPointer(rebasing: message[value.payload]), type, to: &text)
        }
    }

    // MARK: Reading the message

    /// The fields in the order of their numbers, of each in the order of the bytes.
    private static func values(
        of message: UnsafeRawBufferPointer, _ type: GatewayMessage
    ) throws(JSONFailure) -> [Value] {
        var values: [Value] = []
        var isInOrder = true
        var next = 0
        while next < message.count {
            let tag = try varint(message, &next)
            var value = Value(slot: 0, number: 0, payload: next..<next)
            switch tag & 7 {
            case 0: value.number = try varint(message, &next)
            case 1: next += 8
            case 2:
                let length = try varint(message, &next)
                guard length <= UInt64(message.count - next) else { throw unreadable(type) }
                value.payload = next..<next + Int(length)
                next += Int(length)
            case 5: next += 4
            default: throw unreadable(type)
            }
            guard next <= message.count else { throw unreadable(type) }
            guard let slot = type.slot(ofNumber: Int(truncatingIfNeeded: tag >> 3)) else { continue }
            let field = type.fields[slot]
            value.slot = slot
            if let last = values.last, last.slot > slot { isInOrder = false }
            if field.kind.isVarint, tag & 7 == 2, field.isRepeated {
                var place = value.payload.lowerBound
                while place < value.payload.upperBound {
                    values.append(Value(slot: slot, number: try varint(message, &place), payload: 0..<0))
                }
                continue
            }
            guard field.kind.isVarint == (tag & 7 == 0) else { throw unreadable(type) }
            values.append(value)
        }
        guard !isInOrder else { return values }
        return values.enumerated().sorted { ($0.element.slot, $0.offset) < ($1.element.slot, $1.offset) }
            .map(\.element)
    }

    private static func varint(_ bytes: UnsafeRawBufferPointer, _ next: inout Int) throws(JSONFailure) -> UInt64 {
        var number: UInt64 = 0
        var shift: UInt64 = 0
        while next < bytes.count, shift < 70 {
            let byte = bytes[next]
            next += 1
            number |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return number }
            shift += 7
        }
        throw JSONFailure(text: "proto: cannot parse invalid wire-format data")
    }

    private static func unreadable(_ type: GatewayMessage) -> JSONFailure {
        JSONFailure(text: "proto: cannot parse \(type.name)")
    }
}
