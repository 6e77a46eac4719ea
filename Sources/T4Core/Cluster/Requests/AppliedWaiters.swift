import Synchronization

/// Those that wait until an entry of the log is visible on this node. Usable from any thread.
final class AppliedWaiters: Sendable {
    /// Called once: whether it is visible, or the wait was given up.
    typealias Completion = @Sendable (Bool) -> Void

    private struct Waiter {
        var index: UInt64
        var deadline: Duration
        var completion: Completion
    }

    private struct State {
        var waiting: [Waiter] = []
        var isOver = false

        /// Takes those out that are meant, in their order.
        mutating func take(_ isMeant: (Waiter) -> Bool) -> [Waiter] {
            let taken = waiting.filter(isMeant)
            if !taken.isEmpty { waiting.removeAll(where: isMeant) }
            return taken
        }
    }

    private let applied: Atomic<UInt64>
    /// The lowest index that is waited for: what is applied below it concerns nobody.
    private let lowest = Atomic(UInt64.max)
    private let state = Mutex(State())

    /// - Parameter index: The last entry that is visible.
    init(applied index: UInt64) { applied = Atomic(index) }

    /// The last entry that is visible.
    var index: UInt64 { applied.load(ordering: .acquiring) }

    /// Everything up to this entry is visible. Those that wait for it hear of it with `wake`.
    func applied(_ index: UInt64) { applied.store(index, ordering: .sequentiallyConsistent) }

    /// Tells those that wait for what is visible.
    func wake() {
        let index = applied.load(ordering: .sequentiallyConsistent)
        // Either this sees the wish of whoever waits, or they see the new index.
        if lowest.load(ordering: .sequentiallyConsistent) <= index { release { $0.index <= index } }
    }

    /// Waits for an entry.
    /// - Parameter deadline: Of the clock by which `expire` is called.
    func wait(for index: UInt64, until deadline: Duration, _ completion: @escaping Completion) {
        let isOver: Bool? = state.withLock { state in
            if state.isOver { return true }
            if self.applied.load(ordering: .sequentiallyConsistent) >= index { return false }
            state.waiting.append(Waiter(index: index, deadline: deadline, completion: completion))
            lowest.store(min(index, lowest.load(ordering: .relaxed)), ordering: .sequentiallyConsistent)
            return nil
        }
        if let isOver { return completion(!isOver) }
        let newest = self.applied.load(ordering: .sequentiallyConsistent)
        if newest >= index { release { $0.index <= newest } }
    }

    /// Gives up those whose time is over.
    /// - Returns: When the next one's is; nil where nobody waits.
    func expire(now: Duration) -> Duration? {
        let (late, next) = state.withLock { state in
            let late = state.take { $0.deadline <= now }
            setLowest(state)
            return (late, state.waiting.map(\.deadline).min())
        }
        for waiter in late { waiter.completion(false) }
        return next
    }

    /// Gives up everybody, and whoever comes later.
    func stop() {
        let all = state.withLock { state in
            state.isOver = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for waiter in all { waiter.completion(false) }
    }

    private func release(_ isDone: (Waiter) -> Bool) {
        let done = state.withLock { state in
            let done = state.take(isDone)
            setLowest(state)
            return done
        }
        for waiter in done { waiter.completion(true) }
    }

    private func setLowest(_ state: State) {
        lowest.store(state.waiting.map(\.index).min() ?? .max, ordering: .sequentiallyConsistent)
    }
}
