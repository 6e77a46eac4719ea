public import T4Protocols

/// The settings of a backend: its table, `[engine.lmdb]` for instance, and what flags and variables put in its place.
public struct BackendSettings: SettingsSource {
    /// The keys above the table and its own: `engine`, `lmdb`.
    let path: [String]
    /// Values by key. Those of flags and variables are texts without a type of their own.
    private(set) var table: [String: TOMLNode]
    private let document: TOMLDocument?
    /// Where the values of flags and variables come from.
    private var overrides: [String: ConfigurationError.Location] = [:]
    /// What to blame for a key that is missing when there is no table.
    private let reason: ConfigurationError.Location

    /// - Parameter reason: Why these settings count at all: where the backend was chosen.
    init(
        path: [String], table: [String: TOMLNode] = [:], document: TOMLDocument? = nil,
        reason: ConfigurationError.Location = .none
    ) {
        self.path = path
        self.table = table
        self.document = document
        self.reason = reason
    }

    /// Puts the text of a flag or of a variable in the place of what the table says.
    mutating func set(_ key: String, _ text: String, from location: ConfigurationError.Location) {
        table[key] = .text(text)
        overrides[key] = location
    }

    /// The text of a key; nil when there is none, or a value of another type.
    func text(_ key: String) -> String? {
        switch table[key] {
        case .string(let text), .text(let text): text
        default: nil
        }
    }

    /// Where the table stands, or else why there are settings at all.
    var place: ConfigurationError.Location { location(of: []) }

    /// Where the value of a key comes from.
    func origin(of key: String) -> ConfigurationError.Location { location(of: [key]) }

    /// Reads the table as the backend's settings.
    /// - Throws: `ConfigurationError`, with the place in the file: a key that `Settings` never asks for, one that is
    ///   missing, a wrong type, or whatever error the type itself throws. No message shows the value of a secret.
    public func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
        let asked = AskedKeys()
        let settings: Settings
        do {
            settings = try Settings(from: TOMLNodeDecoder(.table(table), path: [], asked: asked))
        } catch let error as DecodingError {
            throw ConfigurationError(problem(of: error, asked))
        } catch {
            throw ConfigurationError(problem(at: [], "\(error)"))
        }
        let unknown = asked.unknown().map { path, name, known in
            problem(
                at: path + [name], "unknown key",
                nearestName(to: name, among: known).map { "did you mean \(quoted($0))?" }
                    ?? (known.isEmpty ? "the table has no keys" : "known: \(known.joined(separator: ", "))"))
        }
        guard unknown.isEmpty else { throw ConfigurationError(unknown) }
        return settings
    }

    private func problem(of error: DecodingError, _ asked: AskedKeys) -> ConfigurationError.Problem {
        switch error {
        case .keyNotFound(let key, let context):
            let path = context.codingPath.map(\.stringValue)
            let others = asked.notAsked(in: path)
            return problem(
                at: path, "the key \(quoted(key.stringValue)) is missing",
                nearestName(to: key.stringValue, among: others).map { "is \(quoted($0)) meant to be it?" })
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            return problem(at: context.codingPath.map(\.stringValue), context.debugDescription)
        @unknown default: return problem(at: [], "\(error)")
        }
    }

    private func problem(at path: [String], _ reason: String, _ hint: String? = nil) -> ConfigurationError.Problem {
        ConfigurationError.Problem(
            at: location(of: path), key: (self.path + path).map(tomlKey).joined(separator: "."),
            reason: withoutSecrets(reason), hint: hint)
    }

    private func location(of path: [String]) -> ConfigurationError.Location {
        if let key = path.first, let location = overrides[key] { return location }
        let found = document?.location(of: self.path + path)
        if case .file(_, .some, _) = found { return found ?? reason }
        return reason
    }

    /// A backend may quote its settings in what it says about them.
    private func withoutSecrets(_ text: String) -> String {
        TOMLNode.table(table).secretTexts(isSecret: false).reduce(text) { $0.replacing($1, with: Secret.redacted) }
    }
}
