/// A type that a setting can have: read from a TOML value, a flag or an environment variable, and written as TOML.
protocol SettingValue: Hashable, Sendable {
    /// What a flag's help shows in place of the value: `SIZE`, `DURATION`.
    static var placeholder: String { get }

    /// Reads a value of the TOML file.
    init(toml: TOMLNode) throws(Refusal)

    /// Reads the text of a flag or of an environment variable.
    init(text: String) throws(Refusal)

    /// The value as it stands in a TOML file, quotes included.
    var tomlText: String { get }
}

/// Why a text or a TOML value is not a value of a setting's type.
struct Refusal: Error, Hashable {
    /// What is wrong: `expected a size such as "50MiB", found "fifty"`.
    var reason: String
    /// What to do about it, where that is not obvious.
    var hint: String?

    init(_ reason: String, hint: String? = nil) {
        self.reason = reason
        self.hint = hint
    }

    /// The usual refusal: another kind of value was expected.
    static func expected(_ wanted: String, found: String) -> Refusal {
        Refusal("expected \(wanted), found \(found)")
    }

    static func expected(_ wanted: String, found node: TOMLNode) -> Refusal {
        expected(wanted, found: node.summary)
    }

    static func expected(_ wanted: String, foundText text: String) -> Refusal {
        expected(wanted, found: text.isEmpty ? "nothing" : quoted(text))
    }
}

extension String: SettingValue {
    static var placeholder: String { "TEXT" }

    init(toml: TOMLNode) throws(Refusal) {
        guard case .string(let text) = toml else { throw .expected("a text in quotes", found: toml) }
        self = text
    }

    init(text: String) throws(Refusal) { self = text }

    var tomlText: String { quoted(self) }
}

extension Int: SettingValue {
    static var placeholder: String { "NUMBER" }

    init(toml: TOMLNode) throws(Refusal) {
        guard case .integer(let number) = toml else { throw .expected("a whole number", found: toml) }
        self = number
    }

    init(text: String) throws(Refusal) {
        guard let number = Int(text) else { throw .expected("a whole number", foundText: text) }
        self = number
    }

    var tomlText: String { String(self) }
}

extension Bool: SettingValue {
    static var placeholder: String { "true|false" }

    init(toml: TOMLNode) throws(Refusal) {
        guard case .boolean(let value) = toml else { throw .expected("true or false", found: toml) }
        self = value
    }

    init(text: String) throws(Refusal) {
        switch text {
        case "true", "1": self = true
        case "false", "0": self = false
        default: throw .expected("true or false", foundText: text)
        }
    }

    var tomlText: String { self ? "true" : "false" }
}

/// A setting that is one of a few names.
protocol NamedChoice: SettingValue, CaseIterable, RawRepresentable where RawValue == String {}

extension NamedChoice {
    static var placeholder: String { Self.allCases.map(\.rawValue).joined(separator: "|") }

    init(toml: TOMLNode) throws(Refusal) {
        guard case .string(let text) = toml else { throw .expected("one of \(Self.list)", found: toml) }
        try self.init(text: text)
    }

    init(text: String) throws(Refusal) {
        guard let value = Self(rawValue: text) else {
            let nearest = nearestName(to: text, among: Self.allCases.map(\.rawValue))
            var refusal = Refusal.expected("one of \(Self.list)", foundText: text)
            refusal.hint = nearest.map { "did you mean \(quoted($0))?" }
            throw refusal
        }
        self = value
    }

    var tomlText: String { quoted(rawValue) }

    private static var list: String { Self.allCases.map { quoted($0.rawValue) }.joined(separator: ", ") }
}

/// The text as a TOML basic string, quotes included; control characters are escaped.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case _ where scalar.value < 0x20 || scalar.value == 0x7F:
            let digits = String(scalar.value, radix: 16, uppercase: true)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
