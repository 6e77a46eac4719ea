import T4Protocols

/// Waits for an asynchronous call on a thread that may: never on that of a task, whose work might need it.
package enum BlockingCall {
    /// Makes the call, and returns what it does.
    package static func wait<Value: Sendable, Failure: Error>(
        _ call: @escaping @Sendable () async throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let outcome = Monitor<Result<Value, Failure>?>(nil)
        Task {
            let result: Result<Value, Failure>
            do throws(Failure) {
                result = .success(try await call())
            } catch {
                result = .failure(error)
            }
            outcome.withLock { $0 = result }
            outcome.broadcast()
        }
        return try outcome.wait { $0 }.get()
    }
}
