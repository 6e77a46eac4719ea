import Dispatch
import Synchronization

/// What a test waited for did not happen in time.
struct TimedOut: Error, CustomStringConvertible {
    let description: String
}

/// A value that tests wait on: every change wakes whoever waits, and no wait outlasts its deadline.
///
/// Waiting suspends the task and blocks no thread, so any number of tests may wait at once.
final class Observed<Value: Sendable>: Sendable {
    private struct State {
        var value: Value
        var version = 0
        var nextWaiter = 0
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state: Mutex<State>

    init(_ value: Value) {
        state = Mutex(State(value: value))
    }

    var value: Value { state.withLock { $0.value } }

    /// Changes the value and wakes every waiter. Any thread may call it.
    @discardableResult
    func update<Result: Sendable>(_ change: @Sendable (inout Value) -> Result) -> Result {
        let (result, waiters) = state.withLock { state in
            let result = change(&state.value)
            state.version += 1
            let waiters = Array(state.waiters.values)
            state.waiters.removeAll()
            return (result, waiters)
        }
        for waiter in waiters { waiter.resume() }
        return result
    }

    /// Waits until `check` finds something in the value.
    ///
    /// - Throws: `TimedOut` with `what` and the value's description in it, or what `check` throws.
    func wait<Found: Sendable>(
        for what: String, within limit: Duration = .seconds(300), _ check: @Sendable (Value) throws -> Found?,
    ) async throws -> Found {
        let deadline = ContinuousClock.now + limit
        while true {
            let (found, version) = try state.withLock { (try check($0.value), $0.version) }
            if let found { return found }
            let left = deadline - ContinuousClock.now
            guard left > .zero else { throw TimedOut(description: "waited \(limit) for \(what); got: \(value)") }
            await change(after: version, within: left)
        }
    }

    /// Returns at the next change, at once if the version has moved on already, or after `limit`.
    private func change(after version: Int, within limit: Duration) async {
        await withCheckedContinuation { continuation in
            let waiter: Int? = state.withLock { state in
                guard state.version == version else { return nil }
                state.nextWaiter += 1
                state.waiters[state.nextWaiter] = continuation
                return state.nextWaiter
            }
            guard let waiter else { return continuation.resume() }
            let seconds = Double(limit.components.seconds) + Double(limit.components.attoseconds) / 1e18
            DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { [self] in
                state.withLock { $0.waiters.removeValue(forKey: waiter) }?.resume()
            }
        }
    }
}
