import T4Protocols

/// What a configuration can choose by `type`, with a table of settings for each name.
enum BackendKind: String, CaseIterable, Sendable {
    case engine
    case store
    case election

    /// The flag of a key, `engine-lmdb-map-size-max`; without a key, what the flags of a backend start with.
    ///
    /// The settings of the store s3 have the flags that T4 gave them, `s3-bucket`.
    func flag(of key: String = "", _ name: String) -> String {
        let start = self == .store && name == "s3" ? "s3" : "\(rawValue)-\(name)"
        return "\(start)-\(key)".lowercased().replacing("_", with: "-")
    }

    /// Names that a registry knows, sorted.
    func names(in registry: BackendRegistry) -> [String] {
        switch self {
        case .engine: registry.engineNames
        case .store: registry.storeNames
        case .election: registry.electionNames
        }
    }

    /// Names that can be chosen, sorted: the known ones, and for stores that of no store.
    func choices(in registry: BackendRegistry) -> [String] {
        switch self {
        case .engine: registry.engineNames
        case .store: (registry.storeNames + [Configuration.Store.none]).sorted()
        case .election: registry.electionNames
        }
    }

    /// The keys of a backend's settings.
    func descriptions(of name: String, in registry: BackendRegistry) -> [SettingDescription] {
        switch self {
        case .engine: registry.engineSettings(name)
        case .store: registry.storeSettings(name)
        case .election: registry.electionSettings(name)
        }
    }

    /// Reads settings and opens nothing.
    func check(_ name: String, _ settings: BackendSettings, in registry: BackendRegistry) throws {
        switch self {
        case .engine: try registry.checkEngineSettings(name, settings)
        case .store: try registry.checkStoreSettings(name, settings)
        case .election: try registry.checkElectionSettings(name, settings)
        }
    }

    /// The name that a configuration chooses.
    func type(in configuration: Configuration) -> String {
        switch self {
        case .engine: configuration.engine.type
        case .store: configuration.store.type
        case .election: configuration.election.type
        }
    }

    /// The settings by name.
    func tables(in configuration: Configuration) -> [String: BackendSettings] {
        switch self {
        case .engine: configuration.engine.tables
        case .store: configuration.store.tables
        case .election: configuration.election.tables
        }
    }
}
