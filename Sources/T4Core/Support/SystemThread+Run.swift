package import T4Protocols

extension SystemThread {
    /// Runs something that blocks on a thread of its own.
    package static func run<Value: Sendable>(
        _ name: String, _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        let outcome = FirstValue<Result<Value, any Error>>()
        let thread = SystemThread(name: name) { outcome.give(Result { try body() }) }
        defer { thread.join() }
        return try await outcome.wait().get()
    }
}
