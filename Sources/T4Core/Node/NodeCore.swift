import Logging
import T4Protocols

/// What a node has whether or not it leads: what is visible, and who is told of it.
struct NodeCore: Sendable {
    let engine: any LocalEngine
    let published: PublishedState
    let statistics: NodeStatistics
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
    private let tokenProposals: TokenProposals

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
        tokenProposals = TokenProposals(queue: queue)
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
protocol NodeSide: Sendable {
    /// Leadership number.
    var term: UInt64 { get }
    /// What works with the object store now; nil where nothing does.
    var storeDuties: StoreDuties? { get }
    /// Commits a proposal of the calling thread, which the queue let take over.
    func commitHere(_ proposal: Proposal)
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
