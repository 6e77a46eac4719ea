import RPC
import Synchronization
import Testing

/// What lives how long when a connection goes: while nghttp2 is still at work, and afterwards.
@Suite struct LifetimeTests {
    /// The last reference to a client, given up where a test wants it.
    private final class Holder: Sendable {
        private let client: Mutex<RPCClient?>

        init(_ client: RPCClient) { self.client = Mutex(client) }

        func letGo() {
            let last = client.withLock { client in
                defer { client = nil }
                return client
            }
            withExtendedLifetime(last) {}
        }
    }

    /// Starts calls on a client that goes with the end of the first of them.
    private static func startCalls(_ count: Int, on server: RPCServer, _ ends: Box<RPCStatus>) async throws {
        let client = try await connect(server)
        let holder = Holder(client)
        for _ in 0..<count {
            client.start(client.method("/test.Held/Unary"), []) { result in
                switch result {
                case .success: ends.add(.ok)
                case .failure(let status): ends.add(status)
                }
                holder.letGo()
            }
        }
    }

    /// The answers come in one read: when the first one closes the connection, nghttp2 has those behind it still to do.
    @Test func aClientMayGoWhileAnswersArrive() async throws {
        let held = Box<ServerCall>()
        let ends = Box<RPCStatus>()
        try await withServer(threads: 1) { router in
            router.unary("/test.Held/Unary") { call, _ in held.add(call) }
        } _: { server in
            let count = 10
            try await Self.startCalls(count, on: server, ends)
            var batch = ReplyBatch()
            for call in await held.wait(for: count) { batch.respond(call, [1]) }
            batch.submit()
            let statuses = await ends.wait(for: count)
            #expect(statuses[0].isOK)
            #expect(statuses[1...].allSatisfy { $0.code == .unavailable })
        }
    }

    @Test func lostConnectionsReleaseTheCallsOfClients() async throws {
        let held = Box<ServerCall>()
        try await withServer { router in
            router.stream("/test.Stream/Idle") { call in
                held.add(call)
                call.send([1])
                return RecordingServerHandler(Box())
            }
        } _: { server in
            let client = try await connect(server)
            let heard = Box<StreamEvent>()
            let call = WeakCall(
                client.stream(client.method("/test.Stream/Idle")) { _ in RecordingClientHandler(heard) })
            // Its headers have come, and nothing of another call after them.
            #expect(await heard.wait() == [.message([1])])
            await client.close()
            #expect(await heard.wait(for: 2).count == 2)
            try await eventually("the call is gone") { call.call == nil }
        }
    }
}
