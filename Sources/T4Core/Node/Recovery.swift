import Logging
import T4Protocols

/// Brings the engine of a starting node up to the end of what is known: the local log, and where there is a store its
/// checkpoints and its chain. See `docs/decisions/0005-node-and-store.md`.
///
/// Used once.
final class Recovery {
    /// A log and an engine that agree.
    struct Recovered {
        var engine: any LocalEngine
        var writer: LogWriter
        /// The last entry of the local log; the engine has applied everything up to it.
        var end: LogPosition
        /// Commit time of that entry.
        var lastTime: UInt64
        /// Entries that the engine did not have.
        var replayed: UInt64
        /// The end of the chain; nil without a store.
        var chain: LogChain.End?
        /// Entries of the local log that the chain lacks, in batches.
        var tail: [LogUploader.Batch] = []
        /// The last entry of the newest checkpoint; nil when there is none.
        var checkpoint: LogPosition?
        /// The highest term seen anywhere.
        var term: UInt64
        /// The chain can only begin behind `end`, after a checkpoint that is made there first.
        var needsSeed = false
        /// A checkpoint could not be loaded, and others are not to use its tables again.
        var hasPassedOver = false
    }

    /// Why a log, an engine and a store do not belong together.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// What a node with a store reads from it.
    struct Store {
        var chain: LogChain
        var checkpoints: CheckpointStore
        var trail: StateTrail
        /// Of the configured durability: entries that are not in the chain were promised to nobody.
        var promisesWithChainOnly: Bool
        /// What the database begins with if it is a branch; asked where there is no checkpoint.
        var branch: () throws -> BranchBeginning?
    }

    let directory: DataDirectory
    let identity: DataDirectory.Identity
    let home: EngineHome
    let logger: Logger
    var engine: any LocalEngine
    /// The local log as it was found, or as it was begun anew.
    var log: Log.Opened
    /// The latest commit time seen.
    var time: UInt64 = 0
    var replayed: UInt64 = 0
    /// What was wrong with checkpoints that others stand in for, an object each.
    var damage: [String] = []
    var hasPassedOver = false
    private let files: any LogFileSystem
    private let configuration: LogConfiguration

    init(
        directory: DataDirectory, identity: DataDirectory.Identity, home: EngineHome, files: any LogFileSystem,
        configuration: LogConfiguration, logger: Logger
    ) throws {
        self.directory = directory
        self.identity = identity
        self.home = home
        self.files = files
        self.configuration = configuration
        self.logger = logger
        engine = try home.openEngine()
        do {
            log = try Recovery.open(directory, identity, files, configuration, behind: .zero)
        } catch {
            do { try engine.close() } catch { logger.warning("the engine did not close: \(error)") }
            throw error
        }
    }

    /// - Parameter store: Nil for a node without one.
    func run(_ store: Store?) throws -> Recovered {
        do {
            return try store.map { try run(with: $0) } ?? runAlone()
        } catch {
            log.writer.close()
            do { try engine.close() } catch { logger.warning("the engine did not close: \(error)") }
            throw error
        }
    }

    private func runAlone() throws -> Recovered {
        try checkRestored()
        try beginBehindRestore()
        try checkReach()
        try replayLog(through: .max)
        return recovered()
    }

    /// Log and engine of a node of a cluster.
    struct Clustered {
        var engine: any LocalEngine
        var log: Log.Opened
        /// The last entry that the newest checkpoint covers.
        var covered: UInt64
        var hasPassedOver: Bool
    }

    /// Log and engine of a node of a cluster, neither of which ends before the newest checkpoint. Entries behind that are looked
    /// at later: which of them count is for the cluster to say.
    func runInCluster(_ store: Store) throws -> Clustered {
        do {
            let covered = try reachCheckpoint(store)
            try checkReach()
            return Clustered(engine: engine, log: log, covered: covered.index, hasPassedOver: hasPassedOver)
        } catch {
            log.writer.close()
            do { try engine.close() } catch { logger.warning("the engine did not close: \(error)") }
            throw error
        }
    }

    /// A restore left an engine and no log: the log begins behind it.
    func beginBehindRestore() throws {
        let applied = try engine.appliedPosition
        let restored = identity.tie == .restored ? identity.origin : identity.lineage
        guard isLogEmpty, applied != .zero, restored?.index == applied.index else { return }
        try beginLog(behind: applied)
    }

    /// What was restored is in the engine alone until the log begins.
    func checkRestored() throws {
        guard let restored = identity.tie == .restored ? identity.origin : identity.lineage, isLogEmpty else { return }
        let applied = try engine.appliedPosition
        guard applied.index < restored.index else { return }
        throw Failure(
            description:
                "the engine in \(directory.path) does not have what was restored, up to entry \(restored.index), any more: it "
                + "was open when the machine went down; restore it again")
    }

    /// The local log holds everything that the engine lacks, and the entry that it applied last.
    func checkReach() throws {
        let applied = try engine.appliedPosition
        guard log.end.index >= applied.index, log.start.index <= applied.index else {
            throw Failure(
                description: "the log in \(directory.wal) holds entries \(log.start.index + 1) to \(log.end.index), "
                    + "but the engine stands at \(applied.index): files of the log are missing; restore the whole data "
                    + "directory from a copy")
        }
    }

    /// Applies entries of the local log that the engine lacks, up to that index.
    func replayLog(through last: UInt64) throws {
        let applied = try engine.appliedPosition
        guard log.end.index > applied.index || applied != .zero else { return }
        var replay = try EngineReplay(on: engine)
        // The entry at the engine's own position is read as well: it must be the one the engine applied.
        try readLog(from: max(applied.index, 1)) { entry in
            if entry.position.index > last { return .stop }
            if entry.position.index == applied.index {
                guard entry.position.term == applied.term else {
                    throw Failure(
                        description: "the engine applied entry \(applied), the log has \(entry.position) there")
                }
                return .next
            }
            try replay.add(entry)
            replayed += 1
            time = max(time, entry.time)
            return .next
        }
        try replay.apply()
    }

    var isLogEmpty: Bool { log.start == log.end }

    /// Reads the local log. An error of the visitor comes as it is.
    func readLog(from index: UInt64, visit: (LogEntry) throws -> LogStep) throws {
        try LogReader(directory: directory.wal, databaseID: identity.database, fileSystem: files)
            .visit(from: index, visit)
    }

    /// The term of an entry of the local log; nil when the log does not hold it.
    func term(of index: UInt64) throws -> UInt64? {
        if index == log.end.index { return log.end.term }
        if index == log.start.index { return log.start.term }
        guard index > log.start.index, index < log.end.index else { return nil }
        var term: UInt64?
        try readLog(from: index) { entry in
            if entry.position.index == index { term = entry.position.term }
            return .stop
        }
        return term
    }

    /// Sets the local log aside, unless it is empty, and begins a new one.
    /// - Parameter keep: Keeps the files, for somebody to look at.
    func beginLog(behind position: LogPosition, keep: Bool = false) throws {
        log.writer.close()
        if !isLogEmpty {
            let aside = try directory.setLogAside()
            if !keep { try DurableFile.removeTree(aside) }
        }
        log = try Recovery.open(directory, identity, files, configuration, behind: position)
    }

    private static func open(
        _ directory: DataDirectory, _ identity: DataDirectory.Identity, _ files: any LogFileSystem,
        _ configuration: LogConfiguration, behind position: LogPosition
    ) throws -> Log.Opened {
        // Nothing is visited: what is applied depends on the store.
        try Log.open(
            directory: directory.wal, databaseID: identity.database, startingAfter: position,
            fileSystem: files, configuration: configuration, from: .max)
    }

    func recovered() -> Recovered {
        Recovered(
            engine: engine, writer: log.writer, end: log.end, lastTime: max(log.lastTime, time), replayed: replayed,
            term: log.end.term)
    }
}
