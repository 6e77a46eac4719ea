import Logging
import Synchronization
import T4Protocols

/// A node that serves a copy of a database which is written elsewhere: it decides nothing, and takes what comes into the object store.
final class ReadReplicaSide: NodeSide {
    private let core: NodeCore
    private let copy: FollowedCopy
    private let link: StoreLink?
    private let interval: Duration
    private let clock: any ElapsedClock
    private let logger: Logger
    private let thread = Monitor<SignalledThread?>(nil)
    private let status: Mutex<Status>

    /// From one look to the next while something is wrong, at least.
    private static let troubleInterval = Duration.seconds(1)

    private struct Status {
        /// When the copy last had everything that was in the store; nil before that.
        var currentAt: Duration?
        /// The store does not answer, or something in it is damaged; told once.
        var trouble: String?
    }

    init(
        _ opened: OpenedReadReplica, _ core: NodeCore, every interval: Duration, clock: any ElapsedClock, logger: Logger
    ) {
        self.core = core
        self.interval = interval
        self.clock = clock
        self.logger = logger
        link = opened.link
        liveLeader = opened.identity.database.description
        status = Mutex(Status())
        copy = FollowedCopy(opened, core.stage, logger)
        guard opened.link != nil else { return }
        thread.withLock { thread in
            thread = SignalledThread(name: "t4-follow") { [weak self] in self?.step() ?? .whenWoken }
        }
    }

    private func step() -> SignalledThread.Next {
        do {
            let now = clock.now
            let isShown = try copy.look(at: now)
            let trouble = status.withLock { status in
                defer { status.trouble = nil }
                if isShown { status.currentAt = now }
                return status.trouble
            }
            if trouble != nil { logger.notice("the read replica follows again") }
            return .after(interval)
        } catch let failure as ChainFollower.Failure {
            switch failure {
            case .behind(let position): return end(Replicator.End.restore(position))
            case .diverged: return end(failure)
            }
        } catch let failure as FollowedCopy.LocalFailure {
            return end(failure.cause)
        } catch {
            let isNew = status.withLock { status in
                defer { status.trouble = "\(error)" }
                return status.trouble == nil
            }
            if isNew { logger.warning("the read replica cannot follow: \(error)") }
            return .after(max(interval, ReadReplicaSide.troubleInterval))
        }
    }

    private func end(_ failure: any Error) -> SignalledThread.Next {
        core.publisher.failed(failure)
        return .whenWoken
    }

    /// How long ago the copy had everything that was in the store; nil before that, and where there is none.
    var staleness: Duration? { status.withLock { $0.currentAt }.map { clock.now - $0 } }

    var term: UInt64 { copy.term }
    var storeDuties: StoreDuties? { nil }
    var isServing: Bool { false }
    var leads: Bool { false }
    // What is read here is as it was, whatever is asked for.
    var isCurrent: Bool { true }
    var leaderChanges: Int { 0 }
    // Somebody elsewhere, who is known by the database alone: clients are to see that there is one.
    let liveLeader: String?
    var storeStatistics: StoreStatistics? { link?.statistics }
    var clusterStatistics: ClusterStatistics? { nil }
    var clusterStatus: ClusterStatus? { nil }

    func propose(
        _ kind: ProposalKind, from requester: Requester?, mayBlock: Bool, completion: @escaping Proposal.Completion
    ) {
        completion(.failure(DatabaseError(.readOnly, "this node is a read replica and takes no writes")))
    }

    func ask(_ query: LeaderQuery, _ completion: @escaping @Sendable (Result<LeaderReply, DatabaseError>) -> Void) {
        switch query {
        case .renew: completion(.failure(DatabaseError(.readOnly, "this node is a read replica and renews no leases")))
        case .index, .timeToLive, .members: completion(.success(core.leases.reply(to: query, members: [])))
        }
    }

    func advertise(_ urls: [String]) {}

    func handOver(to instance: String, _ completion: @escaping @Sendable (Bool) -> Void) { completion(false) }

    func start() { thread.withLock { $0 }?.start() }

    func finish() {
        link?.endRetries()
        thread.withLock { $0 }?.stop()
        core.compactor.stop()
    }

    func close() { copy.close() }
}
