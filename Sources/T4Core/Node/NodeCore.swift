import Logging
import Synchronization
import T4Protocols

/// What a node has whether or not it leads: what is visible, and who is told of it.
struct NodeCore: Sendable {
    let engine: any LocalEngine
    let published: PublishedState
    let statistics: NodeStatistics
    let longReads = LongReads()
    let watches: WatchHub
    let queue: ProposalQueue
    let leases: LeaseKeeper
    let auth: AuthKeeper
    let publisher: Publisher
    let stage: ApplyStage
    let compactor: Compactor
    /// The lease keeper does not hold it.
    private let revoker: LeaseRevoker
    /// Nor does the auth keeper hold this.
    let tokenProposals: NodeProposals

    /// - Parameters:
    ///   - index: The last entry that is visible.
    ///   - trail: Hears where the state stands; nil without an object store.
    init(
        _ configuration: NodeConfiguration, engine: any LocalEngine, reader: StateReader, index: UInt64,
        trail: StateTrail?, clock: Clock, timer: BackoffTimer, logger: Logger
    ) throws {
        self.engine = engine
        published = PublishedState(engine: engine, meta: reader.meta, index: index)
        statistics = NodeStatistics(index: index)
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
        tokenProposals = NodeProposals()
        auth = AuthKeeper(
            try AuthState(reader), lifetime: configuration.tokenTTL, proposals: tokenProposals, clock: clock)
        for alarm in try reader.alarms() {
            logger.warning("an alarm is raised; it refuses requests until it is disarmed", metadata: alarm.metadata)
        }
        publisher = Publisher(
            published: published, watches: watches, leases: leases, auth: auth, queue: queue, statistics: statistics,
            logger: logger, onFailure: configuration.onFailure)
        stage = ApplyStage(
            engine: engine, meta: reader.meta, position: try engine.appliedPosition, observer: publisher,
            trail: trail, timer: timer)
        let compactor = Compactor(engine: engine, stage: stage, timer: timer, logger: logger)
        self.compactor = compactor
        publisher.compactor.withLock { $0 = compactor }
    }
}

/// What decides in a node, and looks after the log and the object store: for ever, or while it leads its cluster.
protocol NodeSide: AnyObject, Sendable {
    /// Leadership number.
    var term: UInt64 { get }
    /// What works with the object store now; nil where nothing does.
    var storeDuties: StoreDuties? { get }
    /// Whether this node decides proposals now.
    var isServing: Bool { get }
    /// Whether nobody else can lead at this moment.
    var leads: Bool { get }
    /// Whether what is visible here at this moment has everything that was acknowledged by anybody, or shown by another node.
    var isCurrent: Bool { get }
    /// How often somebody took the lead since the start.
    var leaderChanges: Int { get }
    /// The instance that leads, as far as this node has heard of late.
    var liveLeader: String? { get }
    /// What is counted of the work with the object store; nil where there is none.
    var storeStatistics: StoreStatistics? { get }
    /// What is counted of the part in a cluster, and how it stands there; nil for a node that is alone.
    var clusterStatistics: ClusterStatistics? { get }
    var clusterStatus: ClusterStatus? { get }
    /// Commits a proposal, wherever that is. `completion` comes once, from any thread.
    /// - Parameter mayBlock: The calling thread may make the commit itself.
    func propose(
        _ kind: ProposalKind, from requester: Requester?, mayBlock: Bool, completion: @escaping Proposal.Completion)
    /// Asks whoever leads. The answer comes once, from any thread, when everything that was acknowledged before is visible here.
    func ask(_ query: LeaderQuery, _ completion: @escaping @Sendable (Result<LeaderReply, DatabaseError>) -> Void)
    /// Others are to tell clients that they reach this node there.
    func advertise(_ urls: [String])
    /// Hands leadership over to an instance. The completion comes once, from any thread: whether it leads.
    func handOver(to instance: String, _ completion: @escaping @Sendable (Bool) -> Void)
    /// Starts to take requests.
    func start()
    /// Decides nothing any more, and finishes what was taken. Everything that was committed is passed to be applied.
    func finish()
    /// Closes the log. After `finish`, when everything is applied.
    func close()
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

/// Lets parts of a node propose without holding it.
final class NodeProposals: AuthProposals {
    private struct WeakSide {
        weak var side: (any NodeSide)?
    }

    private let side = Mutex(WeakSide())

    /// Until then every proposal fails.
    func begin(_ side: any NodeSide) { self.side.withLock { $0.side = side } }

    func propose(_ kind: ProposalKind, completion: @escaping Proposal.Completion) {
        guard let side = side.withLock({ $0.side }) else {
            return completion(.failure(DatabaseError(.stopped, "the node does not take requests")))
        }
        side.propose(kind, from: nil, mayBlock: false, completion: completion)
    }

    func propose(_ request: AuthRequest, completion: @escaping @Sendable (Bool) -> Void) {
        propose(.auth(request)) { result in
            if case .success = result { completion(true) } else { completion(false) }
        }
    }
}
