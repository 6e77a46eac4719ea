import Logging
import T4Protocols

/// A node of a cluster: it follows, leads and follows again.
final class ClusterSide: NodeSide {
    let replicator: Replicator
    let statistics: ClusterStatistics
    private let core: NodeCore
    private let log: ClusterLog
    private let opened: OpenedReplica
    private let receiver: ReplicaReceiver
    private let desk: LeaderDesk
    private let forwarder: RequestForwarder
    private let pruner: FollowerPruner
    private let heirs: Monitor<[Heir]>
    private let changes: Monitor<Changes>
    private let requests: Monitor<Requests?>
    private let electionTimeout: Duration
    private let isReadOnly: Bool
    private let connection: NodeCluster.Connection
    /// What works with the store, while this node leads.
    private let duties: Monitor<StoreDuties?>
    /// How the replica ended, once it has.
    private let ended: Monitor<Replicator.End??>
    private let stopTimeout: Duration
    private let timer: BackoffTimer
    private static let stopped = DatabaseError(.stopped, "the node has stopped or failed")

    init(
        _ configuration: NodeConfiguration, _ cluster: NodeCluster, _ opened: OpenedReplica, _ core: NodeCore,
        clock: Clock, timer: BackoffTimer, logger: Logger, onDamage: @escaping @Sendable (DamagedEngine) -> Void
    ) throws {
        self.core = core
        self.opened = opened
        self.timer = timer
        receiver = opened.receiver
        connection = opened.connection
        stopTimeout = opened.link.settings.stopTimeout
        let log = ClusterLog(opened.log.writer)
        self.log = log
        opened.log.writer.syncTimes = core.statistics.logSyncs
        let duties = Monitor<StoreDuties?>(nil)
        self.duties = duties
        let outages = Monitor<OutageGuard?>(nil)
        let ended = Monitor<Replicator.End??>(nil)
        let requests = Monitor<Requests?>(nil)
        self.requests = requests
        self.ended = ended
        let (leases, publisher, engine) = (core.leases, core.publisher, core.engine)
        let member = opened.identity.instance.shortNumber
        core.queue.pause(LeaderDuties.noLeader, by: .leader)
        core.auth.endsLogins(false)
        var parts = Replicator.Parts(
            log: log, chain: opened.chain, election: cluster.election, transport: opened.connection.transport,
            engine: core.engine, stage: core.stage,
            makeLeading: { replicator, beginning in
                var parts = LeaderDuties.Parts(
                    engine: core.engine, log: log, queue: core.queue, stage: core.stage, observer: publisher,
                    clock: clock, limits: configuration.commitLimits)
                parts.makeQuota = { configuration.makeQuota(engine, member: member) }
                parts.makeStore = { beginning, replicator in
                    let made = try ClusterSide.makeStore(
                        beginning, replicator, configuration, cluster, opened, core, log.entries, outages, clock,
                        timer, logger, onDamage)
                    duties.withLock { $0 = made }
                    return made
                }
                parts.onServe = {
                    leases.promote()
                    core.auth.endsLogins(true, grace: true)
                    requests.withLock { $0 }?.serve(beginning.term)
                }
                parts.onEnd = {
                    requests.withLock { $0 }?.serve(0)
                    leases.pause()
                    core.auth.endsLogins(false)
                    outages.withLock { $0 }?.end()
                    duties.withLock { $0 = nil }
                }
                return try LeaderDuties(beginning, replicator, parts)
            }, wall: clock, timer: timer, logger: logger,
            onEnd: { end in
                if let end {
                    if case .conflict = end { ClusterSide.setAside(opened.directory, end, logger) }
                    publisher.failed(end)
                    requests.withLock { $0 }?.forwarder.stop(ClusterSide.stopped)
                }
                ended.withLock { $0 = .some(end) }
                ended.broadcast()
            })
        let heirs = Monitor<[Heir]>([])
        self.heirs = heirs
        (electionTimeout, isReadOnly) = (cluster.electionTimeout, cluster.isReadOnly)
        let changes = Monitor(Changes())
        self.changes = changes
        let tooFew = DatabaseError(
            .tooFewInSync, "fewer than \(cluster.inSyncMin) nodes are in sync (peer.in_sync_min)")
        parts.onChange = { standing in
            let change = changes.withLock { $0.take(standing) }
            if change.isLeaderChange { requests.withLock { $0 }?.forwarder.leaderChanged() }
            if change.lacksMembers { core.queue.pause(tooFew, by: .members) } else { core.queue.resume(.members) }
            if let missed = change.missed {
                logger.error(
                    """
                    nobody leads, and nobody may take over: what was acknowledged is on the disks of nodes that are not \
                    there. Start one of them; if all of their disks are lost, see t4 recover
                    """, metadata: ["instances": "\(missed.joined(separator: ", "))"])
            }
            Heir.answer(heirs) { $0.instance == standing.leader ? true : nil }
        }
        statistics = parts.statistics
        let replicator = try Replicator(opened.replica, time: opened.time, parts)
        self.replicator = replicator
        let instance = opened.identity.instance.description
        let desk = LeaderDesk(replicator, core)
        let forwarder = RequestForwarder(
            RequestForwarder.Parts(
                desk: desk, transport: opened.connection.transport, seed: PeerSeed(opened.identity.database),
                me: instance, leader: { replicator.standing.leader }, statistics: parts.statistics,
                applied: core.published.waiters,
                timeout: cluster.requestTimeout, queryTimeout: cluster.electionTimeout,
                countMax: configuration.queueCountMax, bytesMax: configuration.queueBytesMax))
        self.desk = desk
        pruner = FollowerPruner(
            LogPruner(log: log.entries, engine: engine, stage: core.stage, uploader: nil), opened.chain,
            every: cluster.pruneInterval, logger: logger,
            isFollowing: { replicator.standing.role == .follower },
            onPruned: {
                core.statistics.pruned($0)
                replicator.forgotten(through: $1)
            })
        self.forwarder = forwarder
        requests.withLock { $0 = Requests(desk: desk, forwarder: forwarder) }
    }

    private static func setAside(_ directory: DataDirectory, _ end: Replicator.End, _ logger: Logger) {
        do {
            try directory.beginSettingAside()
            logger.error("\(end): at its next start it sets that directory aside, and begins anew")
        } catch {
            logger.error("\(end); \(error)")
        }
    }

    /// Who leads, as it was told last.
    private struct Changes: Sendable {
        var standing: Replicator.Standing?
        /// How often somebody took the lead.
        var count = 0
        private var leader: (instance: String, term: UInt64) = ("", 0)

        struct Change {
            /// Requests may go another way now.
            var isLeaderChange = true
            var lacksMembers: Bool
            /// Whoever is missed since now.
            var missed: [String]?
        }

        mutating func take(_ new: Replicator.Standing) -> Change {
            if let instance = new.leader, new.term >= leader.term, (instance, new.term) != leader {
                leader = (instance, new.term)
                count += 1
            }
            guard let old = standing else {
                standing = new
                return Change(lacksMembers: new.lacksMembers, missed: new.missed)
            }
            // Told late.
            if new.number < old.number { return Change(lacksMembers: old.lacksMembers) }
            standing = new
            return Change(
                isLeaderChange: (old.leader, old.term, old.isServing) != (new.leader, new.term, new.isServing),
                lacksMembers: new.lacksMembers, missed: old.missed == nil ? new.missed : nil)
        }
    }

    /// What hears of the begin and the end of a leadership.
    private struct Requests {
        let desk: LeaderDesk
        let forwarder: RequestForwarder

        func serve(_ term: UInt64) {
            desk.serve(term)
            forwarder.leaderChanged()
        }
    }

    /// Begins what a leader does with the object store.
    private static func makeStore(
        _ beginning: LeadershipBeginning, _ replicator: Replicator, _ configuration: NodeConfiguration,
        _ cluster: NodeCluster, _ opened: OpenedReplica, _ core: NodeCore, _ entries: LogEntries,
        _ outages: Monitor<OutageGuard?>, _ clock: Clock, _ timer: BackoffTimer, _ logger: Logger,
        _ onDamage: @escaping @Sendable (DamagedEngine) -> Void
    ) throws -> StoreDuties {
        let (link, database, queue) = (opened.link, opened.identity.database, core.queue)
        link.trail.begin(at: beginning.last.index)
        let outage = cluster.durability == .objectStore ? OutageGuard(of: queue, link.settings, timer) : nil
        outages.withLock { $0 = outage }
        let uploader = link.uploader(
            database, wal: opened.directory.wal, term: beginning.term,
            behind: LogChain.End(position: beginning.fenced, term: beginning.term, time: 0), outage: outage,
            onStored: { replicator.stored(through: $0.index, term: beginning.term) },
            onFailure: { replicator.uploadFailed($0, term: beginning.term) })
        var parts = StoreDuties.Parts(
            link: link, identity: opened.identity, directory: opened.directory, entries: entries, core: core,
            writer: opened.makeWriter(), covered: opened.covered, beginsAnew: opened.hasPassedOver,
            space: configuration.tableSpace,
            clock: clock, timer: timer, logger: logger, onDamage: onDamage)
        parts.isShared = true
        parts.onPruned = { replicator.forgotten(through: $0) }
        return StoreDuties(uploader, term: beginning.term, parts)
    }

    var term: UInt64 { replicator.term }
    var storeDuties: StoreDuties? { duties.withLock { $0 } }

    var isServing: Bool { desk.isServing }
    var leads: Bool { desk.leads }
    var isCurrent: Bool { desk.isCurrent }
    var leaderChanges: Int { changes.withLock { $0.count } }
    var liveLeader: String? { replicator.liveLeader }
    var clusterStatus: ClusterStatus? { replicator.status }
    var clusterStatistics: ClusterStatistics? { statistics }
    var storeStatistics: StoreStatistics? { opened.link.statistics }

    /// Callers never commit in a cluster: they would wait for the other nodes.
    func propose(
        _ kind: ProposalKind, from requester: Requester?, mayBlock: Bool, completion: @escaping Proposal.Completion
    ) {
        guard !isReadOnly || kind.isTakenByReaders else {
            return completion(.failure(DatabaseError(.readOnly, "this node takes no writes (peer.read_only)")))
        }
        forwarder.propose(kind, from: requester, completion: completion)
    }

    func ask(_ query: LeaderQuery, _ completion: @escaping @Sendable (Result<LeaderReply, DatabaseError>) -> Void) {
        if let reply = desk.answerNow(query) { return completion(.success(reply)) }
        forwarder.ask(query, completion)
    }

    func advertise(_ urls: [String]) { replicator.advertise(urls) }

    func handOver(to instance: String, _ completion: @escaping @Sendable (Bool) -> Void) {
        let number = UInt64.random(in: 0...(.max))
        heirs.withLock { $0.append(Heir(number: number, instance: instance, completion: completion)) }
        let first = replicator.standing
        // It may have been told before.
        if first.leader == instance { return Heir.answer(heirs) { $0.instance == instance ? true : nil } }
        // As long as a leader lets its heir get ready, and as long again for the election.
        let (timer, step) = (timer, electionTimeout / 10)
        Task { [heirs, replicator] in
            for _ in 0..<20 {
                guard heirs.withLock({ $0.contains { $0.number == number } }) else { return }
                let standing = replicator.standing
                // Asked again, for it may not be in sync yet; but not to hand over what was handed over and came back.
                if standing.role == .leading, standing.term == first.term { replicator.handOver(to: instance) }
                await timer.pause(step)
            }
            Heir.answer(heirs) { $0.number == number ? false : nil }
        }
    }

    /// Somebody who waits until an instance leads.
    private struct Heir: Sendable {
        let number: UInt64
        let instance: String
        let completion: @Sendable (Bool) -> Void

        static func answer(_ heirs: Monitor<[Heir]>, _ answer: (Heir) -> Bool?) {
            let answered = heirs.withLock { heirs in
                let answered = heirs.compactMap { heir in answer(heir).map { (heir, $0) } }
                heirs.removeAll { answer($0) != nil }
                return answered
            }
            for (heir, isLeading) in answered { heir.completion(isLeading) }
        }
    }

    func start() {
        let replicator = replicator
        core.publisher.whenFailed.withLock { $0 = { replicator.fail("this node has failed: \($0)") } }
        forwarder.start()
        replicator.start()
        pruner.start()
        receiver.begin(replicator, desk, PeerSeed(opened.identity.database))
    }

    func finish() {
        // In good order, but not for ever.
        replicator.resign()
        let (ended, timer, limit) = (ended, timer, stopTimeout)
        let late = Task {
            await timer.pause(limit)
            ended.withLock { if $0 == nil { $0 = .some(nil) } }
            ended.broadcast()
        }
        _ = ended.wait { $0 }
        late.cancel()
        receiver.end()
        forwarder.stop(ClusterSide.stopped)
        Heir.answer(heirs) { _ in false }
        opened.link.endRetries()
        pruner.stop()
        replicator.stop()
        connection.close()
        forwarder.join()
        core.compactor.stop()
        // What they hold holds this.
        requests.withLock { $0 = nil }
        core.publisher.whenFailed.withLock { $0 = nil }
    }

    func close() { log.close() }
}

extension StoreDuties: LeaderStore {
    func serve() { beginCheckpoints() }
}
