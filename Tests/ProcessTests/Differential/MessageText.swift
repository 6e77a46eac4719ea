/// One field of a protobuf message in text form: `key: "a"` or `create_request { ... }`.
///
/// A tree, so that a shrinker can leave out parts and a comparison can replace them.
struct TextField: Hashable, Sendable {
    enum Value: Hashable, Sendable {
        /// A number, a name, a `$symbol`, or a string in its quotes.
        case scalar(String)
        case message([TextField])
    }

    var name: String
    var value: Value

    init(_ name: String, _ value: Value) {
        self.name = name
        self.value = value
    }

    init(_ name: String, _ scalar: some CustomStringConvertible) {
        self.init(name, .scalar(scalar.description))
    }

    init(_ name: String, bytes: some Sequence<UInt8>) {
        self.init(name, .scalar(TextField.quoted(bytes)))
    }

    init(_ name: String, _ fields: [TextField]) {
        self.init(name, .message(fields))
    }

    var scalar: String? {
        if case .scalar(let text) = value { text } else { nil }
    }

    var fields: [TextField] {
        if case .message(let fields) = value { fields } else { [] }
    }

    /// Every scalar of the field and of those in it, replaced by what `change` makes of it; a field for which it
    /// returns nil is left out.
    func mapped(_ change: (_ name: String, _ scalar: String) throws -> String?) rethrows -> TextField? {
        switch value {
        case .scalar(let text): try change(name, text).map { TextField(name, .scalar($0)) }
        case .message(let fields): TextField(name, try fields.compactMap { try $0.mapped(change) })
        }
    }

    /// Bytes as a string of the text form; what is not printable stands in octal, as in C.
    static func quoted(_ bytes: some Sequence<UInt8>) -> String {
        var text = "\""
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += "\\" + String(UnicodeScalar(byte))
            case 0x20..<0x7f: text += String(UnicodeScalar(byte))
            default:
                let octal = String(byte, radix: 8)
                text += "\\" + String(repeating: "0", count: 3 - octal.count) + octal
            }
        }
        return text + "\""
    }
}

extension TextField: CustomStringConvertible {
    var description: String {
        switch value {
        case .scalar(let text): "\(name): \(text)"
        case .message(let fields): "\(name) { \(fields.map { $0.description + " " }.joined())}"
        }
    }
}

extension [TextField] {
    /// The fields in one line.
    var text: String { map(\.description).joined(separator: " ") }

    subscript(name: String) -> TextField? { first { $0.name == name } }

    /// Reads fields in the form that `text` and SwiftProtobuf write.
    init(text: some StringProtocol) throws {
        var parser = TextParser(text)
        self = try parser.fields(isNested: false)
    }
}

/// A message is not written as it must be.
struct TextSyntaxError: Error, CustomStringConvertible {
    let description: String
}

private struct TextParser {
    private var rest: ArraySlice<UInt8>

    init(_ text: some StringProtocol) {
        rest = Array(text.utf8)[...]
    }

    mutating func fields(isNested: Bool) throws -> [TextField] {
        var fields: [TextField] = []
        while true {
            skipSpace()
            guard let byte = rest.first else {
                guard !isNested else { throw TextSyntaxError(description: "a { is not closed") }
                return fields
            }
            if byte == UInt8(ascii: "}"), isNested {
                rest.removeFirst()
                return fields
            }
            let name = word()
            guard !name.isEmpty else { throw error("a field name") }
            skipSpace()
            switch rest.popFirst() {
            case UInt8(ascii: "{"): fields.append(TextField(name, try self.fields(isNested: true)))
            case UInt8(ascii: ":"):
                skipSpace()
                fields.append(TextField(name, .scalar(try scalar())))
            default: throw error("':' or '{' behind \(name)")
            }
        }
    }

    private mutating func scalar() throws -> String {
        guard rest.first == UInt8(ascii: "\"") else {
            let word = word()
            guard !word.isEmpty else { throw error("a value") }
            return word
        }
        var end = rest.startIndex + 1
        while end < rest.endIndex, rest[end] != UInt8(ascii: "\"") {
            end += rest[end] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard end < rest.endIndex else { throw TextSyntaxError(description: "a string is not closed") }
        defer { rest = rest[(end + 1)...] }
        return String(decoding: rest[...end], as: UTF8.self)
    }

    private mutating func word() -> String {
        let word = rest.prefix { byte in
            !" \n:{}\"".utf8.contains(byte)
        }
        rest = rest.dropFirst(word.count)
        return String(decoding: word, as: UTF8.self)
    }

    private mutating func skipSpace() {
        rest = rest.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n") }
    }

    private func error(_ wanted: String) -> TextSyntaxError {
        TextSyntaxError(description: "expected \(wanted) at '\(String(decoding: rest.prefix(30), as: UTF8.self))'")
    }
}
