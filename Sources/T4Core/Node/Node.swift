public import Logging
public import T4Protocols

/// One t4 database in this process: a durable log, a local engine, watches and leases.
///
/// Safe to use from any thread. Every call after `stop` fails with `.stopped`.
public final class Node: Sendable {
    package let published: PublishedState
    package let watches: WatchHub
    package let leases: LeaseKeeper
    /// Distinguishes this database; never 0.
    public let clusterID: UInt64
    /// Distinguishes this node's data directory; never 0.
    public let memberID: UInt64
    /// Leadership number of this run.
    public let term: UInt64
    /// Name of the engine in use.
    public let engineName: String

    let configuration: NodeConfiguration
    let engine: any LocalEngine
    let queue: ProposalQueue
    let compactor: Compactor
    private let stage: ApplyStage
    private let directory: DataDirectory
    private let home: EngineHome
    private let commit: CommitThread
    /// The lease keeper does not hold it.
    private let revoker: LeaseRevoker
    private let logger: Logger
    private let threads: [SystemThread]
    private let compactionThread: SystemThread
    private let stopped = Monitor(false)

    /// Opens or makes the database in the configured directory, replays its log and serves it.
    ///
    /// Blocks while it reads. Returns when writes are taken.
    /// - Throws: A description of what stops the start: the directory is in use, it holds another engine
    ///   (`EngineMismatch`), the log is damaged (with file and offset), the engine cannot be opened. Nothing is changed on
    ///   disk then but repairs of a torn tail.
    public static func start(
        _ configuration: NodeConfiguration, registry: BackendRegistry, logger: Logger
    ) throws -> Node {
        try Node(configuration, registry: registry, logger: logger, clock: .system)
    }

    package init(
        _ configuration: NodeConfiguration, registry: BackendRegistry, logger: Logger, clock: Clock
    ) throws {
        self.configuration = configuration
        self.logger = logger
        engineName = configuration.engine
        directory = try DataDirectory(configuration.dataDirectory)
        let settings = configuration.engineSettings
        home = EngineHome(directory, type: configuration.engine, logger: logger) { context in
            try registry.makeEngine(configuration.engine, settings: settings, context: context)
        }
        engine = try home.openEngine()
        var logConfiguration = LogConfiguration()
        logConfiguration.segmentSizeMax = configuration.segmentSizeMax
        let recovered = try Recovery(directory: directory, engine: engine, configuration: logConfiguration).run()
        let log = recovered.writer
        clusterID = directory.identity.database.shortNumber
        memberID = directory.identity.instance.shortNumber

        // Alone, this node wins every election: a new term per start, so that no position is ever given twice.
        let start = LogPosition(term: recovered.end.term + 1, index: recovered.end.index + 1)
        term = start.term
        let time = max(clock.wall(), recovered.lastTime)
        try log.appendAndSync([LogEntry(position: start, time: time, revision: .none, kind: .term, body: [])])

        let reader = try StateReader(engine.snapshot())
        published = PublishedState(engine: engine, meta: reader.meta, index: start.index)
        var watchSettings = WatchSettings()
        watchSettings.progressInterval = configuration.watchProgressInterval
        watches = WatchHub(source: published, settings: watchSettings)
        queue = ProposalQueue(countMax: configuration.queueCountMax, bytesMax: configuration.queueBytesMax)
        var leaseSettings = LeaseSettings()
        leaseSettings.minimumTTL = configuration.leaseTTLMin
        revoker = LeaseRevoker(queue: queue)
        leases = LeaseKeeper(store: revoker, settings: leaseSettings)
        for lease in try reader.leases() { leases.granted(lease) }
        for alarm in try reader.alarms() {
            logger.warning("an alarm is raised; it refuses requests until it is disarmed", metadata: alarm.metadata)
        }

        let publisher = Publisher(
            published: published, watches: watches, leases: leases, queue: queue, logger: logger,
            onFailure: configuration.onFailure)
        let stage = ApplyStage(
            engine: engine, meta: reader.meta, position: try engine.appliedPosition, observer: publisher)
        self.stage = stage
        let compactor = Compactor(engine: engine, stage: stage, logger: logger)
        self.compactor = compactor
        publisher.compactor.withLock { $0 = compactor }
        var limits = CommitThread.Limits()
        limits.segmentAgeMax = configuration.segmentAgeMax
        let commit = try CommitThread(
            engine: engine, log: log, queue: queue, stage: stage, observer: publisher, position: start, time: time,
            clock: clock, limits: limits)
        self.commit = commit

        threads = [SystemThread(name: "t4-commit") { commit.run() }, SystemThread(name: "t4-apply") { stage.run() }]
        compactionThread = SystemThread(name: "t4-compact") { compactor.run() }
        watches.start()
        leases.start()
        leases.promote()
        logger.info(
            "the database is open",
            metadata: [
                "revision": "\(reader.meta.revision)", "term": "\(term)", "engine": "\(engineName)",
                "wal.replayed": "\(recovered.replayed)",
            ])
    }

    /// Finishes the writes that were taken, refuses new ones, and closes everything. Safe twice.
    ///
    /// - Throws: What could not be synced or closed; nothing acknowledged is lost by that.
    public func stop() throws {
        let isFirst = stopped.withLock { stopped in
            defer { stopped = true }
            return !stopped
        }
        guard isFirst else { return }
        defer { directory.unlock() }
        leases.stop()
        queue.close(DatabaseError(.stopped, "the node is stopping"))
        threads[0].join()
        compactor.stop()
        compactionThread.join()
        stage.stop()
        threads[1].join()
        watches.close()
        watches.stop()
        commit.close()
        try engine.sync()
        try engine.close()
        try home.markClean()
    }

    /// Bytes of the engine's files.
    public func sizeOnDisk() throws -> Int { try engine.sizeOnDisk() }

    /// Hands a proposal to the commit pipeline. `completion` comes exactly once, from any thread.
    package func submit(_ kind: ProposalKind, completion: @escaping Proposal.Completion) {
        queue.submit(Proposal(kind, completion: completion))
    }

    /// Calls `wake` once the rows below a compacted revision are gone, or the node stops.
    package func whenCompacted(_ revision: Revision, _ wake: @escaping @Sendable () -> Void) {
        compactor.whenDone(revision, wake)
    }

    /// A consistent view of everything visible.
    package func read() throws -> StateReader { try StateReader(engine.snapshot()) }
}

/// Lets the lease keeper propose without holding the node.
private final class LeaseRevoker: LeaseStore {
    private let queue: ProposalQueue
    init(queue: ProposalQueue) { self.queue = queue }

    func revokeExpired(_ id: Int64, completion: @escaping @Sendable (Result<Revision, DatabaseError>) -> Void) {
        queue.submit(
            Proposal(.revoke(lease: id)) { result in
                completion(
                    result.map { response in
                        if case .revoke(let revision) = response { revision } else { .none }
                    })
            })
    }
}

extension DatabaseID {
    /// The first eight bytes as a number that is never 0.
    fileprivate var shortNumber: UInt64 {
        let number = bytes.span.bytes.bigEndian(at: 0, as: UInt64.self)
        return number == 0 ? 1 : number
    }
}
