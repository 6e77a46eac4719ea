import RPC

/// Watchers of keys that nobody writes, which stay until they are closed.
// Unchecked: everything that changes is touched on the connections' event loop only.
final class UnwrittenWatches: @unchecked Sendable {
    private let connections: [BenchConnection]
    private var calls: [ClientCall] = []
    private var created = 0
    private var news = BenchAnswers.WatchNews()
    private var whenCreated: CheckedContinuation<Void, any Error>?
    private var isClosed = false
    /// What went wrong after all were created. To be read once they are closed.
    private(set) var failure: CommandFailure?

    /// - Parameter connections: What they are spread over; all on one event loop.
    init(_ connections: [BenchConnection]) { self.connections = connections }

    /// Returns when all exist.
    /// - Throws: `CommandFailure` if one does not come about.
    func create(_ count: Int, requests: BenchRequests) async throws {
        try await withCheckedThrowingContinuation { continuation in
            connections[0].client.execute { [self] in
                whenCreated = continuation
                for (first, connection) in connections.enumerated() {
                    let call = connection.client.stream(connection.watch) { _ in
                        Receiver {
                            self.received($0, of: count)
                        } ended: {
                            self.fail("a watch stream ended: \($0)")
                        }
                    }
                    calls.append(call)
                    for index in stride(from: first, to: count, by: connections.count) {
                        call.send(requests.watchUnwritten(index))
                    }
                }
            }
        }
    }

    /// Ends all of them.
    func close() async {
        await withCheckedContinuation { continuation in
            connections[0].client.execute { [self] in
                isClosed = true
                for call in calls { call.cancel() }
                continuation.resume()
            }
        }
    }

    private final class Receiver: ClientStreamHandler {
        private let message: (RawSpan) -> Void
        private let ended: (RPCStatus) -> Void

        init(message: @escaping (RawSpan) -> Void, ended: @escaping (RPCStatus) -> Void) {
            self.message = message
            self.ended = ended
        }

        func onMessage(_ message: RawSpan) { self.message(message) }
        func onEnd(_ status: RPCStatus) { ended(status) }
        func onWritable() {}
    }

    private func received(_ message: RawSpan, of count: Int) {
        do {
            try BenchAnswers.read(message, into: &news)
        } catch {
            return fail("a watch answer cannot be read: \(error)")
        }
        if news.isCancelled { return fail("the server cancelled a watch") }
        if !news.tags.isEmpty { return fail("an event of a key that nobody writes") }
        guard news.isCreated else { return }
        created += 1
        if created == count { whenCreated.take()?.resume() }
    }

    private func fail(_ reason: String) {
        guard !isClosed else { return }
        let failure = CommandFailure(description: reason)
        self.failure = self.failure ?? failure
        whenCreated.take()?.resume(throwing: failure)
    }
}
