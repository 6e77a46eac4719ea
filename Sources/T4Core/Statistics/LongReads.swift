import Synchronization

/// Who holds a view of the engine for long: some engines keep every page that was written after the oldest view. Requests that
/// are answered at once hold theirs for a turn of the event loop and are not noted here, so that they cost nothing more.
package final class LongReads: Sendable {
    private struct State {
        var next: UInt64 = 0
        var open: [UInt64: Stopwatch] = [:]
    }

    private let state = Mutex(State())

    /// Notes that a view is held while `body` runs.
    package func hold<Value: ~Copyable, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        let number = state.withLock { state in
            state.next += 1
            state.open[state.next] = Stopwatch()
            return state.next
        }
        defer { state.withLock { $0.open[number] = nil } }
        return try body()
    }

    /// How many there are, and for how many seconds the oldest one has been held; 0 for none.
    package var open: (count: Int, oldest: Double) {
        state.withLock { state in (state.open.count, state.open.values.map(\.seconds).max() ?? 0) }
    }
}
