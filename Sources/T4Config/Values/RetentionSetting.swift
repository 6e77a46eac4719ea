/// What a retention of history counts.
public enum CompactionMode: String, CaseIterable, Sendable, NamedChoice {
    /// Time.
    case periodic
    /// Revisions.
    case revision
}

/// A retention of history: a time, or a number whose meaning depends on the mode.
///
/// Read as etcd reads it: what is a whole number is one, everything else is a duration with units.
public enum RetentionSetting: Hashable, Sendable {
    /// Hours or revisions, 0 or more; 0 is none.
    case number(Int)
    /// A time.
    case time(Duration)

    /// 3650 days.
    static let hoursMax = 87_600
    private static let times: ClosedRange<Duration> = .seconds(1)...(.seconds(hoursMax * 3600))
}

extension RetentionSetting: SettingValue {
    static var placeholder: String { "DURATION|NUMBER" }
    private static let wanted = "a duration such as \"5m\" or a whole number"

    init(toml: TOMLNode) throws(Refusal) {
        switch toml {
        case .integer(let number): try self.init(text: String(number))
        case .string(let text): try self.init(text: text)
        default: throw .expected(RetentionSetting.wanted, found: toml)
        }
    }

    init(text: String) throws(Refusal) {
        if let number = Int(text) {
            guard number >= 0 else { throw .expected(RetentionSetting.wanted, foundText: text) }
            self = .number(number)
            return
        }
        guard let time = Duration(parsing: text) else {
            throw .expected(RetentionSetting.wanted, foundText: text)
        }
        guard time > .zero else {
            self = .number(0)
            return
        }
        if let refusal = within(RetentionSetting.times)(time) { throw refusal }
        self = .time(time)
    }

    var tomlText: String {
        switch self {
        case .number(let number): number.tomlText
        case .time(let time): time.tomlText
        }
    }
}
