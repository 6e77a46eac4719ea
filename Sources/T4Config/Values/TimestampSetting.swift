import T4Protocols

/// A setting that is a moment where it is there.
extension Timestamp?: SettingValue {
    static var placeholder: String { "TIME" }
    private static var wanted: String { "a time such as \"2024-06-01T12:00:00Z\"" }

    init(toml: TOMLNode) throws(Refusal) {
        switch toml {
        case .string(let text): try self.init(text: text)
        case .date(let text):
            throw Refusal("expected \(Timestamp?.wanted), found the date \(text)", hint: "write it in quotes")
        default: throw .expected(Timestamp?.wanted, found: toml)
        }
    }

    init(text: String) throws(Refusal) {
        guard let moment = Timestamp(text) else {
            throw Refusal(
                Refusal.expected(Timestamp?.wanted, foundText: text).reason,
                hint: "date, T, time and Z or an offset such as +02:00, as RFC 3339 has them")
        }
        self = moment
    }

    var tomlText: String { quoted(map(\.description) ?? "") }
}
