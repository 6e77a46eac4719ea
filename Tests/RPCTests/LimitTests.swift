import NIOCore
import RPC
import RawHTTP2
import Synchronization
import Testing

/// Each limit of a server, with numbers so small that a test can count.
///
/// Method: raw peers do what a limit forbids. A ping that is answered tells that the server has dealt with all before it.
@Suite struct LimitTests {
    private typealias FrameType = RawPeer.FrameType

    private static let calm: [UInt8] = [0, 0, 0, 11]

    private static func text(_ goAway: RawPeer.Frame) -> String {
        String(decoding: goAway.payload[8...], as: UTF8.self)
    }

    @Test func requestsWaitForAnswersToBeRead() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.outputBytesMax = 1 << 20
        let handled = SharedCounter()
        try await withServer(configuration: configuration) { router in
            router.unary("/test.Big/Get") { call, _ in
                handled.add(1)
                call.respond([UInt8](repeating: 1, count: 256 << 10))
            }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            try await peer.write(RawPeer.initialWindow(0))
            let streams = (0..<40).map { UInt32($0 * 2 + 1) }
            try await peer.write(streams.flatMap { RawPeer.request($0, "/test.Big/Get") } + RawPeer.ping)
            _ = try await peer.next(FrameType.ping)
            // Four and their prefixes are a little more than the limit.
            #expect(handled.value == 4)
            // Others are served, also on the loop of this connection.
            for _ in 0..<2 {
                let client = try await connect(server)
                #expect(try await client.unary("/test.Echo/Unary", [9]) == [9])
                await client.close()
            }
            #expect(handled.value == 4)
            try await peer.write(RawPeer.initialWindow(1 << 30) + RawPeer.credit(1 << 30))
            let answers = try await peer.answers(streams.count)
            #expect(answers.keys.sorted() == streams)
            #expect(answers.values.allSatisfy { $0["grpc-status"] == "0" })
            #expect(handled.value == 40)
        }
    }

    @Test func waitingRequestsEndWithTheirDeadline() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.outputBytesMax = 1 << 10
        try await withServer(configuration: configuration) { router in
            router.unary("/test.Big/Get") { call, _ in call.respond([UInt8](repeating: 1, count: 2 << 10)) }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            try await peer.write(RawPeer.initialWindow(0) + RawPeer.request(1, "/test.Big/Get"))
            try await peer.headers(3, RawPeer.requestFields("/test.Big/Get") + [("grpc-timeout", "50m")])
            try await peer.data(3, RawPeer.message([]), end: true)
            #expect(try await peer.answer(3)["grpc-status"] == "4")
            // Not handled when its turn would come.
            try await peer.write(RawPeer.initialWindow(1 << 20) + RawPeer.credit(1 << 20))
            #expect(try await peer.answer(1)["grpc-status"] == "0")
            #expect(server.counters.callsStarted == 2)
        }
    }

    @Test func streamsOfAFullConnectionAreNotWritable() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.outputBytesMax = 64 << 10
        let events = Box<StreamEvent>()
        let call = Box<ServerCall>()
        try await withServer(configuration: configuration) { router in
            router.unary("/test.Big/Get") { call, _ in call.respond([UInt8](repeating: 1, count: 128 << 10)) }
            router.stream("/test.Stream/Idle") { opened in
                call.add(opened)
                return RecordingServerHandler(events)
            }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            try await peer.write(RawPeer.initialWindow(0))
            try await peer.headers(1, RawPeer.requestFields("/test.Stream/Idle"))
            let stream = await call.wait()[0]
            #expect(stream.isWritable)
            try await peer.write(RawPeer.request(3, "/test.Big/Get") + RawPeer.ping)
            _ = try await peer.next(FrameType.ping)
            #expect(!stream.isWritable)
            #expect(events.values.isEmpty)
            try await peer.write(RawPeer.initialWindow(1 << 20) + RawPeer.credit(1 << 20))
            #expect(await events.wait() == [.writable])
            #expect(stream.isWritable)
        }
    }

    @Test(arguments: [FrameType.settings, FrameType.priority, FrameType.data])
    func uselessFramesEndTheConnection(_ type: UInt8) async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.uselessFramesBurst = 20
        configuration.uselessFramesPerSecond = 1
        try await withServer(configuration: configuration) { router in
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(Box()) }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            try await peer.headers(1, RawPeer.requestFields("/test.Stream/Idle"))
            let payload: [UInt8] = type == FrameType.priority ? [0, 0, 0, 0, 1] : []
            let frame = RawPeer.frame(type, 0, type == FrameType.settings ? 0 : 1, payload)
            // So many are forgiven.
            try await peer.write((0..<15).flatMap { _ in frame } + RawPeer.ping)
            _ = try await peer.next(FrameType.ping)
            // The server may close before it has all of them.
            _ = await peer.flood(200) { _ in frame }
            let goAway = try await peer.next(FrameType.goAway)
            #expect(goAway.payload[4..<8].elementsEqual(Self.calm))
            #expect(Self.text(goAway) == "too many frames that ask for nothing")
            try await peer.drainToEnd()
        }
    }

    /// The server is made to reset streams itself (CVE-2025-8671): a window that overflows is an error of its stream.
    @Test func resetsThatTheServerIsMadeToSendAreCounted() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.uselessFramesBurst = 20
        configuration.uselessFramesPerSecond = 1
        try await withServer(configuration: configuration) { router in
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(Box()) }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            // The server may close before it has all of them.
            _ = await peer.flood(100) { number in
                RawPeer.openingHeaders(RawPeer.stream(number), "/test.Stream/Idle")
                    + RawPeer.credit(1 << 31 - 1, stream: RawPeer.stream(number))
            }
            #expect(try await peer.next(FrameType.goAway).payload[4..<8].elementsEqual(Self.calm))
        }
    }

    @Test func streamsOfAllConnectionsAreBounded() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.openStreamsMax = 3
        try await withServer(configuration: configuration) { router in
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(Box()) }
        } _: { server in
            let first = try await RawPeer(port: server.port)
            try await first.startHTTP2()
            for stream in [1, 3, 5] as [UInt32] {
                try await first.headers(stream, RawPeer.requestFields("/test.Stream/Idle"))
            }
            try await first.write(RawPeer.ping)
            _ = try await first.next(FrameType.ping)
            let second = try await RawPeer(port: server.port)
            try await second.startHTTP2()
            try await second.headers(1, RawPeer.requestFields("/test.Stream/Idle"))
            let answer = try await second.answer(1)
            #expect(answer["grpc-status"] == "8")
            #expect(answer["grpc-message"] == "too many open requests and watches on this server")
            try await first.frame(FrameType.reset, 0, 3, [0, 0, 0, 8])
            try await first.write(RawPeer.ping)
            _ = try await first.next(FrameType.ping)
            try await second.write(RawPeer.request(3, "/test.Echo/Unary"))
            #expect(try await second.answer(3)["grpc-status"] == "0")
        }
    }

    @Test func handshakesHaveALimitedTime() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.handshakeTimeout = .milliseconds(300)
        try await withServer(configuration: configuration) { server in
            // Nothing; a part of the preface; the preface alone. On a slow machine the time may be over before.
            for count in [0, 16, 24] {
                let peer = try await RawPeer(port: server.port)
                if count > 0 { _ = await peer.flood(1) { _ in Array(RawPeer.preface[..<count]) } }
                try await peer.drainToEnd()
            }
        }
    }

    @Test func requestsHaveALimitedTime() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.requestTimeout = .milliseconds(300)
        try await withServer(configuration: configuration) { router in
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(Box()) }
        } _: { server in
            let halfHeaders = try await RawPeer(port: server.port)
            try await halfHeaders.startHTTP2()
            try await halfHeaders.frame(
                FrameType.headers, 0, 1, RawPeer.block(RawPeer.requestFields("/test.Echo/Unary")))
            let goAway = try await halfHeaders.next(FrameType.goAway)
            #expect(Self.text(goAway) == "headers of a request that do not end within the time for them")
            try await halfHeaders.drainToEnd()

            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            try await peer.headers(1, RawPeer.requestFields("/test.Echo/Unary"))
            #expect(try await peer.answer(1)["grpc-status"] == "4")
            try await peer.headers(3, RawPeer.requestFields("/test.Echo/Unary"))
            try await peer.data(3, [0, 0, 0, 0, 9, 1], end: false)
            let answer = try await peer.answer(3)
            #expect(answer["grpc-status"] == "4")
            #expect(answer["grpc-message"] == "a request that does not arrive within the time for it")
            // A message of a stream that never ends; a stream without one may be idle.
            try await peer.headers(5, RawPeer.requestFields("/test.Stream/Idle"))
            try await peer.headers(7, RawPeer.requestFields("/test.Stream/Idle"))
            try await peer.data(7, [0, 0, 0, 0, 9, 1], end: false)
            #expect(try await peer.answer(7)["grpc-status"] == "4")
            #expect(server.counters.callsStarted - server.counters.callsEnded == 1)
        }
    }

    /// What the server does not let a client send is not late.
    @Test func aStreamThatIsNotReadHasTime() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.requestTimeout = .milliseconds(300)
        let events = Box<StreamEvent>()
        try await withServer(configuration: configuration) { router in
            router.stream("/test.Stream/Paused") { call in
                call.pauseReading()
                return RecordingServerHandler(events)
            }
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(Box()) }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            for (stream, path) in [(1, "/test.Stream/Paused"), (3, "/test.Stream/Idle")] as [(UInt32, String)] {
                try await peer.headers(stream, RawPeer.requestFields(path))
                try await peer.data(stream, [0, 0, 0, 0, 2, 1], end: false)
            }
            #expect(try await peer.answer(3)["grpc-status"] == "4")
            try await peer.data(1, [2], end: false)
            #expect(await events.wait() == [.message([1, 2])])
        }
    }
}
