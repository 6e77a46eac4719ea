import RPC
import RawHTTP2
import Testing

@Suite struct StreamTests {
    @Test func messagesFlowBothWaysInOrder() async throws {
        let heard = Box<StreamEvent>()
        try await withServer { router in
            router.stream("/test.Stream/Echo") { call in
                RecordingServerHandler(heard) { event in
                    switch event {
                    case .message(let message): call.send(message)
                    case .halfClose: call.finish(RPCStatus(.outOfRange, "the end"))
                    default: break
                    }
                }
            }
        } _: { server in
            let client = try await connect(server)
            let events = Box<StreamEvent>()
            let call = client.stream(client.method("/test.Stream/Echo")) { _ in RecordingClientHandler(events) }
            let messages = (0..<100).map { [UInt8](repeating: UInt8($0), count: $0 * 97) }
            for message in messages { call.send(message) }
            #expect(await events.wait(for: 100) == messages.map { .message($0) })
            call.halfClose()
            #expect(await events.wait(for: 101).last == .end(RPCStatus(.outOfRange, "the end")))
            #expect(heard.values == messages.map { .message($0) } + [.halfClose])
            await client.close()
        }
    }

    @Test func cancelReachesTheHandlerOnce() async throws {
        let heard = Box<StreamEvent>()
        try await withServer { router in
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(heard) }
        } _: { server in
            let client = try await connect(server)
            let events = Box<StreamEvent>()
            let call = client.stream(client.method("/test.Stream/Idle")) { _ in RecordingClientHandler(events) }
            call.send([1])
            _ = await heard.wait()
            call.cancel()
            #expect(await events.wait() == [.end(RPCStatus(.cancelled, "context canceled"))])
            #expect(await heard.wait(for: 2) == [.message([1]), .cancel(.reset(code: 8))])
            #expect(try await client.unary("/test.Echo/Unary", [1]) == [1])
            #expect(heard.values.count == 2)
            await client.close()
        }
    }

    @Test func deadlineEndsAStream() async throws {
        let heard = Box<StreamEvent>()
        try await withServer { router in
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(heard) }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            try await peer.headers(1, RawPeer.requestFields("/test.Stream/Idle") + [("grpc-timeout", "30000u")])
            #expect(try await peer.answer(1)["grpc-status"] == "4")
            #expect(await heard.wait() == [.cancel(.deadline)])
        }
    }

    @Test func lostConnectionsReleaseTheirCalls() async throws {
        let heard = Box<StreamEvent>()
        let held = Box<WeakCall<ServerCall>>()
        try await withServer { router in
            router.stream("/test.Stream/Idle") { call in
                held.add(WeakCall(call))
                return RecordingServerHandler(heard) { event in
                    if case .message = event { call.send([UInt8](repeating: 1, count: 1000)) }
                }
            }
            router.unary("/test.Never/Unary") { call, _ in held.add(WeakCall(call)) }
        } _: { server in
            do {
                let peer = try await RawPeer(port: server.port)
                try await peer.startHTTP2()
                for stream in stride(from: UInt32(1), to: 40, by: 4) {
                    try await peer.headers(stream, RawPeer.requestFields("/test.Stream/Idle"))
                    try await peer.data(stream, RawPeer.message([1]), end: false)
                    try await peer.headers(stream + 2, RawPeer.requestFields("/test.Never/Unary"))
                    try await peer.data(stream + 2, RawPeer.message([1]), end: true)
                }
                _ = await held.wait(for: 20)
            }
            try await eventually("the connection is gone") { server.counters.connectionsOpen == 0 }
            #expect(heard.values.filter { $0 == .cancel(.connectionLost) }.count == 10)
            #expect(server.counters.callsStarted == 20)
            #expect(server.counters.callsEnded == server.counters.callsStarted)
            try await eventually("no call is alive") { held.values.allSatisfy { $0.call == nil } }
        }
    }

    @Test func slowReadersHoldOnlyTheirOwnQueue() async throws {
        let heard = Box<StreamEvent>()
        let sent = SharedCounter()
        let most = SharedCounter()
        let total = 64 << 20
        let chunk = [UInt8](repeating: 5, count: 16 << 10)
        var configuration = RPCServerConfiguration.patient
        configuration.pendingBytesHigh = 128 << 10
        try await withServer(configuration: configuration) { router in
            router.stream("/test.Stream/Pour") { call in
                RecordingServerHandler(heard) { event in
                    if case .cancel = event { return }
                    while call.isWritable, sent.value < total {
                        call.send(chunk)
                        sent.add(chunk.count)
                        most.raise(to: call.pendingBytes)
                    }
                    if sent.value >= total { call.finish() }
                }
            }
        } _: { server in
            let client = try await connect(server)
            let received = SharedCounter()
            let events = Box<StreamEvent>()
            let call = client.stream(client.method("/test.Stream/Pour")) { call in
                CountingHandler(received, events)
            }
            call.pauseReading()
            call.send([1])
            call.halfClose()
            // The reader takes one window (1 MiB) and no more; others on its connection are not held up.
            try await eventually("the window is full") { received.value > (1 << 20) - 20_000 }
            for _ in 0..<20 { #expect(try await client.unary("/test.Echo/Unary", [1]) == [1]) }
            #expect(received.value <= 1 << 20)
            #expect(sent.value <= (1 << 20) + (256 << 10))
            call.resumeReading()
            #expect(await events.wait() == [.end(.ok)])
            #expect(received.value == total)
            #expect(most.value <= (128 << 10) + chunk.count + 5)
            await client.close()
        }
    }

    /// The other way round: a server that reads no more holds its client back, and goes on where it stopped.
    @Test(.timeLimit(.minutes(10))) func aServerReadsOnWhereItPaused() async throws {
        let paused = Box<ServerCall>()
        let received = SharedCounter()
        let total = 16 << 20
        let chunk = [UInt8](repeating: 5, count: 16 << 10)
        try await withServer { router in
            router.stream("/test.Stream/Sink") { call in
                RecordingServerHandler(Box()) { event in
                    switch event {
                    case .message(let message):
                        if received.value == 0 {
                            call.pauseReading()
                            paused.add(call)
                        }
                        received.add(message.count)
                    case .halfClose: call.finish()
                    default: break
                    }
                }
            }
        } _: { server in
            let client = try await connect(server)
            let events = Box<StreamEvent>()
            let call = client.stream(client.method("/test.Stream/Sink")) { _ in RecordingClientHandler(events) }
            for _ in 0..<(total / chunk.count) { call.send(chunk) }
            call.halfClose()
            let server = await paused.wait()[0]
            // Others on the connection are not held up.
            for _ in 0..<20 { #expect(try await client.unary("/test.Echo/Unary", [1]) == [1]) }
            #expect(received.value < total / 2)
            #expect(call.pendingBytes > total / 2)
            server.resumeReading()
            #expect(await events.wait() == [.end(.ok)])
            #expect(received.value == total)
            await client.close()
        }
    }

    @Test func socketThatIsNotReadHoldsTheQueue() async throws {
        let sent = SharedCounter()
        let chunk = [UInt8](repeating: 5, count: 16 << 10)
        let heard = Box<StreamEvent>()
        try await withServer { router in
            router.stream("/test.Stream/Pour") { call in
                RecordingServerHandler(heard) { event in
                    if case .cancel = event { return }
                    while call.isWritable, sent.value < 256 << 20 {
                        call.send(chunk)
                        sent.add(chunk.count)
                    }
                }
            }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            // Windows of 2 GiB, so that only the socket limits.
            try await peer.frame(RawPeer.FrameType.settings, 0, 0, [0, 4, 0x7f, 0xff, 0xff, 0xff])
            try await peer.frame(RawPeer.FrameType.windowUpdate, 0, 0, [0x7f, 0xff, 0, 0])
            try await peer.headers(1, RawPeer.requestFields("/test.Stream/Pour"))
            try await peer.data(1, RawPeer.message([1]), end: false)
            // The queue fills behind the socket's buffers (which the system sizes) and stays at its mark.
            _ = await heard.wait()
            let other = try await connect(server)
            #expect(try await other.unary("/test.Echo/Unary", [3]) == [3])
            #expect(sent.value < 64 << 20)
            await other.close()
        }
    }

    /// A load generator that starts a new call from each completion must not be kept going by a lost connection.
    @Test func callsStartedWhileTheConnectionIsLostFail() async throws {
        try await withServer { router in
            router.unary("/test.Never/Unary") { _, _ in }
        } _: { server in
            let client = try await connect(server)
            let method = client.method("/test.Never/Unary")
            let codes = Box<RPCStatus.Code>()
            client.start(method, []) { first in
                if case .failure(let status) = first { codes.add(status.code) }
                client.start(method, []) { second in
                    if case .failure(let status) = second { codes.add(status.code) }
                }
            }
            try await eventually("the call is there") { server.counters.callsStarted == 1 }
            await server.shutdownGracefully(deadline: .zero)
            #expect(await codes.wait(for: 2) == [.unavailable, .unavailable])
        }
    }

    @Test func callsOfAClientFailWithItsConnection() async throws {
        try await withServer { router in
            router.unary("/test.Never/Unary") { _, _ in }
        } _: { server in
            let client = try await connect(server)
            let never = Task { await failure(client, "/test.Never/Unary") }
            try await eventually("the call is there") { server.counters.callsStarted == 1 }
            await client.close()
            #expect(await never.value.code == .unavailable)
            #expect(await failure(client, "/test.Echo/Unary").code == .unavailable)
            #expect(!client.isConnected)
        }
    }
}

private final class CountingHandler: ClientStreamHandler {
    private let received: SharedCounter
    private let events: Box<StreamEvent>

    init(_ received: SharedCounter, _ events: Box<StreamEvent>) {
        self.received = received
        self.events = events
    }
    func onMessage(_ message: RawSpan) { received.add(message.byteCount) }
    func onEnd(_ status: RPCStatus) { events.add(.end(status)) }
    func onWritable() {}
}
