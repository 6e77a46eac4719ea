public import T4Protocols

/// The table of a backend, `[engine.lmdb]` for instance, handed through to it.
public struct EngineSettings: SettingsSource {
    private let path: [String]
    private let table: [String: TOMLNode]
    private let document: TOMLDocument?

    /// An empty table: the backend's own defaults.
    public init() { self.init(path: ["engine"], table: [:], document: nil) }

    init(path: [String], table: [String: TOMLNode], document: TOMLDocument?) {
        self.path = path
        self.table = table
        self.document = document
    }

    /// Reads the table as the backend's settings.
    /// - Throws: `ConfigurationError`, with the place in the file: a key that `Settings` never asks for, one that is
    ///   missing, a wrong type, or whatever error the type itself throws.
    public func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
        let asked = AskedKeys()
        let settings: Settings
        do {
            settings = try Settings(from: TOMLNodeDecoder(.table(table), path: [], asked: asked))
        } catch let error as DecodingError {
            throw ConfigurationError(problem(of: error))
        } catch {
            throw ConfigurationError(problem(at: [], "\(error)"))
        }
        let unknown = asked.unknown().map { path, name, known in
            problem(
                at: path + [name], "unknown key",
                nearestName(to: name, among: known).map { "did you mean \(quoted($0))?" }
                    ?? (known.isEmpty ? nil : "known: \(known.joined(separator: ", "))"))
        }
        guard unknown.isEmpty else { throw ConfigurationError(unknown) }
        return settings
    }

    private func problem(of error: DecodingError) -> ConfigurationError.Problem {
        switch error {
        case .keyNotFound(let key, let context):
            problem(at: context.codingPath.map(\.stringValue), "the key \(quoted(key.stringValue)) is missing")
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            problem(at: context.codingPath.map(\.stringValue), context.debugDescription)
        @unknown default: problem(at: [], "\(error)")
        }
    }

    private func problem(at path: [String], _ reason: String, _ hint: String? = nil) -> ConfigurationError.Problem {
        let full = self.path + path
        return ConfigurationError.Problem(
            at: document?.location(of: full) ?? .none, key: full.map(tomlKey).joined(separator: "."),
            reason: reason, hint: hint)
    }
}
