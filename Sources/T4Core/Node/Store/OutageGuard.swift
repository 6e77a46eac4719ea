import T4Protocols

/// Tells a store that stays away from one that missed a call.
final class OutageGuard: Sendable {
    private struct State {
        var isOut = false
        var isTripped = false
        var isOver = false
        /// Rises with each change, so that an old timer means nothing.
        var generation: UInt64 = 0
    }

    private let limit: Duration
    private let timer: BackoffTimer
    private let onTrip: @Sendable () -> Void
    private let onEnd: @Sendable () -> Void
    private let state = Monitor(State())

    /// - Parameters:
    ///   - onTrip: Called when the store has been out for `limit`.
    ///   - onEnd: Called when it is back after that. Neither is called while the other runs.
    init(
        limit: Duration, timer: BackoffTimer, onTrip: @escaping @Sendable () -> Void,
        onEnd: @escaping @Sendable () -> Void
    ) {
        self.limit = limit
        self.timer = timer
        self.onTrip = onTrip
        self.onEnd = onEnd
    }

    /// Tells of nothing any more, and that the store is back if it was out.
    func end() {
        state.withLock { state in
            state.isOver = true
            state.generation += 1
            if state.isTripped { onEnd() }
            state.isTripped = false
        }
    }

    /// The store began to fail, or answered again.
    func note(isOut: Bool) {
        let generation: UInt64? = state.withLock { state in
            guard state.isOut != isOut, !state.isOver else { return nil }
            state.isOut = isOut
            state.generation += 1
            if !isOut, state.isTripped {
                state.isTripped = false
                onEnd()
            }
            return isOut ? state.generation : nil
        }
        guard let generation else { return }
        Task {
            await timer.pause(limit)
            state.withLock { state in
                guard state.generation == generation else { return }
                state.isTripped = true
                onTrip()
            }
        }
    }
}

extension OutageGuard {
    /// Refuses writes while the store stays away.
    /// - Parameters:
    ///   - onTrip: Called after writes are refused, with the reason.
    ///   - onEnd: Called before they are taken again.
    convenience init(
        of queue: ProposalQueue, _ settings: NodeStore, _ timer: BackoffTimer,
        onTrip: @escaping @Sendable (_ reason: String) -> Void = { _ in }, onEnd: @escaping @Sendable () -> Void = {}
    ) {
        let reason = "the object store has not taken the log for \(settings.outageTimeout)"
        self.init(
            limit: settings.outageTimeout, timer: timer,
            onTrip: {
                queue.pause(DatabaseError(.storeUnavailable, reason), by: .store)
                onTrip(reason)
            },
            onEnd: {
                onEnd()
                queue.resume(.store)
            })
    }
}
