import Synchronization

/// A value that one task waits for and that several may offer; the first one counts, before or after the wait began.
package final class FirstValue<Value: Sendable>: Sendable {
    private enum State {
        case empty
        case awaited(CheckedContinuation<Value, Never>)
        case given(Value)
    }

    private let state = Mutex(State.empty)

    package init() {}

    /// Gives the value.
    /// - Returns: False when one was given before.
    @discardableResult
    package func give(_ value: Value) -> Bool {
        let (waiter, isFirst): (CheckedContinuation<Value, Never>?, Bool) = state.withLock { state in
            switch state {
            case .empty:
                state = .given(value)
                return (nil, true)
            case .awaited(let waiter):
                state = .given(value)
                return (waiter, true)
            case .given: return (nil, false)
            }
        }
        waiter?.resume(returning: value)
        return isFirst
    }

    /// The first value given. Called once.
    package func wait() async -> Value {
        await withCheckedContinuation { continuation in
            let value: Value? = state.withLock { state in
                if case .given(let value) = state { return value }
                state = .awaited(continuation)
                return nil
            }
            if let value { continuation.resume(returning: value) }
        }
    }
}
