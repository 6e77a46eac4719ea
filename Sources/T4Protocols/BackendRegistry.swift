public import Logging

/// The backends that a configuration can name, as a value: no global state.
///
/// ```swift
/// var registry = BackendRegistry.builtIn      // T4BuiltIns; or an empty BackendRegistry()
/// registry.register(engine: "tape", settings: TapeSettings.self) { settings, context throws(BackendError) in
///     try TapeEngine(settings, directory: context.directory)
/// }
/// ```
public struct BackendRegistry: Sendable {
    private typealias EngineMaker = @Sendable (any SettingsSource, EngineContext) throws -> any LocalEngine
    private typealias StoreMaker = @Sendable (any SettingsSource, StoreContext) async throws -> any ObjectStore
    private typealias ElectionMaker = @Sendable (any SettingsSource, ElectionContext) async throws -> any Election

    /// What is registered under a name.
    private struct Backend<Maker: Sendable>: Sendable {
        let make: Maker
        let descriptions: [SettingDescription]
        /// Decodes the settings and opens nothing.
        let check: @Sendable (any SettingsSource) throws -> Void

        init<Settings: Decodable & Sendable>(
            _ settings: Settings.Type, _ descriptions: [SettingDescription] = [], _ make: Maker
        ) {
            self.make = make
            self.descriptions = descriptions
            check = { _ = try $0.decode(settings) }
        }
    }

    private var engines: [String: Backend<EngineMaker>] = [:]
    private var stores: [String: Backend<StoreMaker>] = [:]
    private var elections: [String: Backend<ElectionMaker>] = [:]

    /// A registry that knows no backend.
    public init() {}

    /// Names of the known engines, sorted.
    public var engineNames: [String] { engines.keys.sorted() }
    /// Names of the known object stores, sorted.
    public var storeNames: [String] { stores.keys.sorted() }
    /// Names of the known elections, sorted.
    public var electionNames: [String] { elections.keys.sorted() }

    /// Makes an engine selectable as `[engine] type = "name"`, its settings read from `[engine.name]`.
    ///
    /// A second registration of a name replaces the first.
    /// - Parameter descriptions: The keys of the settings, for help and documents; may be left out.
    public mutating func register<Settings: Decodable & Sendable>(
        engine name: String, settings: Settings.Type, describedBy descriptions: [SettingDescription] = [],
        make: @escaping @Sendable (Settings, EngineContext) throws -> any LocalEngine
    ) {
        engines[name] = Backend(settings, descriptions) { source, context in try make(source.decode(settings), context)
        }
    }

    /// Makes an object store selectable as `[store] type = "name"`, its settings read from `[store.name]`.
    ///
    /// A second registration of a name replaces the first. The name `none` cannot be selected: it stands for no store.
    /// - Parameter descriptions: The keys of the settings, for help and documents; may be left out.
    public mutating func register<Settings: Decodable & Sendable>(
        store name: String, settings: Settings.Type, describedBy descriptions: [SettingDescription] = [],
        make: @escaping @Sendable (Settings, StoreContext) async throws -> any ObjectStore
    ) {
        stores[name] = Backend(settings, descriptions) { source, context in
            try await make(source.decode(settings), context)
        }
    }

    /// Makes an election selectable as `[election] type = "name"`, its settings read from `[election.name]`.
    /// - Parameter descriptions: The keys of the settings, for help and documents; may be left out.
    public mutating func register<Settings: Decodable & Sendable>(
        election name: String, settings: Settings.Type, describedBy descriptions: [SettingDescription] = [],
        make: @escaping @Sendable (Settings, ElectionContext) async throws -> any Election
    ) {
        elections[name] = Backend(settings, descriptions) { source, context in
            try await make(source.decode(settings), context)
        }
    }

    /// Opens the engine of that name.
    /// - Throws: `BackendError.unknown` when no engine has the name; whatever the settings or the engine throw.
    public func makeEngine(
        _ name: String, settings: any SettingsSource, context: EngineContext
    ) throws -> any LocalEngine {
        try known(engines, name, kind: "engine").make(settings, context)
    }

    /// Opens the object store of that name; errors as `makeEngine`.
    public func makeStore(
        _ name: String, settings: any SettingsSource, context: StoreContext
    ) async throws -> any ObjectStore {
        try await known(stores, name, kind: "store").make(settings, context)
    }

    /// Opens the election of that name; errors as `makeEngine`.
    public func makeElection(
        _ name: String, settings: any SettingsSource, context: ElectionContext
    ) async throws -> any Election {
        try await known(elections, name, kind: "election").make(settings, context)
    }

    /// The keys of an engine's settings; empty when the engine is unknown, has none or was registered without them.
    public func engineSettings(_ name: String) -> [SettingDescription] { engines[name]?.descriptions ?? [] }

    /// The keys of an object store's settings; empty as for `engineSettings`.
    public func storeSettings(_ name: String) -> [SettingDescription] { stores[name]?.descriptions ?? [] }

    /// The keys of an election's settings; empty as for `engineSettings`.
    public func electionSettings(_ name: String) -> [SettingDescription] { elections[name]?.descriptions ?? [] }

    /// Reads the settings of an engine as `makeEngine` does, and opens nothing.
    /// - Throws: `BackendError.unknown` when no engine has the name; whatever is wrong with the settings.
    public func checkEngineSettings(_ name: String, _ settings: any SettingsSource) throws {
        try known(engines, name, kind: "engine").check(settings)
    }

    /// Reads the settings of an object store as `makeStore` does, and opens nothing; errors as `checkEngineSettings`.
    public func checkStoreSettings(_ name: String, _ settings: any SettingsSource) throws {
        try known(stores, name, kind: "store").check(settings)
    }

    /// Reads the settings of an election as `makeElection` does, and opens nothing; errors as `checkEngineSettings`.
    public func checkElectionSettings(_ name: String, _ settings: any SettingsSource) throws {
        try known(elections, name, kind: "election").check(settings)
    }

    private func known<Maker>(
        _ backends: [String: Backend<Maker>], _ name: String, kind: String
    ) throws(BackendError) -> Backend<Maker> {
        guard let backend = backends[name] else {
            throw .unknown(kind: kind, name: name, known: backends.keys.sorted())
        }
        return backend
    }
}

/// Where a backend's settings come from: a table of the TOML file, the environment, or a test's dictionary.
public protocol SettingsSource: Sendable {
    /// Reads the settings, refusing keys that `Settings` does not know.
    func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings
}

/// What an engine may use.
public struct EngineContext: Sendable {
    /// An existing directory that belongs to this engine alone.
    public var directory: String
    /// Open without changing anything; `apply`, `sync` and `bulkLoad` throw `.unsupported`.
    public var isReadOnly: Bool
    /// For messages of this engine.
    public var logger: Logger

    /// Describes an engine's surroundings.
    public init(directory: String, isReadOnly: Bool, logger: Logger) {
        self.directory = directory
        self.isReadOnly = isReadOnly
        self.logger = logger
    }
}

/// What an object store may use.
public struct StoreContext: Sendable {
    /// The node's data directory.
    public var dataDirectory: String
    /// For messages of this store.
    public var logger: Logger

    /// Describes a store's surroundings.
    public init(dataDirectory: String, logger: Logger) {
        self.dataDirectory = dataDirectory
        self.logger = logger
    }
}

/// What an election may use.
public struct ElectionContext: Sendable {
    /// The node's data directory.
    public var dataDirectory: String
    /// The configured object store below the prefix of the database, so that two databases in one store have an election
    /// each; nil when there is none.
    public var store: (any ObjectStore)?
    /// For messages of this election.
    public var logger: Logger

    /// Describes an election's surroundings.
    public init(dataDirectory: String, store: (any ObjectStore)?, logger: Logger) {
        self.dataDirectory = dataDirectory
        self.store = store
        self.logger = logger
    }
}

/// A backend could not be chosen.
public enum BackendError: Error, Sendable, CustomStringConvertible {
    /// No backend of that kind has the name.
    case unknown(kind: String, name: String, known: [String])

    /// Names the kind, the unknown name and the known ones.
    public var description: String {
        switch self {
        case .unknown(let kind, let name, let known):
            "no \(kind) named \"\(name)\" in this build (known: \(known.isEmpty ? "none" : known.joined(separator: ", ")))"
        }
    }
}
