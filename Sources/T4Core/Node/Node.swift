public import Logging
public import T4Protocols

/// One t4 database in this process: a durable log, a local engine, watches and leases.
///
/// Safe to use from any thread. Every call after `stop` fails with `.stopped`.
public final class Node: Sendable {
    package let published: PublishedState
    package let watches: WatchHub
    package let leases: LeaseKeeper
    package let auth: AuthKeeper
    package let statistics: NodeStatistics
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
    private let autoCompactor: AutoCompactor?
    private let stateCheck: StateCheck
    let link: StoreLink?
    let uploader: LogUploader?
    let checkpointer: Checkpointer?
    private let gate: CommitGate?
    private let ownedStore: (any ObjectStore)?
    let stage: ApplyStage
    private let directory: DataDirectory
    private let home: EngineHome
    private let commit: CommitThread
    /// The lease keeper does not hold it.
    private let revoker: LeaseRevoker
    /// Nor does the auth keeper hold this.
    private let tokenProposals: TokenProposals
    private let logger: Logger
    private let threads: [SystemThread]
    private let compactionThread: SystemThread
    private let storeThreads: [SystemThread]
    private let stopped = Monitor(false)

    /// Opens or makes the database in the configured directory, brings it up to the end of the log, here and in the object
    /// store, and serves it.
    ///
    /// Returns when writes are taken.
    /// - Throws: A description of what stops the start: the directory is in use, it holds another engine
    ///   (`EngineMismatch`), the log is damaged (with file and offset), the engine cannot be opened, the store does not
    ///   answer or belongs to another database. Nothing is changed on disk then but repairs of a torn tail.
    public static func start(
        _ configuration: NodeConfiguration, registry: BackendRegistry, logger: Logger
    ) async throws -> Node {
        var root: (any ObjectStore)?
        var isOwned = false
        switch configuration.store?.source {
        case nil: break
        case .opened(let store): root = store
        case .registered(let name, let settings):
            let context = StoreContext(dataDirectory: configuration.dataDirectory, logger: logger)
            root = try await registry.makeStore(name, settings: settings, context: context)
            isOwned = true
        }
        let (store, owned) = (root, isOwned ? root : nil)
        do {
            return try await SystemThread.run("t4-start") {
                try Node(configuration, registry: registry, logger: logger, clock: .system, store: store, owned: owned)
            }
        } catch {
            await owned?.close()
            throw error
        }
    }

    /// Blocks; not for tasks where there is a store.
    /// - Parameters:
    ///   - store: What `configuration.store` names, open.
    ///   - owned: The same where it is to be closed with the node.
    package convenience init(
        _ configuration: NodeConfiguration, registry: BackendRegistry, logger: Logger, clock: Clock,
        timer: BackoffTimer = .system, store: (any ObjectStore)? = nil, owned: (any ObjectStore)? = nil
    ) throws {
        let opened = try NodeOpening(configuration, registry: registry, logger: logger, clock: clock, timer: timer)
            .run(store)
        do {
            try self.init(configuration, opened, logger: logger, clock: clock, timer: timer, owned: owned)
        } catch {
            opened.close(logger)
            throw error
        }
    }

    private init(
        _ configuration: NodeConfiguration, _ opened: OpenedNode, logger: Logger, clock: Clock, timer: BackoffTimer,
        owned: (any ObjectStore)?
    ) throws {
        self.configuration = configuration
        self.logger = logger
        engineName = configuration.engine
        ownedStore = owned
        directory = opened.directory
        home = opened.home
        engine = opened.engine
        link = opened.link
        clusterID = opened.identity.database.shortNumber
        memberID = opened.identity.instance.shortNumber
        term = opened.first.position.term
        let (engine, link, first) = (opened.engine, opened.link, opened.first)
        let waits = configuration.durability == .objectStore

        let reader = try StateReader(engine.snapshot())
        published = PublishedState(engine: engine, meta: reader.meta, index: first.position.index)
        statistics = NodeStatistics(index: first.position.index)
        var watchSettings = WatchSettings()
        watchSettings.progressInterval = configuration.watchProgressInterval
        watchSettings.watchesMax = configuration.watchesMax
        watches = WatchHub(source: published, settings: watchSettings)
        queue = ProposalQueue(countMax: configuration.queueCountMax, bytesMax: configuration.queueBytesMax)
        var leaseSettings = LeaseSettings()
        leaseSettings.minimumTTL = configuration.leaseTTLMin
        revoker = LeaseRevoker(queue: queue)
        leases = LeaseKeeper(store: revoker, settings: leaseSettings)
        for lease in try reader.leases() { leases.granted(lease) }
        tokenProposals = TokenProposals(queue: queue)
        auth = AuthKeeper(
            try AuthState(reader), lifetime: configuration.tokenTTL, proposals: tokenProposals, clock: clock)
        for alarm in try reader.alarms() {
            logger.warning("an alarm is raised; it refuses requests until it is disarmed", metadata: alarm.metadata)
        }

        let publisher = Publisher(
            published: published, watches: watches, leases: leases, auth: auth, queue: queue, statistics: statistics,
            logger: logger, onFailure: configuration.onFailure)
        var storeThreads: [SystemThread] = []
        var uploader: LogUploader?
        let gateOfGuard = Monitor<CommitGate?>(nil)
        if let link, let chain = opened.recovered.chain {
            let outage = waits ? Node.outageGuard(link.settings, queue, gateOfGuard, timer) : nil
            let made = link.uploader(
                opened.identity.database, wal: directory.wal, term: term, behind: chain, outage: outage,
                onFailure: { publisher.failed($0) })
            storeThreads.append(SystemThread(name: "t4-upload") { made.run() })
            do {
                try link.fence(made, opened.recovered.tail, first)
            } catch {
                made.stop()
                storeThreads[0].join()
                throw error
            }
            link.trail.applied(StateTrail.Mark(position: first.position, meta: reader.meta, time: first.time))
            uploader = made
        }
        self.uploader = uploader
        let stage = ApplyStage(
            engine: engine, meta: reader.meta, position: try engine.appliedPosition, observer: publisher,
            trail: link?.trail, timer: timer)
        self.stage = stage
        gate = uploader.map {
            CommitGate(uploader: $0, stage: stage, waits: waits, onFailure: { publisher.failed($0) })
        }
        gateOfGuard.withLock { [gate] in $0 = gate }
        let compactor = Compactor(engine: engine, stage: stage, timer: timer, logger: logger)
        self.compactor = compactor
        publisher.compactor.withLock { $0 = compactor }
        opened.log.syncTimes = statistics.logSyncs
        var limits = CommitThread.Limits()
        limits.segmentAgeMax = configuration.segmentAgeMax
        let quota = configuration.quotaBytes.map { limit in
            SpaceQuota(limit: limit, member: opened.identity.instance.shortNumber) { () throws(EngineError) in
                try engine.sizeInUse()
            }
        }
        let commit = try CommitThread(
            engine: engine, log: opened.log, queue: queue, stage: stage, gate: gate, observer: publisher,
            position: first.position, time: first.time, clock: clock, limits: limits, quota: quota)
        self.commit = commit
        let raiseCorruption = Node.raiseCorruption(
            Alarm(.corrupt, member: opened.identity.instance.shortNumber), queue, logger)
        stateCheck = StateCheck(
            every: configuration.corruptCheckInterval, logger: logger, look: { try stage.look() },
            onDamage: raiseCorruption)
        if let link, let uploader, let writer = opened.writer {
            let pruner = LogPruner(
                log: opened.log.entries, engine: engine, stage: stage, uploader: uploader)
            let trail = link.trail
            let joiner = ChainJoiner(
                link.merger(opened.identity.database, wal: directory.wal, term: term), uploader: uploader, trail: trail)
            let maker = CheckpointMaker(
                writer, stage: stage, uploader: uploader, trail: trail, joiner: joiner, files: directory.tables,
                space: configuration.tableSpace,
                beginsAnew: link.settings.checkpoints.beginsAnew || opened.recovered.hasPassedOver, logger: logger,
                onDamage: raiseCorruption)
            let collection = link.collection(opened.identity.database, clock: clock)
            let checkpointer = Checkpointer(
                schedule: link.settings.checkpoints, timer: timer, uploader: uploader, published: published,
                covered: opened.covered, logger: logger,
                work: Checkpointer.Work(
                    write: { try maker.make(isEnding: $0) }, merge: { try joiner.join() },
                    prune: { try pruner.run(covered: $0) },
                    collect: { collection?.run($0) }))
            publisher.checkpointer.withLock { $0 = checkpointer }
            storeThreads.append(SystemThread(name: "t4-checkpoint", isBackground: true) { checkpointer.run() })
            // So that the next start need not read more than what this run writes.
            checkpointer.request()
            self.checkpointer = checkpointer
        } else {
            checkpointer = nil
        }
        self.storeThreads = storeThreads

        autoCompactor = configuration.retention.map { [published, queue] retention in
            AutoCompactor(retention, logger: logger, newest: { published.revision }) { target, done in
                queue.submit(
                    Proposal(.compact(target.rawValue)) { result in
                        if case .failure(let error) = result { done(error) } else { done(nil) }
                    })
            }
        }
        threads = [SystemThread(name: "t4-commit") { commit.run() }, SystemThread(name: "t4-apply") { stage.run() }]
        compactionThread = SystemThread(name: "t4-compact") { compactor.run() }
        watches.start()
        leases.start()
        // What expires in the database that is followed is deleted by it.
        if configuration.mirroredCluster == nil { leases.promote() }
        autoCompactor?.start()
        stateCheck.start()
        auth.start()
        logger.info(
            "the database is open",
            metadata: [
                "revision": "\(reader.meta.revision)", "term": "\(term)", "engine": "\(engineName)",
                "wal.replayed": "\(opened.recovered.replayed)", "durability": "\(waits ? "object-store" : "local")",
            ])
    }

    /// Finishes the writes that were taken, refuses new ones, and closes everything. Safe twice.
    ///
    /// - Throws: What could not be synced or closed; nothing acknowledged is lost by that.
    public func stop() async throws {
        do {
            try await SystemThread.run("t4-stop") { try self.stopAndWait() }
        } catch {
            await ownedStore?.close()
            throw error
        }
        await ownedStore?.close()
    }

    /// As `stop`, but blocks, and leaves the store open; not for tasks where there is a store.
    package func stopAndWait() throws {
        let isFirst = stopped.withLock { stopped in
            defer { stopped = true }
            return !stopped
        }
        guard isFirst else { return }
        defer { directory.unlock() }
        leases.stop()
        autoCompactor?.stop()
        auth.stop()
        queue.close(DatabaseError(.stopped, "the node is stopping"))
        stage.stopWaitingForSpace()
        joinCommitThread()
        compactor.stop()
        compactionThread.join()
        finishUploads()
        stateCheck.stop()
        stage.stop()
        threads[1].join()
        watches.close()
        watches.stop()
        commit.close()
        try engine.sync()
        try engine.close()
        try home.markClean()
    }

    /// Says that the engine is damaged, and raises the alarm, which holds until somebody disarms it.
    private static func raiseCorruption(
        _ alarm: Alarm, _ queue: ProposalQueue, _ logger: Logger
    ) -> @Sendable (DamagedEngine) -> Void {
        { damage in
            logger.error(
                "the rows of the engine are damaged, and the alarm CORRUPT is raised",
                metadata: ["what": "\(damage.what)"])
            queue.submit(
                Proposal(.raise(alarm)) { result in
                    guard case .failure(let error) = result else { return }
                    logger.error("the alarm CORRUPT could not be raised: \(error)")
                })
        }
    }

    /// The commit thread may wait for the store: not for ever.
    private func joinCommitThread() {
        let hasJoined = Monitor(false)
        if let link, let gate {
            link.after(link.settings.stopTimeout) {
                hasJoined.withLock { if !$0 { gate.abandon("the node stopped before the object store answered") } }
            }
        }
        threads[0].join()
        hasJoined.withLock { $0 = true }
    }

    /// Waits a while for what is not in the store yet, and ends the threads that work with it.
    private func finishUploads() {
        guard let uploader, let link else { return }
        checkpointer?.stop()
        link.endRetries()
        uploader.flush()
        let last = uploader.status.last.index
        if !uploader.wait(for: last, atMost: link.settings.stopTimeout) {
            gate?.beginOutage("the node stopped before the object store answered")
            logger.warning("the node stops with entries that are not in the object store; the next start uploads them")
        } else {
            _ = gate?.waitUntilEmpty()
        }
        uploader.stop()
        for thread in storeThreads { thread.join() }
        // A node that goes on elsewhere may prune the chain: this directory can then still tell that it lacks nothing.
        do {
            try directory.setUploadedMark(uploader.status.end)
        } catch {
            logger.warning("what is in the object store could not be noted: \(error)")
        }
    }

    /// Refuses writes while the store stays away.
    private static func outageGuard(
        _ settings: NodeStore, _ queue: ProposalQueue, _ gate: Monitor<CommitGate?>, _ timer: BackoffTimer
    ) -> OutageGuard {
        let reason = "the object store has not taken the log for \(settings.outageTimeout)"
        return OutageGuard(
            limit: settings.outageTimeout, timer: timer,
            onTrip: {
                queue.pause(DatabaseError(.storeUnavailable, reason), by: .store)
                gate.withLock { $0 }?.beginOutage(reason)
            },
            onEnd: {
                gate.withLock { $0 }?.endOutage()
                queue.resume(.store)
            })
    }

    /// Bytes of the engine's files.
    public func sizeOnDisk() throws -> Int { try engine.sizeOnDisk() }

    /// Those of them that hold data, as far as the engine can tell: without what the next writes use again.
    public func sizeInUse() throws -> Int { try engine.sizeInUse() }

    /// Hands a proposal to the commit pipeline. `completion` comes exactly once, from any thread.
    /// - Parameters:
    ///   - requester: Who asks; nil for the node itself, and for a program that embeds it.
    ///   - mayBlock: The calling thread has nothing else to do for the time of a sync of the log, and may make the commit
    ///     itself; `completion` then comes before this returns.
    package func submit(
        _ kind: ProposalKind, from requester: Requester? = nil, mayBlock: Bool = false,
        completion: @escaping Proposal.Completion
    ) {
        let proposal = Proposal(kind, from: requester, completion: completion)
        if queue.submit(proposal, takesOver: mayBlock && configuration.durability == .local) {
            commit.commitHere(proposal)
        }
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

/// Lets the auth keeper propose without holding the node.
private final class TokenProposals: AuthProposals {
    private let queue: ProposalQueue
    init(queue: ProposalQueue) { self.queue = queue }

    func propose(_ request: AuthRequest, completion: @escaping @Sendable (Bool) -> Void) {
        queue.submit(
            Proposal(.auth(request)) { result in
                if case .success = result { completion(true) } else { completion(false) }
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
