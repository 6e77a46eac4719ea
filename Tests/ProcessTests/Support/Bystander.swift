import RPC

/// A client that behaves well beside others that do not: it puts and gets without a pause and checks every answer.
final class Bystander: Sendable {
    private struct Progress: Sendable, CustomStringConvertible {
        var rounds = 0
        var isOver = false
        var failure: (any Error)?

        var description: String { "\(rounds) rounds, failure: \(failure.map { "\($0)" } ?? "none")" }
    }

    struct WrongAnswer: Error {
        var key: String
        var expected: String
        var found: String?
    }

    private let client: EtcdClient
    private let progress = Observed(Progress())
    private let task: Task<Void, Never>

    /// Connects and begins.
    init(_ server: ServerUnderTest) async throws {
        let client = try await EtcdClient.connect(to: server)
        self.client = client
        task = Task { [progress] in
            var revision: Int64 = 0
            while !progress.value.isOver {
                let round = progress.value.rounds
                do {
                    let key = "bystander/\(round % 50)"
                    let put = try await client.put(key, "round \(round)")
                    let found = try await client.value(of: key)
                    guard found == "round \(round)", put > revision else {
                        throw WrongAnswer(key: key, expected: "round \(round)", found: found)
                    }
                    revision = put
                    progress.update { $0.rounds += 1 }
                } catch {
                    progress.update { $0.failure = error }
                    return
                }
            }
        }
    }

    /// Returns when the client has been served so many times more.
    func goOn(_ rounds: Int = 20) async throws {
        let goal = progress.value.rounds + rounds
        try await progress.wait(for: "a well-behaved client to be served", within: .seconds(600)) { progress in
            if let failure = progress.failure { throw failure }
            return progress.rounds >= goal ? () : nil
        }
    }

    /// Ends it; throws what went wrong for it at any time.
    func stop() async throws {
        progress.update { $0.isOver = true }
        await task.value
        await client.close()
        if let failure = progress.value.failure { throw failure }
    }
}
