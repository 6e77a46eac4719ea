import Logging
import Synchronization

/// Proposes the compactions of a node that drops history by itself.
final class AutoCompactor: Sendable {
    private enum Phase {
        /// Until the next look at the revision.
        case waiting(until: Duration)
        /// A proposal is under way.
        case proposed(Revision)
        /// It was answered; its error, if any.
        case answered(Revision, DatabaseError?)
    }

    private struct State {
        var schedule: AutoCompaction
        var phase: Phase
    }

    private let state: Mutex<State>
    private let clock: any ElapsedClock
    private let newest: @Sendable () -> Revision
    private let propose: @Sendable (Revision, @escaping @Sendable (DatabaseError?) -> Void) -> Void
    private let logger: Logger
    private let worker = Mutex<SignalledThread?>(nil)

    /// - Parameters:
    ///   - newest: The newest visible revision.
    ///   - propose: Compacts, and says once how that ended, from any thread.
    init(
        _ retention: CompactionRetention, clock: any ElapsedClock = BootClock(), logger: Logger,
        newest: @escaping @Sendable () -> Revision,
        propose: @escaping @Sendable (Revision, @escaping @Sendable (DatabaseError?) -> Void) -> Void
    ) {
        self.clock = clock
        self.logger = logger
        self.newest = newest
        self.propose = propose
        let now = clock.now
        let schedule = AutoCompaction(retention, now: now, revision: newest())
        state = Mutex(State(schedule: schedule, phase: .waiting(until: now + schedule.interval)))
    }

    /// Starts the thread that waits for the time; it holds this until `stop`.
    func start() {
        let thread = SignalledThread(name: "t4-autocompact") { self.step() }
        worker.withLock { $0 = thread }
        thread.start()
    }

    /// Ends the thread; nothing is proposed afterwards.
    func stop() { worker.withLock { $0 }?.stop() }

    /// Does what is due. Called by the thread, one at a time.
    func step() -> SignalledThread.Next {
        let (now, newest) = (clock.now, newest())
        let (target, next): (Revision?, SignalledThread.Next) = state.withLock { state in
            switch state.phase {
            case .proposed: return (nil, .whenWoken)
            case .waiting(let until):
                if now < until { return (nil, .after(until - now)) }
                if let target = state.schedule.target(now: now, newest: newest) {
                    state.phase = .proposed(target)
                    return (target, .whenWoken)
                }
            case .answered(let target, let error):
                if error == nil { state.schedule.succeeded(to: target, now: now) }
            }
            state.schedule.endLook(newest: newest)
            state.phase = .waiting(until: now + state.schedule.interval)
            return (nil, .after(state.schedule.interval))
        }
        if let target {
            propose(target) { [weak self] error in self?.finish(target, error) }
        }
        return next
    }

    private func finish(_ target: Revision, _ error: DatabaseError?) {
        // As in etcd, what is compacted already counts as done.
        let failure = error?.code == .compacted ? nil : error
        if let failure, failure.code == .noLeader {
            logger.debug("history is compacted by the leader", metadata: ["revision": "\(target)"])
        } else if let failure {
            logger.warning("history could not be compacted: \(failure)", metadata: ["revision": "\(target)"])
        } else if error == nil {
            logger.info("history was compacted", metadata: ["revision": "\(target)"])
        }
        state.withLock { $0.phase = .answered(target, failure) }
        worker.withLock { $0 }?.wake()
    }
}
