public import Logging
public import T4Protocols

/// One t4 database in this process: a durable log, a local engine, watches and leases.
///
/// Safe to use from any thread. Every call after `stop` fails with `.stopped`.
public final class Node: Sendable {
    /// Distinguishes this database; never 0.
    public let clusterID: UInt64
    /// Distinguishes this node's data directory; never 0.
    public let memberID: UInt64
    /// Name of the engine in use.
    public let engineName: String

    let configuration: NodeConfiguration
    let core: NodeCore
    let side: any NodeSide
    private let autoCompactor: AutoCompactor?
    private let stateCheck: StateCheck
    private let ownedStore: (any ObjectStore)?
    let directory: DataDirectory
    private let home: EngineHome
    private let logger: Logger
    private let applying: SystemThread
    private let compacting: SystemThread
    private let stopped = Monitor(false)

    package var published: PublishedState { core.published }
    package var watches: WatchHub { core.watches }
    package var leases: LeaseKeeper { core.leases }
    package var auth: AuthKeeper { core.auth }
    package var statistics: NodeStatistics { core.statistics }
    /// Leadership number of this run.
    public var term: UInt64 { side.term }

    var engine: any LocalEngine { core.engine }
    var queue: ProposalQueue { core.queue }
    var stage: ApplyStage { core.stage }
    var compactor: Compactor { core.compactor }
    var checkpointer: Checkpointer? { side.storeDuties?.checkpointer }

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
        let opening = NodeOpening(configuration, registry: registry, logger: logger, clock: clock, timer: timer)
        if let cluster = configuration.cluster {
            guard let store else {
                throw StoreLink.Failure(description: "a cluster needs an object store, and none is configured")
            }
            let opened = try opening.run(store, in: cluster)
            do {
                try self.init(
                    configuration, Base(opened), logger: logger, clock: clock, timer: timer, owned: owned
                ) { core, onDamage in
                    try ClusterSide(
                        configuration, cluster, opened, core, clock: clock, timer: timer, logger: logger,
                        onDamage: onDamage)
                }
            } catch {
                opened.close(logger)
                throw error
            }
        } else if let interval = configuration.replicaInterval {
            let opened = try opening.run(following: store)
            do {
                try self.init(
                    configuration, Base(opened), logger: logger, clock: clock, timer: timer, owned: owned
                ) { core, _ in
                    ReadReplicaSide(opened, core, every: interval, clock: timer.clock, logger: logger)
                }
            } catch {
                opened.close(logger)
                throw error
            }
        } else {
            let opened = try opening.run(store)
            do {
                try self.init(
                    configuration, Base(opened), logger: logger, clock: clock, timer: timer, owned: owned
                ) { core, onDamage in
                    try LoneSide(
                        configuration, opened, core, clock: clock, timer: timer, logger: logger, onDamage: onDamage)
                }
            } catch {
                opened.close(logger)
                throw error
            }
        }
    }

    /// What a node works on, whether or not it is one of several.
    private struct Base {
        var directory: DataDirectory
        var identity: DataDirectory.Identity
        var home: EngineHome
        var engine: any LocalEngine
        var trail: StateTrail?
        /// The last entry that is visible.
        var index: UInt64
        /// Entries that the engine did not have.
        var replayed: UInt64 = 0
        var durability: String

        init(_ opened: OpenedNode) {
            (directory, identity, home, engine) = (opened.directory, opened.identity, opened.home, opened.engine)
            trail = opened.link?.trail
            index = opened.first.position.index
            replayed = opened.recovered.replayed
            durability = opened.link?.waits ?? false ? "object-store" : "local"
        }

        init(_ opened: OpenedReadReplica) {
            (directory, identity, home, engine) = (opened.directory, opened.identity, opened.home, opened.engine)
            index = opened.end.index
            replayed = opened.replayed
            durability = "read-replica"
        }

        init(_ opened: OpenedReplica) throws {
            (directory, identity, home, engine) = (opened.directory, opened.identity, opened.home, opened.engine)
            trail = opened.link.trail
            index = try engine.appliedPosition.index
            durability = opened.replica.configuration.durability == .objectStore ? "object-store" : "replicated"
        }
    }

    private init(
        _ configuration: NodeConfiguration, _ opened: Base, logger: Logger, clock: Clock, timer: BackoffTimer,
        owned: (any ObjectStore)?,
        makeSide: (NodeCore, @escaping @Sendable (DamagedEngine) -> Void) throws -> any NodeSide
    ) throws {
        self.configuration = configuration
        self.logger = logger
        engineName = configuration.engine
        ownedStore = owned
        directory = opened.directory
        home = opened.home
        clusterID = opened.identity.database.shortNumber
        memberID = opened.identity.instance.shortNumber
        let reader = try StateReader(opened.engine.snapshot())
        let core = try NodeCore(
            configuration, engine: opened.engine, reader: reader, index: opened.index, trail: opened.trail,
            clock: clock, timer: timer, logger: logger)
        self.core = core
        let (stage, published) = (core.stage, core.published)
        let proposals = NodeProposals()
        let raiseCorruption = Node.raiseCorruption(Alarm(.corrupt, member: memberID), proposals, logger)
        let side = try makeSide(core, raiseCorruption)
        self.side = side
        proposals.begin(side)
        core.tokenProposals.begin(side)
        stateCheck = StateCheck(
            every: configuration.corruptCheckInterval, reads: core.longReads, logger: logger,
            look: { try stage.look() }, onDamage: raiseCorruption)
        autoCompactor = configuration.retention.map { retention in
            AutoCompactor(retention, logger: logger, newest: { published.revision }) { target, done in
                // In a cluster its leader does it.
                guard side.isServing else { return done(LeaderDuties.noLeader) }
                side.propose(.compact(target.rawValue), from: nil, mayBlock: false) { result in
                    if case .failure(let error) = result { done(error) } else { done(nil) }
                }
            }
        }
        side.start()
        applying = SystemThread(name: "t4-apply") { stage.run() }
        compacting = SystemThread(name: "t4-compact") { [compactor = core.compactor] in compactor.run() }
        watches.start()
        leases.start()
        // What expires in the database that is followed is deleted by it.
        let decides = configuration.cluster == nil && configuration.replicaInterval == nil
        if configuration.mirroredCluster == nil, decides { leases.promote() }
        autoCompactor?.start()
        stateCheck.start()
        auth.start()
        logger.info(
            "the database is open",
            metadata: [
                "revision": "\(reader.meta.revision)", "term": "\(term)", "engine": "\(engineName)",
                "wal.replayed": "\(opened.replayed)",
                "durability": "\(opened.durability)",
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
        side.finish()
        compacting.join()
        stateCheck.stop()
        stage.stop()
        applying.join()
        watches.close()
        watches.stop()
        side.close()
        try engine.sync()
        try engine.close()
        try home.markClean()
    }

    /// Says that the engine is damaged, and raises the alarm, which holds until somebody disarms it.
    private static func raiseCorruption(
        _ alarm: Alarm, _ proposals: NodeProposals, _ logger: Logger
    ) -> @Sendable (DamagedEngine) -> Void {
        { damage in
            logger.error(
                "the rows of the engine are damaged, and the alarm CORRUPT is raised",
                metadata: ["what": "\(damage.what)"])
            proposals.propose(.raise(alarm)) { result in
                guard case .failure(let error) = result else { return }
                logger.error("the alarm CORRUPT could not be raised: \(error)")
            }
        }
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
        side.propose(kind, from: requester, mayBlock: mayBlock, completion: completion)
    }

    /// Whether it is one of the nodes of a cluster.
    package var isOneOfSeveral: Bool { configuration.cluster != nil }

    /// Whether it only follows, and takes no writes.
    package var isReadOnly: Bool {
        configuration.cluster?.isReadOnly ?? (configuration.replicaInterval != nil)
    }

    /// How long ago a read replica had everything that was in the store; nil before that, and for other nodes.
    package var staleness: Duration? { (side as? ReadReplicaSide)?.staleness }

    /// How often somebody took the lead since the start, as far as this node knows.
    package var leaderChanges: Int { side.leaderChanges }

    /// Whether this node decides what is written: always where it is alone.
    package var isServing: Bool { side.isServing }

    /// Whether nobody else can lead at this moment: always where the node is alone.
    package var leads: Bool { side.leads }

    /// Whether a linearizable read may be answered from what is visible at this moment: always where the node is alone.
    package var isCurrent: Bool { side.isCurrent }

    /// The member that leads, as far as this node has heard of late; 0 for none.
    package var leaderID: UInt64 { side.liveLeader.map(Node.memberID(ofInstance:)) ?? 0 }

    /// Others of the cluster are to tell clients that they reach this node there.
    package func advertise(clientURLs: [String]) { side.advertise(clientURLs) }

    /// Hands leadership over to an instance in sync, as a leader. The completion comes once, from any thread: whether it leads.
    package func handOver(to instance: String, _ completion: @escaping @Sendable (Bool) -> Void) {
        side.handOver(to: instance, completion)
    }

    /// The number by which clients know an instance.
    package static func memberID(ofInstance instance: String) -> UInt64 {
        DatabaseID(hex: instance)?.shortNumber ?? 0
    }

    /// Asks whoever leads. The answer comes once, from any thread and perhaps before this returns, when everything that was
    /// acknowledged before is visible here; `.noLeader` where that takes too long.
    package func ask(
        _ query: LeaderQuery, _ completion: @escaping @Sendable (Result<LeaderReply, DatabaseError>) -> Void
    ) {
        side.ask(query, completion)
    }

    /// Calls `wake` once the rows below a compacted revision are gone, or the node stops.
    package func whenCompacted(_ revision: Revision, _ wake: @escaping @Sendable () -> Void) {
        compactor.whenDone(revision, wake)
    }

    /// A consistent view of everything visible.
    package func read() throws -> StateReader { try StateReader(engine.snapshot()) }
}

extension DatabaseID {
    /// The first eight bytes as a number that is never 0.
    var shortNumber: UInt64 {
        let number = bytes.span.bytes.bigEndian(at: 0, as: UInt64.self)
        return number == 0 ? 1 : number
    }
}
