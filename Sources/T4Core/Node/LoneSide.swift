import Logging
import T4Protocols

/// A node that has the database for itself: it leads all its life.
final class LoneSide: NodeSide {
    let term: UInt64
    let storeDuties: StoreDuties?
    private let link: StoreLink?
    private let gate: CommitGate?
    private let claim: LoneClaim?
    private let instance: String
    private let waitsForStore: Bool
    private let core: NodeCore
    private let directory: DataDirectory
    private let commit: CommitThread
    private let thread = Monitor<SystemThread?>(nil)
    private let logger: Logger

    /// Has the log in the store up to the first entry of this run, if there is a store.
    init(
        _ configuration: NodeConfiguration, _ opened: OpenedNode, _ core: NodeCore, clock: Clock, timer: BackoffTimer,
        logger: Logger, onDamage: @escaping @Sendable (DamagedEngine) -> Void
    ) throws {
        self.core = core
        self.logger = logger
        directory = opened.directory
        link = opened.link
        claim = opened.claim
        let (first, queue, publisher) = (opened.first, core.queue, core.publisher)
        term = first.position.term
        let waits = configuration.durability == .objectStore
        waitsForStore = waits
        instance = opened.identity.instance.description
        let gateOfGuard = Monitor<CommitGate?>(nil)
        var duties: StoreDuties?
        if let link = opened.link, let chain = opened.recovered.chain, let writer = opened.writer {
            let outage =
                waits
                ? OutageGuard(
                    of: queue, link.settings, timer,
                    onTrip: { reason in gateOfGuard.withLock { $0 }?.beginOutage(reason) },
                    onEnd: { gateOfGuard.withLock { $0 }?.endOutage() }) : nil
            let made = StoreDuties(
                link.uploader(
                    opened.identity.database, wal: directory.wal, term: first.position.term, behind: chain,
                    outage: outage, onFailure: { publisher.failed($0) }),
                term: first.position.term,
                StoreDuties.Parts(
                    link: link, identity: opened.identity, directory: opened.directory, entries: opened.log.entries,
                    core: core, writer: writer, covered: opened.covered,
                    beginsAnew: opened.recovered.hasPassedOver, space: configuration.tableSpace, clock: clock,
                    timer: timer, logger: logger, onDamage: onDamage))
            do {
                try link.fence(made.uploader, opened.recovered.tail, first)
            } catch {
                made.stop()
                throw error
            }
            link.trail.applied(
                StateTrail.Mark(
                    position: first.position, meta: try StateReader(core.engine.snapshot()).meta, time: first.time))
            duties = made
        }
        storeDuties = duties
        gate = duties.map {
            CommitGate(uploader: $0.uploader, stage: core.stage, waits: waits, onFailure: { publisher.failed($0) })
        }
        gateOfGuard.withLock { [gate] in $0 = gate }
        opened.log.syncTimes = core.statistics.logSyncs
        do {
            commit = try CommitThread(
                engine: core.engine, log: opened.log, queue: queue, stage: core.stage, gate: gate,
                observer: publisher, position: first.position, time: first.time, clock: clock,
                limits: configuration.commitLimits,
                quota: configuration.makeQuota(core.engine, member: opened.identity.instance.shortNumber))
        } catch {
            duties?.stop()
            throw error
        }
        duties?.beginCheckpoints()
    }

    func advertise(_ urls: [String]) {}

    func handOver(to instance: String, _ completion: @escaping @Sendable (Bool) -> Void) {
        completion(instance == self.instance)
    }

    func start() {
        let commit = commit
        thread.withLock { $0 = SystemThread(name: "t4-commit") { commit.run() } }
    }

    var isServing: Bool { true }
    var leads: Bool { true }
    var isCurrent: Bool { true }
    // It takes the lead when it starts, and nobody takes it away.
    var leaderChanges: Int { 1 }
    var liveLeader: String? { instance }
    var storeStatistics: StoreStatistics? { link?.statistics }
    var clusterStatistics: ClusterStatistics? { nil }
    var clusterStatus: ClusterStatus? { nil }

    func propose(
        _ kind: ProposalKind, from requester: Requester?, mayBlock: Bool, completion: @escaping Proposal.Completion
    ) {
        let proposal = Proposal(kind, from: requester, completion: completion)
        if core.queue.submit(proposal, takesOver: mayBlock && !waitsForStore) { commit.commitHere(proposal) }
    }

    func ask(_ query: LeaderQuery, _ completion: @escaping @Sendable (Result<LeaderReply, DatabaseError>) -> Void) {
        completion(.success(core.leases.reply(to: query, members: [])))
    }

    func finish() {
        joinCommitThread()
        core.compactor.stop()
        finishUploads()
    }

    func close() { commit.close() }

    /// The commit thread may wait for the store: not for ever.
    private func joinCommitThread() {
        let hasJoined = Monitor(false)
        if let link, let gate {
            link.after(link.settings.stopTimeout) {
                hasJoined.withLock { if !$0 { gate.abandon("the node stopped before the object store answered") } }
            }
        }
        thread.withLock { $0 }?.join()
        hasJoined.withLock { $0 = true }
    }

    /// Waits a while for what is not in the store yet, and ends the threads that work with it.
    private func finishUploads() {
        guard let duties = storeDuties, let link else { return }
        let uploader = duties.uploader
        duties.stopCheckpoints()
        link.endRetries()
        uploader.flush()
        let last = uploader.status.last.index
        let isComplete = uploader.wait(for: last, atMost: link.settings.stopTimeout)
        if !isComplete {
            gate?.beginOutage("the node stopped before the object store answered")
            logger.warning("the node stops with entries that are not in the object store; the next start uploads them")
        } else {
            _ = gate?.waitUntilEmpty()
        }
        duties.stop()
        do {
            try claim?.release(isComplete: isComplete)
        } catch {
            logger.warning("that this node has stopped could not be noted in the election record: \(error)")
        }
        // A node that goes on elsewhere may prune the chain: this directory can then still tell that it lacks nothing.
        do {
            try directory.setUploadedMark(uploader.status.end)
        } catch {
            logger.warning("what is in the object store could not be noted: \(error)")
        }
    }
}
