/// One key of a backend's settings, as help, the example file and the documents show it.
public struct SettingDescription: Hashable, Sendable {
    /// The key in the backend's table: `map_size_max`.
    public var key: String
    /// What the value is: `SIZE`, `NUMBER`, `true|false`.
    public var value: String
    /// The default as it stands in a TOML file, quotes included; nil when it depends on other things.
    public var defaultTOML: String?
    /// The default for people: the same without quotes, or a few words.
    public var defaultText: String
    /// One or two sentences for an operator.
    public var summary: String
    /// Whether an empty environment variable is handed to the backend, which refuses it, instead of counting as not set: for
    /// keys whose absence means something that nobody must get by mistake.
    public var isNeverEmpty = false

    /// A key with a fixed default.
    public init(_ key: String, value: String, defaultTOML: String, _ summary: String) {
        self.key = key
        self.value = value
        self.defaultTOML = defaultTOML
        self.defaultText = defaultTOML.filter { $0 != "\"" }
        self.summary = summary
    }

    /// A key that is required, or whose default takes a few words.
    public init(_ key: String, value: String, defaultText: String, isNeverEmpty: Bool = false, _ summary: String) {
        self.key = key
        self.value = value
        self.defaultTOML = nil
        self.defaultText = defaultText
        self.isNeverEmpty = isNeverEmpty
        self.summary = summary
    }
}
