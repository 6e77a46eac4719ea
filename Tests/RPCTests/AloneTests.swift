import RPC
import Testing

/// When a handler may keep its event loop for a while: only one client, and one call at a time, for some calls.
@Suite struct AloneTests {
    private static let method = "/test.Alone/Ask"
    /// What the service hears on a stream.
    private let heard = Box<StreamEvent>()

    /// The service says whether it thinks that it is alone.
    private func withService(_ body: (RPCServer) async throws -> Void) async throws {
        let heard = self.heard
        try await withServer(threads: 1) { router in
            router.unary(Self.method) { call, _ in call.respond([call.isAlone ? 1 : 0]) }
            router.stream("/test.Alone/Open") { _ in RecordingServerHandler(heard) }
        } _: { server in
            try await body(server)
        }
    }

    private func answers(_ client: RPCClient, _ count: Int) async throws -> [[UInt8]] {
        var answers: [[UInt8]] = []
        for _ in 0..<count { answers.append(try await client.unary(Self.method, [])) }
        return answers
    }

    @Test func oneClientIsAloneAfterSomeCalls() async throws {
        try await withService { server in
            let client = try await connect(server)
            #expect(try await answers(client, 20) == Array(repeating: [0], count: 16) + Array(repeating: [1], count: 4))
            await client.close()
        }
    }

    @Test func anotherClientEndsIt() async throws {
        try await withService { server in
            let (first, second) = (try await connect(server), try await connect(server))
            #expect(try await answers(first, 20).last == [1])
            #expect(try await answers(second, 1) == [[0]])
            #expect(try await answers(first, 17) == Array(repeating: [0], count: 16) + [[1]])
            await first.close()
            await second.close()
        }
    }

    @Test func anOpenStreamEndsIt() async throws {
        try await withService { server in
            let client = try await connect(server)
            #expect(try await answers(client, 20).last == [1])
            let call = client.stream(client.method("/test.Alone/Open")) { _ in
                RecordingClientHandler(Box<StreamEvent>())
            }
            call.send([1])
            _ = await heard.wait()
            #expect(try await answers(client, 1) == [[0]])
            await client.close()
        }
    }
}
