/// One setting: its names, its type and what it is for.
///
/// `all` is the only list of settings. Loading, `t4 run --help`, `t4 config example`, `t4 config show` and
/// `docs/configuration.md` are made from it.
public struct SettingDefinition: Sendable {
    /// The full key in the TOML file: table and name, `node.data_dir`.
    public let key: String
    /// The flag without its dashes, `data-dir`. The environment variable's name follows from it.
    public let flag: String
    /// What the value is, as help shows it: `DIRECTORY`, `SIZE`.
    public let placeholder: String
    /// One or two sentences for an operator.
    public let summary: String
    /// The default as it stands in a TOML file, or nil when it depends on the machine.
    public let defaultTOML: String?
    /// The default for people: the same without quotes, or a few words.
    public let defaultText: String
    /// A unit that a flag's or variable's plain number has, `MiB` for `--segment-max-size-mb 50`.
    let unitOfPlainNumber: String?
    /// What the example file shows where `defaultTOML` is nil.
    let exampleTOML: String
    /// Other flags for the same setting, those of T4 for instance; each has a variable too.
    let aliases: [Alias]
    /// True when a running node takes a new value on SIGHUP; false when the value counts from its next start on.
    public let isReloadable: Bool
    /// True for what is left out where it is not meant. An empty value is refused then, that of a variable too: it is more
    /// likely a mistake, and going on without it would do something else than was asked for.
    let isNeverEmpty: Bool

    let readTOML: @Sendable (TOMLNode, inout Configuration) throws(Refusal) -> Void
    let readText: @Sendable (String, inout Configuration) throws(Refusal) -> Void
    let writeTOML: @Sendable (Configuration) -> String
    /// Takes the value of the first configuration over into the second.
    let copy: @Sendable (Configuration, inout Configuration) -> Void

    /// Another flag for a setting.
    struct Alias: Sendable {
        /// Without its dashes.
        let flag: String
        /// A switch may stand alone, meaning true.
        let isSwitch: Bool
        /// What it does, for help.
        let summary: String
        /// The text that the setting's own flag would have instead.
        let translate: @Sendable (String) throws(Refusal) -> String
    }

    /// The flag and its aliases, each with the way to read its text.
    var names: [Alias] {
        [Alias(flag: flag, isSwitch: isSwitch, summary: summary, translate: { text throws(Refusal) in text })] + aliases
    }

    /// The environment variable, `T4_DATA_DIR`.
    public var environment: String { SettingDefinition.variable(ofFlag: flag) }

    /// The variable that belongs to a flag: `T4_DATA_DIR` for `data-dir`.
    static func variable(ofFlag flag: String) -> String {
        "T4_" + flag.uppercased().replacing("-", with: "_")
    }

    /// The flag that belongs to a variable: `data-dir` for `T4_DATA_DIR`.
    static func flag(ofVariable name: String) -> String {
        name.dropFirst(3).lowercased().replacing("_", with: "-")
    }

    /// The table and the name inside it.
    var path: [String] { key.split(separator: ".").map(String.init) }

    /// True for a flag that may stand alone, meaning true.
    var isSwitch: Bool { placeholder == Bool.placeholder }

    init<Value: SettingValue>(
        _ key: String, flag: String, _ field: any WritableKeyPath<Configuration, Value> & Sendable,
        placeholder: String? = nil, unitOfPlainNumber: String? = nil,
        machineDefault: (text: String, exampleTOML: String)? = nil, aliases: [Alias] = [], isReloadable: Bool = false,
        isNeverEmpty: Bool = false, adjust: @escaping @Sendable (Value) -> Value = { $0 },
        check: (@Sendable (Value) -> Refusal?)? = nil,
        _ summary: String
    ) {
        @Sendable func assign(_ value: Value, to configuration: inout Configuration) throws(Refusal) {
            if let refusal = check?(value) { throw refusal }
            configuration[keyPath: field] = adjust(value)
        }
        self.key = key
        self.flag = flag
        self.placeholder = placeholder ?? Value.placeholder
        self.summary = summary
        self.unitOfPlainNumber = unitOfPlainNumber
        self.isReloadable = isReloadable
        self.isNeverEmpty = isNeverEmpty
        self.aliases = aliases
        let defaultTOML = Configuration()[keyPath: field].tomlText
        self.defaultTOML = machineDefault == nil && !isNeverEmpty ? defaultTOML : nil
        let plainDefault = defaultTOML.filter { $0 != "\"" }
        let emptyText = isNeverEmpty ? "none" : "empty"
        self.defaultText = machineDefault?.text ?? (plainDefault.isEmpty ? emptyText : plainDefault)
        self.exampleTOML = machineDefault?.exampleTOML ?? defaultTOML
        @Sendable func checkIsThere(_ isEmpty: Bool) throws(Refusal) {
            guard isNeverEmpty, isEmpty else { return }
            throw Refusal("it is empty", hint: "leave it out where none is meant")
        }
        readTOML = { node, configuration throws(Refusal) in
            if case .string(let text) = node { try checkIsThere(text.isEmpty) }
            try assign(Value(toml: node), to: &configuration)
        }
        readText = { text, configuration throws(Refusal) in
            try checkIsThere(text.isEmpty)
            let isPlainNumber = !text.isEmpty && text.allSatisfy { $0.isASCII && $0.isNumber }
            try assign(
                Value(text: isPlainNumber ? text + (unitOfPlainNumber ?? "") : text), to: &configuration)
        }
        writeTOML = { $0[keyPath: field].tomlText }
        copy = { $1[keyPath: field] = $0[keyPath: field] }
    }
}

/// A check that a value lies in a range; the refusal names both ends as they are written in the file.
func within<Value: SettingValue & Comparable>(
    _ range: ClosedRange<Value>
) -> @Sendable (Value) -> Refusal? {
    { value in
        range.contains(value)
            ? nil
            : Refusal(
                "\(value.tomlText) is out of range",
                hint: "\(range.lowerBound.tomlText) ... \(range.upperBound.tomlText)")
    }
}

/// As `within`, and 0 is fine too, with a meaning of its own.
func withinOrZero<Value: SettingValue & Comparable & AdditiveArithmetic>(
    _ range: ClosedRange<Value>
) -> @Sendable (Value) -> Refusal? {
    { value in
        guard value != .zero, var refusal = within(range)(value) else { return nil }
        refusal.hint = refusal.hint.map { "\(Value.zero.tomlText), or \($0)" }
        return refusal
    }
}
