import Logging
import RPC
import RawHTTP2
import Testing

@Suite struct ShutdownTests {
    @Test func runningCallsAreAnsweredAndStreamsEnded() async throws {
        let held = Box<ServerCall>()
        let heard = Box<StreamEvent>()
        try await withServer { router in
            router.unary("/test.Later/Unary") { call, _ in held.add(call) }
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(heard) }
        } _: { server in
            let client = try await connect(server)
            let idle = try await connect(server)
            let events = Box<StreamEvent>()
            client.stream(client.method("/test.Stream/Idle")) { _ in RecordingClientHandler(events) }.send([1])
            let running = Task { try await client.unary("/test.Later/Unary", []) }
            let call = await held.wait()[0]
            _ = await heard.wait()
            async let first: Void = server.shutdownGracefully(deadline: .seconds(60))
            // The stream's end shows that the shutdown has begun; the unary call still runs.
            #expect(await events.wait() == [.end(RPCStatus(.unavailable, "server is shutting down"))])
            #expect(heard.values.last == .cancel(.shutdown))
            async let second: Void = server.shutdownGracefully(deadline: .seconds(60))
            call.respond([42])
            #expect(try await running.value == [42])
            _ = await (first, second)
            await server.shutdownGracefully(deadline: .seconds(60))
            #expect(server.counters.connectionsOpen == 0)
            try await eventually("the clients know") { !client.isConnected && !idle.isConnected }
            #expect(await failure(client, "/test.Echo/Unary").code == .unavailable)
            await #expect(throws: RPCError.self) { try await connect(server) }
        }
    }

    @Test func deadlineCutsCallsThatDoNotEnd() async throws {
        let held = Box<ServerCall>()
        try await withServer { router in
            router.unary("/test.Never/Unary") { call, _ in held.add(call) }
        } _: { server in
            let client = try await connect(server)
            let never = Task { await failure(client, "/test.Never/Unary") }
            let call = await held.wait()[0]
            await server.shutdownGracefully(deadline: .milliseconds(20))
            #expect(await never.value.code == .unavailable)
            #expect(call.isClosed)
        }
    }

    @Test func clientsAreToldBeforeTheConnectionCloses() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.shutdownNoticeTime = .seconds(600)
        try await withServer(configuration: configuration) { _ in
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            _ = try await peer.next(RawPeer.FrameType.settings)
            async let stopped: Void = server.shutdownGracefully(deadline: .seconds(600))
            let notice = try await peer.next(RawPeer.FrameType.goAway)
            #expect(notice.payload == [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])
            // A call that crosses the notice is served.
            try await peer.headers(1, RawPeer.requestFields("/test.Echo/Unary"))
            try await peer.data(1, RawPeer.message([1]), end: true)
            let ping = try await peer.next(RawPeer.FrameType.ping)
            try await peer.frame(RawPeer.FrameType.ping, 1, 0, ping.payload)
            // The last notice and the answer may overtake each other.
            var rest: [RawPeer.Frame] = []
            while let frame = await peer.next() { rest.append(frame) }
            let final = rest.first { $0.type == RawPeer.FrameType.goAway }
            #expect(final?.payload == [0, 0, 0, 1, 0, 0, 0, 0])
            #expect(rest.contains { $0.type == RawPeer.FrameType.headers && $0.stream == 1 && $0.endsStream })
            await peer.shutDownSending()
            await stopped
        }
    }

    @Test func addressInUseIsNamed() async throws {
        try await withServer { _ in
        } _: { server in
            do throws(RPCError) {
                let second = try await RPCServer.start(
                    host: "127.0.0.1", port: server.port, threads: 1, router: RPCRouter(),
                    logger: Logger(label: "test"))
                await second.shutdownGracefully(deadline: .zero)
                Issue.record("two servers on one port")
            } catch {
                #expect(error.code == .addressInUse)
                #expect(error.message.contains("127.0.0.1:\(server.port)"))
            }
        }
    }

    @Test func connectionsBeyondTheLimitAreClosed() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.connectionsMax = 1
        try await withServer(configuration: configuration) { _ in
        } _: { server in
            let client = try await connect(server)
            #expect(try await client.unary("/test.Echo/Unary", [1]) == [1])
            let peer = try await RawPeer(port: server.port)
            #expect(await peer.readToEnd().isEmpty)
            #expect(server.counters.connectionsRefused == 1)
            await client.close()
        }
    }

    @Test func silentPeersArePingedAndGivenUp() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.keepaliveTime = .milliseconds(30)
        configuration.keepaliveTimeout = .milliseconds(30)
        try await withServer(configuration: configuration) { _ in
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            #expect(try await peer.next(RawPeer.FrameType.ping).flags == 0)
            while await peer.next() != nil {}
            try await eventually("the connection is gone") { server.counters.connectionsOpen == 0 }
        }
    }
}
