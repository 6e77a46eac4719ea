public import Logging
public import T4Protocols

/// Brings a stopped data directory further by pieces of the log that `Shipment` wrote: its engine and its log then hold what the
/// database wrote behind it.
///
/// Entries that are there already are passed over, so the same piece may come again, and pieces may overlap. An attempt that is cut off
/// leaves the directory at an entry in between, from which the next one goes on.
public struct ShipmentReplay: Sendable {
    /// How far.
    public enum Limit: Hashable, Sendable {
        /// To the end.
        case end
        /// Up to the entry that made this revision; a directory that is there already stays as it is.
        case revision(Revision)
        /// Up to the last entry that was committed at this time or before, in nanoseconds since 1970.
        case time(UInt64)
    }

    /// What became of it.
    public struct Report: Hashable, Sendable {
        /// Id of the database, 32 hexadecimal digits.
        public var databaseID: String
        /// The newest revision of the directory now.
        public var revision: Revision
        /// The last entry of the directory now.
        public var end: LogPosition
        /// Entries that it did not have before.
        public var entryCount: UInt64 = 0
        /// How many of them came from the object store, for the piece began behind them.
        public var healedCount: UInt64 = 0
        /// The last revision of the piece; that of the directory where it has none.
        public var shippedRevision: Revision
    }

    private let dataDirectory: String
    private let registry: BackendRegistry
    private let settings: @Sendable (String) -> any SettingsSource
    private let logger: Logger

    /// - Parameters:
    ///   - dataDirectory: One of the same database: a restored backup, mostly. No node may run in it.
    ///   - registry: Must know the engine that the directory was last used with.
    ///   - settings: The settings of an engine by its name.
    public init(
        dataDirectory: String, registry: BackendRegistry, logger: Logger,
        settings: @escaping @Sendable (String) -> any SettingsSource = { _ in NoSettings() }
    ) {
        self.dataDirectory = dataDirectory
        self.registry = registry
        self.settings = settings
        self.logger = logger
    }

    static func diverged(at index: UInt64) -> ReplayError {
        ReplayError(
            .diverged,
            "entry \(index) of the log is another one here: the directory has gone on by itself, or holds what its database gave up; "
                + "begin anew with a restored backup")
    }

    /// Takes the entries of a file. Blocks.
    /// - Parameter source: Where the database is kept, for what is missing before the first entry of the file; nil for nowhere.
    /// - Throws: `ReplayError`; of the file, the log, the engine and the store.
    public func run(_ file: BackupFile, to limit: Limit = .end, healingFrom source: RestorePoint? = nil) throws
        -> Report
    {
        guard file.isLog else {
            throw ReplayError(
                .notALog, "the file is a backup and no piece of the log; t4 restore makes a directory of it")
        }
        let store = BlockingStore(file)
        guard let database = try DatabaseObject.read(store)?.id else {
            throw BackupError(.damaged, "the file does not say which database it belongs to")
        }
        guard DurableFile.isDirectory(dataDirectory), let identity = try DataDirectory.readIdentity(dataDirectory)
        else {
            throw ReplayError(
                .noDirectory, "\(dataDirectory) is not a data directory of t4: make it of a backup with t4 restore")
        }
        guard identity.database == database else {
            throw ReplayError(
                .wrongDatabase,
                "the file is of database \(database), and \(dataDirectory) belongs to database \(identity.database)"
                    + (identity.lineage?.database == database.description
                        ? ", which began in that one: it cannot follow it any more" : ""))
        }
        let directory = try DataDirectory(dataDirectory)
        defer { directory.unlock() }
        var follower = try Follower(directory, identity, try home(directory), logger)
        do {
            let report = try follower.take(store, to: limit, healingFrom: source)
            try follower.close()
            return report
        } catch {
            follower.abandon()
            throw error
        }
    }

    private func home(_ directory: DataDirectory) throws -> EngineHome {
        guard let state = try EngineHome.readState(directory.engine), !state.isVolatile else {
            throw ReplayError(.noDirectory, "\(dataDirectory) keeps no engine on disk that could be brought further")
        }
        let (registry, type, settings) = (registry, state.type, settings(state.type))
        return EngineHome(directory, type: type, logger: logger) { context in
            try registry.makeEngine(type, settings: settings, context: context)
        }
    }
}
