extension Duration {
    /// Reads a duration: numbers with units, largest first, as in `"10s"`, `"1h30m"`, `"1.5s"`, `"250ms"`.
    ///
    /// Units are `ns`, `us`, `ms`, `s`, `m`, `h` and `d` (24 hours). A plain `"0"` needs none. Nil when the text is no
    /// duration, or one of more than 2^63 nanoseconds.
    package init?(parsing text: String) {
        guard text != "0" else {
            self = .zero
            return
        }
        var rest = Substring(text)
        var total = 0
        var largest = Int.max
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(number.count)
            let name = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(name.count)
            guard let unit = Duration.units.first(where: { $0.name == name }), unit.nanoseconds < largest,
                let part = wholeProduct(of: number, times: unit.nanoseconds)
            else { return nil }
            largest = unit.nanoseconds
            let (sum, overflows) = total.addingReportingOverflow(part)
            guard !overflows else { return nil }
            total = sum
        }
        self = .nanoseconds(total)
    }

    /// The duration as `init(parsing:)` reads it, in whole numbers: `1h30m`, `1s500ms`; below a nanosecond it is cut.
    package var text: String {
        let (seconds, attoseconds) = components
        var rest = Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
        guard rest > 0 else { return "0s" }
        var result = ""
        for unit in Duration.units.reversed() where rest >= unit.nanoseconds && unit.name != "d" {
            result += "\(rest / unit.nanoseconds)\(unit.name)"
            rest %= unit.nanoseconds
        }
        return result
    }

    private static let units: [(name: String, nanoseconds: Int)] = [
        ("ns", 1), ("us", 1000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
        ("h", 3_600_000_000_000), ("d", 86_400_000_000_000),
    ]
}

extension Duration: SettingValue {
    static var placeholder: String { "DURATION" }
    private static let wanted = "a duration such as \"10s\", \"15m\" or \"1h30m\""

    init(toml: TOMLNode) throws(Refusal) {
        switch toml {
        case .string(let text): try self.init(text: text)
        case .integer(let number):
            throw Refusal(
                "expected \(Duration.wanted), found \(toml.summary)",
                hint: number < 0 ? nil : "write the unit: \"\(number)s\"")
        default: throw .expected(Duration.wanted, found: toml)
        }
    }

    init(text: String) throws(Refusal) {
        guard let duration = Duration(parsing: text) else {
            let hint = Duration(parsing: text + "s") == nil ? nil : "write the unit: \"\(text)s\""
            throw Refusal(Refusal.expected(Duration.wanted, foundText: text).reason, hint: hint)
        }
        self = duration
    }

    var tomlText: String { quoted(text) }
}
