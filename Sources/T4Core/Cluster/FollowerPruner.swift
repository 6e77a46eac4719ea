import Logging
import T4Protocols

/// Removes segments of a follower's log that a checkpoint of the leader covers, as a leader does after its checkpoints.
final class FollowerPruner: Sendable {
    private let chain: any ReplicaChain
    private let pruner: LogPruner
    private let interval: Duration
    private let isFollowing: @Sendable () -> Bool
    private let onPruned: @Sendable (_ count: Int, _ through: UInt64) -> Void
    private let logger: Logger
    private let thread = Monitor<SignalledThread?>(nil)

    /// - Parameter onPruned: Hears that so many segments are gone, and that the log begins behind this entry now.
    init(
        _ pruner: LogPruner, _ chain: any ReplicaChain, every interval: Duration, logger: Logger,
        isFollowing: @escaping @Sendable () -> Bool,
        onPruned: @escaping @Sendable (_ count: Int, _ through: UInt64) -> Void
    ) {
        self.pruner = pruner
        self.chain = chain
        self.interval = interval
        self.logger = logger
        self.isFollowing = isFollowing
        self.onPruned = onPruned
    }

    func start() {
        let made = SignalledThread(name: "t4-prune") { self.step() }
        thread.withLock { $0 = made }
        made.start()
    }

    /// Ends the thread. The store has to have given up by then.
    func stop() { thread.withLock { $0 }?.stop() }

    private func step() -> SignalledThread.Next {
        // The newest segment stays in any case, so that nobody need ask the store.
        guard pruner.log.hasOlderSegments, isFollowing() else { return .after(interval) }
        do {
            let count = try pruner.run(covered: chain.covered())
            if count > 0 { onPruned(count, pruner.log.start.index) }
        } catch {
            // The next look is soon enough.
            logger.info("the log of this follower could not be shortened", metadata: ["error": "\(error)"])
        }
        return .after(interval)
    }
}
