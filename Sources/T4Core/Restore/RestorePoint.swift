public import Logging
import Synchronization
public import T4Protocols

/// A state of a database that its object store keeps, to be restored into a new data directory: a checkpoint, or any
/// moment that the log reaches.
///
/// The store is only read. Nodes may use it meanwhile.
public struct RestorePoint: Sendable {
    /// Which state.
    public enum Target: Hashable, Sendable {
        /// That of the newest checkpoint. Where that one is damaged an older one and the log behind it lead there.
        case latestCheckpoint
        /// That of the checkpoint with this manifest.
        case checkpoint(ObjectKey)
        /// That of the last log entry in the store.
        case end
        /// That after the entry which made the revision.
        case revision(Revision)
        /// That after the last entry which was committed at this time or before, in nanoseconds since 1970. Behind the
        /// last entry it is that of the end.
        case time(UInt64)
    }

    /// Where the database is kept. Not closed.
    public var store: any ObjectStore
    /// Stands before every name of the database in the store.
    public var prefix: String
    /// Which state.
    public var target: Target
    /// The restored database goes on above the last revision of the one that it comes from, with all history before
    /// compacted: clients never see a revision go back, and each watch from before ends as compacted. It is then always
    /// a database of its own.
    public var bumpsRevision = false
    /// How far above the last revision that is known the bumped one is to be: 2 or more, for watches that begin right behind it must
    /// find it compacted.
    public var bump: Int64 = 2

    /// The state that a backup holds.
    public init(_ backup: BackupFile) {
        // Of a cut nothing is whole, and there is nothing behind its end.
        self.init(store: backup, target: backup.isCut ? .time(.max) : .end)
    }

    /// A state of the database under a prefix of a store.
    public init(store: any ObjectStore, prefix: String = "", target: Target = .latestCheckpoint) {
        self.store = store
        self.prefix = prefix
        self.target = target
    }

    /// Says what a restore would do. Reads manifests and the log behind the checkpoint, and writes nothing.
    /// - Throws: `RestoreError` with what could be restored instead; a description of a damaged object or of what the
    ///   store answered.
    public func plan() async throws -> RestorePlan {
        try await SystemThread.run("t4-restore") {
            let source = try open(ByteCounter())
            return try source.restorer.course(to: target, bumpsRevision: bumpsRevision).plan
        }
    }

    /// Makes a data directory with that state.
    ///
    /// It is made under another name beside its place, `NAME.restoring-` and 16 hexadecimal digits, and renamed once it is
    /// complete and on disk. After an error, and after a crash, there is no data directory; what a crash left under the
    /// other name is removed by the next restore to the same place.
    ///
    /// Holds in memory: of each run of the checkpoint up to five tables of at most 16 MiB, 64 MiB of history, and the
    /// names of what was changed since the compacted revision; later nine objects of the log and their entries.
    /// - Parameters:
    ///   - registry: Must know the engine.
    ///   - progress: Called on the thread of the restore.
    /// - Throws: `RestoreError`; a description of a damaged object of the log, or of what the store or the engine answered.
    public func restore(
        into destination: RestoreDestination, registry: BackendRegistry, logger: Logger,
        progress: @escaping @Sendable (RestoreProgress) -> Void = { _ in }
    ) async throws -> RestoreReport {
        try await SystemThread.run("t4-restore") {
            try restore(into: destination, registry, logger, progress) { _ in }
        }
    }

    /// Writes that state into a file. The store is only read; nodes may use it meanwhile.
    ///
    /// Every byte that is copied is checked. A `BackupFile` of it says whether a restore of this very state gives a new database; for
    /// what is restored from the file, `isCut` decides the same.
    /// - Throws: As `plan`, a description of a damaged object, and what `output` throws; the file is of no use then.
    public func backup(to output: @escaping Backup.Output) async throws -> Backup.Report {
        try await SystemThread.run("t4-backup") {
            let (restorer, database) = try open()
            return try restorer.restore(to: target) { try Backup.write($0, of: database, restorer, to: output) }
        }
    }

    /// - Parameter onStep: What it throws ends the restore.
    func restore(
        into destination: RestoreDestination, _ registry: BackendRegistry, _ logger: Logger,
        _ progress: @escaping (RestoreProgress) -> Void, onStep: @escaping (RestoredDirectory.Step) throws -> Void
    ) throws -> RestoreReport {
        try registry.checkEngineSettings(destination.engine, destination.engineSettings)
        let directory = try RestoredDirectory(destination.dataDirectory, logger: logger, onStep: onStep)
        let read = ByteCounter()
        let (restorer, database) = try open(read)
        return try restorer.restore(to: target, bumpsRevision: bumpsRevision) { course in
            let identity = identity(of: course.plan, database)
            let home = RestoredDirectory.Engine(type: destination.engine) { context in
                try registry.makeEngine(destination.engine, settings: destination.engineSettings, context: context)
            }
            return try directory.make(home) { engine, _ in
                let meta = try restorer.fill(engine, course) { done in
                    var done = done
                    done.bytesRead = read.value
                    progress(done)
                }
                let report = RestoreReport(
                    plan: course.plan, databaseID: "\(identity.database)", revision: meta.revision,
                    compactedRevision: meta.compacted, keyCount: meta.keys, sizeOnDisk: try engine.sizeOnDisk())
                return (report, identity)
            }
        }
    }

    /// A cut is a new database at once, so that nothing takes it for the one whose log goes on behind it.
    private func identity(of plan: RestorePlan, _ database: DatabaseObject) -> DataDirectory.Identity {
        var random = SystemRandomNumberGenerator()
        let origin = Manifest.Lineage(
            database: plan.databaseID, term: plan.end.term, index: plan.end.index, revision: plan.revision.rawValue)
        if plan.keepsDatabase {
            return DataDirectory.Identity(
                database: database.id, instance: .random(using: &random), tie: .restored, lineage: database.lineage,
                origin: origin)
        }
        return DataDirectory.Identity(
            database: .random(using: &random), instance: .random(using: &random), tie: .none, lineage: origin)
    }

    /// What is under the prefix.
    func open() throws -> (restorer: Restorer, database: DatabaseObject) { try open(ByteCounter()) }

    private func open(_ read: ByteCounter) throws -> (restorer: Restorer, database: DatabaseObject) {
        let store = MeteredStore(RetryingStore(store)) { read.add($0.bytesRead) }
        let own = BlockingStore(PrefixedStore(store, prefix: prefix))
        guard let database = try DatabaseObject.read(own) else {
            throw RestoreError(
                .notKept, "there is no database under the prefix \"\(prefix)\": no object \(StoreLayout.database)")
        }
        var restorer = Restorer(own, databaseID: database.id) { prefix in
            BlockingStore(PrefixedStore(store, prefix: prefix))
        }
        restorer.bump = min(max(bump, 2), 1 << 60)
        return (restorer, database)
    }
}

/// Where a restored database goes.
public struct RestoreDestination: Sendable {
    /// The data directory to make: it must not exist, or be empty.
    public var dataDirectory: String
    /// Name of the engine in the registry. It must keep something on disk.
    public var engine: String
    /// The engine's own settings.
    public var engineSettings: any SettingsSource

    /// A data directory with that engine.
    public init(dataDirectory: String, engine: String, engineSettings: any SettingsSource = NoSettings()) {
        self.dataDirectory = dataDirectory
        self.engine = engine
        self.engineSettings = engineSettings
    }

    /// Looks whether the directory can be made, as a restore does before anything else. Blocks.
    /// - Throws: `RestoreError` with the code `.destination`; what the registry has against the engine's settings.
    public func check(_ registry: BackendRegistry, logger: Logger) throws {
        try registry.checkEngineSettings(engine, engineSettings)
        _ = try RestoredDirectory(dataDirectory, logger: logger)
    }
}

/// What was restored.
public struct RestoreReport: Hashable, Sendable {
    /// What was done.
    public var plan: RestorePlan
    /// Id of the restored database, 32 hexadecimal digits.
    public var databaseID: String
    /// Its revision.
    public var revision: Revision
    /// History below it is gone.
    public var compactedRevision: Revision
    /// Keys that exist.
    public var keyCount: UInt64
    /// Bytes that the engine takes on disk.
    public var sizeOnDisk: Int
}

/// Bytes that were read, counted on any thread.
private final class ByteCounter: Sendable {
    private let count = Atomic<UInt64>(0)

    var value: UInt64 { count.load(ordering: .relaxed) }

    func add(_ bytes: UInt64) { count.wrappingAdd(bytes, ordering: .relaxed) }
}
