/// Finds where a JSON value ends, byte by byte, and says what is wrong with one that is none: in the words of Go's
/// package, which etcd's clients get to see.
struct JSONScanner {
    enum Step {
        /// The value goes on.
        case goesOn
        /// The byte was the last one of an object or array.
        case ends
        /// The value ended before this byte.
        case ended
        case failed(String)
    }

    private enum State {
        case beginValue
        case beginValueOrEmpty
        case beginStringOrEmpty
        case beginString
        case endValue
        case endTop
        case string
        case escape
        /// So many hexadecimal digits have come.
        case hexadecimal(Int)
        case negative
        case zero
        case digits
        case point
        case fraction
        case exponent
        case exponentSign
        case exponentDigits
        /// So many letters of `true`, `false` or `null` have come.
        case literal(StaticString, Int)
    }

    private enum Container {
        case objectKey
        case objectValue
        case array
    }

    private static let depthMax = 10_000

    private var state = State.beginValue
    private var containers: [Container] = []

    /// Nothing but space has come.
    private(set) var isAtBeginning = true

    /// Takes the next byte.
    mutating func feed(_ byte: UInt8) -> Step {
        // Most bytes of a large request are those of a long string.
        if case .string = state, byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { return .goesOn }
        if isAtBeginning, !Self.isSpace(byte) { isAtBeginning = false }
        return step(byte)
    }

    /// Checks a whole text for one value and nothing else.
    /// - Returns: What is wrong with it.
    static func check(_ text: some Sequence<UInt8>) -> String? {
        var scanner = JSONScanner()
        for byte in text {
            switch scanner.feed(byte) {
            case .goesOn, .ends: break
            case .ended: if !isSpace(byte) { return invalid(byte, "after top-level value") }
            case .failed(let text): return text
            }
        }
        if case .endTop = scanner.state { return nil }
        return switch scanner.feed(0x20) {
        case .ended: nil
        case .failed(let text): text
        case .goesOn, .ends: "unexpected end of JSON input"
        }
    }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 }

    private mutating func step(_ byte: UInt8) -> Step {
        switch state {
        case .beginValue: return beginValue(byte)
        case .beginValueOrEmpty:
            return byte == UInt8(ascii: "]") ? endValue(byte) : beginValue(byte)
        case .beginStringOrEmpty:
            guard byte == UInt8(ascii: "}") else { return beginString(byte) }
            containers[containers.count - 1] = .objectValue
            return endValue(byte)
        case .beginString: return beginString(byte)
        case .endValue: return endValue(byte)
        case .endTop: return .ended
        case .string:
            if byte == UInt8(ascii: "\"") {
                state = .endValue
            } else if byte == UInt8(ascii: "\\") {
                state = .escape
            } else if byte < 0x20 {
                return Self.failure(byte, "in string literal")
            }
            return .goesOn
        case .escape:
            if byte == UInt8(ascii: "u") {
                state = .hexadecimal(0)
            } else if "bfnrt\\/\"".utf8.contains(byte) {
                state = .string
            } else {
                return Self.failure(byte, "in string escape code")
            }
            return .goesOn
        case .hexadecimal(let count):
            guard Self.isHexadecimal(byte) else {
                return Self.failure(byte, "in \\u hexadecimal character escape")
            }
            state = count == 3 ? .string : .hexadecimal(count + 1)
            return .goesOn
        case .literal(let text, let count): return literal(byte, text, count)
        default: return number(byte)
        }
    }

    private mutating func beginValue(_ byte: UInt8) -> Step {
        if Self.isSpace(byte) { return .goesOn }
        switch byte {
        case UInt8(ascii: "{"): return begin(.objectKey, .beginStringOrEmpty)
        case UInt8(ascii: "["): return begin(.array, .beginValueOrEmpty)
        case UInt8(ascii: "\""): state = .string
        case UInt8(ascii: "-"): state = .negative
        case UInt8(ascii: "0"): state = .zero
        case UInt8(ascii: "1")...UInt8(ascii: "9"): state = .digits
        case UInt8(ascii: "t"): state = .literal("true", 1)
        case UInt8(ascii: "f"): state = .literal("false", 1)
        case UInt8(ascii: "n"): state = .literal("null", 1)
        default: return Self.failure(byte, "looking for beginning of value")
        }
        return .goesOn
    }

    private mutating func begin(_ container: Container, _ next: State) -> Step {
        guard containers.count < Self.depthMax else {
            return Self.failure(container == .array ? UInt8(ascii: "[") : UInt8(ascii: "{"), "exceeded max depth")
        }
        containers.append(container)
        state = next
        return .goesOn
    }

    private mutating func beginString(_ byte: UInt8) -> Step {
        if Self.isSpace(byte) { return .goesOn }
        guard byte == UInt8(ascii: "\"") else {
            return Self.failure(byte, "looking for beginning of object key string")
        }
        state = .string
        return .goesOn
    }

    private mutating func endValue(_ byte: UInt8) -> Step {
        guard let container = containers.last else {
            state = .endTop
            return .ended
        }
        if Self.isSpace(byte) {
            state = .endValue
            return .goesOn
        }
        switch (container, byte) {
        case (.objectKey, UInt8(ascii: ":")):
            containers[containers.count - 1] = .objectValue
            state = .beginValue
        case (.objectKey, _): return Self.failure(byte, "after object key")
        case (.objectValue, UInt8(ascii: ",")):
            containers[containers.count - 1] = .objectKey
            state = .beginString
        case (.array, UInt8(ascii: ",")): state = .beginValue
        case (.objectValue, UInt8(ascii: "}")), (.array, UInt8(ascii: "]")):
            containers.removeLast()
            guard containers.isEmpty else {
                state = .endValue
                return .goesOn
            }
            state = .endTop
            return .ends
        case (.objectValue, _): return Self.failure(byte, "after object key:value pair")
        case (.array, _): return Self.failure(byte, "after array element")
        }
        return .goesOn
    }

    private mutating func literal(_ byte: UInt8, _ text: StaticString, _ count: Int) -> Step {
        let expected = text.utf8Start[count]
        guard byte == expected else {
            return Self.failure(byte, "in literal \(text) (expecting '\(Unicode.Scalar(expected))')")
        }
        state = count + 1 == text.utf8CodeUnitCount ? .endValue : .literal(text, count + 1)
        return .goesOn
    }

    private mutating func number(_ byte: UInt8) -> Step {
        let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        let isExponent = byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E")
        switch state {
        case .negative:
            guard isDigit else { return Self.failure(byte, "in numeric literal") }
            state = byte == UInt8(ascii: "0") ? .zero : .digits
        case .digits where isDigit: break
        case .digits, .zero:
            if byte == UInt8(ascii: ".") {
                state = .point
            } else if isExponent {
                state = .exponent
            } else {
                return endValue(byte)
            }
        case .point:
            guard isDigit else { return Self.failure(byte, "after decimal point in numeric literal") }
            state = .fraction
        case .fraction:
            if isExponent {
                state = .exponent
            } else if !isDigit {
                return endValue(byte)
            }
        case .exponent where byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-"): state = .exponentSign
        case .exponent, .exponentSign:
            guard isDigit else { return Self.failure(byte, "in exponent of numeric literal") }
            state = .exponentDigits
        default: if !isDigit { return endValue(byte) }
        }
        return .goesOn
    }

    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
            UInt8(ascii: "A")...UInt8(ascii: "F"):
            true
        default: false
        }
    }

    private static func failure(_ byte: UInt8, _ place: String) -> Step { .failed(invalid(byte, place)) }

    private static func invalid(_ byte: UInt8, _ place: String) -> String {
        let shown =
            switch byte {
            case UInt8(ascii: "'"): "\\'"
            case UInt8(ascii: "\""): "\""
            default: GoText.escaped(Unicode.Scalar(byte))
            }
        return "invalid character '\(shown)' " + place
    }
}
