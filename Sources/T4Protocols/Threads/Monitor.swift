package import Glibc

/// State behind a lock, with one condition to wait on.
///
/// `Synchronization.Mutex` has no condition variable; this is a POSIX mutex and condition beside it. Closures are not
/// kept inside, so nothing is wrapped again on each access. Inlined into other modules, which specialize it.
package final class Monitor<State>: @unchecked Sendable {
    // Sendable: POSIX allows any thread to use a mutex and a condition; `state` is only touched under the mutex.
    @usableFromInline let mutex: UnsafeMutablePointer<pthread_mutex_t>
    @usableFromInline let condition: UnsafeMutablePointer<pthread_cond_t>
    @usableFromInline var state: State

    @inlinable
    package init(_ state: State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        condition = .allocate(capacity: 1)
        precondition(pthread_mutex_init(mutex, nil) == 0, "a mutex could not be made")
        precondition(pthread_cond_init(condition, nil) == 0, "a condition could not be made")
    }

    @inlinable
    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    /// Runs `body` with the state, locked.
    @inlinable
    package func withLock<Result, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&state)
    }

    /// Waits until `condition` gives a value, evaluated under the lock after each signal.
    @inlinable
    package func wait<Result>(until ready: (inout State) -> Result?) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while true {
            if let result = ready(&state) { return result }
            pthread_cond_wait(condition, mutex)
        }
    }

    /// Wakes one waiter.
    @inlinable
    package func signal() { pthread_cond_signal(condition) }

    /// Wakes all waiters.
    @inlinable
    package func broadcast() { pthread_cond_broadcast(condition) }
}
