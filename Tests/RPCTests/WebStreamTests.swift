import RPC
import RawHTTP2
import TestCertificates
import Testing

/// Goal: over TLS, HTTP/2 carries what HTTP/1 does beside gRPC. Method: frames written by hand, through TLS.
@Suite struct WebStreamTests {
    private struct Closed: Error {}
    private typealias FrameType = RawPeer.FrameType

    /// Runs a body with a peer whose streams have the windows of the server's settings.
    private func withPeer(
        configuration: RPCServerConfiguration = .patient, heard: Box<String> = Box(),
        _ body: (RawPeer, RPCServer) async throws -> Void
    ) async throws {
        var configuration = configuration
        configuration.http = TestService(heard: heard)
        try await TestCertificates.with { files in
            try await withTLSServer(files.makeServer(), configuration: configuration) { server in
                try await TLSTunnel.with(server.port) { port in
                    let peer = try await RawPeer(port: port)
                    try await peer.startHTTP2()
                    try await peer.acknowledgeSettings()
                    try await body(peer, server)
                }
            }
        }
    }

    private func fields(
        _ path: String, method: String = "POST", _ more: [(String, String)] = []
    ) -> [(String, String)] {
        [(":method", method), (":scheme", "https"), (":path", path), (":authority", "x")] + more
    }

    /// What the server sends on a stream up to its end.
    private func answer(_ peer: RawPeer, _ stream: UInt32) async throws -> (body: [UInt8], reset: UInt8?) {
        var body: [UInt8] = []
        while let frame = await peer.next() {
            guard frame.stream == stream else { continue }
            if frame.type == FrameType.reset { return (body, frame.payload.last) }
            if frame.type == FrameType.data { body += frame.payload }
            if frame.endsStream { return (body, nil) }
        }
        throw Closed()
    }

    @Test func requestsAreAnswered() async throws {
        try await withPeer { peer, _ in
            try await peer.headers(1, fields("/echo"))
            try await peer.data(1, Array("one".utf8), end: false)
            try await peer.headers(3, fields("/none"), end: true)
            let none = try await peer.answer(3)
            #expect(none[":status"] == "404" && none["content-length"] == "0" && none["date"] != nil, "\(none)")
            try await peer.data(1, Array("two".utf8), end: true)
            #expect(try await answer(peer, 1).body == Array("onetwo".utf8))
            try await peer.headers(5, fields("/echo", method: "HEAD"), end: true)
            #expect(try await peer.answer(5)[":status"] == "200")
            // The path of a method that is called by what is no gRPC.
            try await peer.headers(7, fields("/test.Echo/Unary", [("content-type", "text/plain")]), end: true)
            #expect(try await peer.answer(7)[":status"] == "404")
            try await peer.headers(9, fields("/test.Echo/Unary", [("content-type", "text/plain")]))
            try await peer.data(9, RawPeer.message([1]), end: true)
            let answer = try await peer.answer(9)
            #expect(answer[":status"] == "404" && answer["grpc-status"] == nil, "\(answer)")
        }
    }

    @Test func gRPCGoesOnBesideIt() async throws {
        try await withPeer { peer, _ in
            try await peer.headers(1, fields("/stream"))
            try await peer.write(RawPeer.request(3, "/test.Echo/Unary", [9]))
            #expect(try await peer.answer(3)["grpc-status"] == "0")
            try await peer.write(RawPeer.request(5, "/test.Echo/None"))
            #expect(try await peer.answer(5)["grpc-status"] == "12")
            let wrong = fields("/test.Echo/Unary", [("content-type", "application/grpc-web")])
            try await peer.headers(7, wrong, end: true)
            #expect(try await peer.answer(7)[":status"] == "415")
            try await peer.data(1, Array("x".utf8), end: true)
            #expect(try await answer(peer, 1).body == Array("<x>".utf8))
        }
    }

    /// A body that comes in pieces is answered in pieces.
    @Test func streamsGoBothWays() async throws {
        try await withPeer { peer, _ in
            try await peer.headers(1, fields("/stream", [("grpc-timeout", "1n"), ("grpc-encoding", "gzip")]))
            #expect(try await peer.next(FrameType.headers).flags & 1 == 0)
            for piece in ["a", "bc"] {
                try await peer.data(1, Array(piece.utf8), end: false)
                #expect(try await peer.next(FrameType.data).payload == Array("<\(piece)>".utf8))
            }
            try await peer.data(1, [], end: true)
            let (body, reset) = try await answer(peer, 1)
            #expect(body.isEmpty && reset == nil)
        }
    }

    @Test func largeAnswersWaitForTheirReader() async throws {
        try await withPeer { peer, _ in
            try await peer.headers(1, fields("/large"), end: true)
            try await peer.write(RawPeer.credit(1 << 24) + RawPeer.credit(1 << 19, stream: 1) + RawPeer.ping)
            var count = 0
            // As much as the windows allow, and no more.
            while count < (1 << 19) + 65_535 { count += try await peer.next(FrameType.data).payload.count }
            #expect(count == (1 << 19) + 65_535)
            try await peer.write(RawPeer.credit(1 << 24, stream: 1))
            #expect(try await answer(peer, 1).body.count + count == TestService.largeBytes)
        }
    }

    @Test func whoGivesUpIsForgotten() async throws {
        let heard = Box<String>()
        try await withPeer(heard: heard) { peer, server in
            try await peer.headers(1, fields("/wait"))
            try await peer.data(1, [1, 2, 3], end: false)
            try await peer.write(RawPeer.reset(1))
            #expect(await heard.wait() == ["gone"])
            try await peer.headers(3, fields("/wait"), end: true)
            #expect(await heard.wait(for: 2) == ["gone", "waits"])
            await peer.shutDownSending()
            try await peer.drainToEnd()
            #expect(await heard.wait(for: 3) == ["gone", "waits", "gone"])
            try await eventually("all is over") {
                server.counters.callsEnded == 2 && server.counters.connectionsOpen == 0
            }
        }
    }

    @Test func slowRequestsAreCutOff() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.requestTimeout = .milliseconds(200)
        try await withPeer(configuration: configuration) { peer, _ in
            try await peer.headers(1, fields("/echo"))
            // CANCEL.
            #expect(try await answer(peer, 1).reset == 8)
        }
    }

    @Test func requestsHaveLimits() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.requestBytesMax = 100_000
        try await withPeer(configuration: configuration) { peer, _ in
            try await peer.headers(3, fields("/echo"))
            try await peer.write(
                (0..<7).flatMap { _ in RawPeer.frame(FrameType.data, 0, 3, [UInt8](repeating: 1, count: 16_000)) })
            // ENHANCE_YOUR_CALM.
            #expect(try await answer(peer, 3).reset == 11)
            // What is no path is no request: PROTOCOL_ERROR.
            try await peer.headers(5, fields("/%zz"), end: true)
            #expect(try await answer(peer, 5).reset == 1)
            try await peer.headers(7, fields("/echo"))
            try await peer.data(7, [7], end: true)
            #expect(try await answer(peer, 7).body == [7])
        }
    }

    /// Who is answered early may send the rest of a body, up to a limit, or not.
    @Test func unwantedBodiesAreTaken() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.requestTimeout = .milliseconds(200)
        try await withPeer(configuration: configuration) { peer, _ in
            try await peer.headers(1, fields("/refuse"))
            #expect(try await peer.answer(1)[":status"] == "404")
            // Nothing comes any more: NO_ERROR.
            #expect(try await answer(peer, 1).reset == 0)
        }
        try await withPeer { peer, _ in
            try await peer.headers(1, fields("/refuse"))
            #expect(try await peer.answer(1)[":status"] == "404")
            try await peer.data(1, [1], end: true)
            try await peer.headers(3, fields("/refuse"))
            #expect(try await peer.answer(3)[":status"] == "404")
            for _ in 0..<17 { try await peer.data(3, [UInt8](repeating: 1, count: 16_000), end: false) }
            #expect(try await answer(peer, 3).reset == 0)
        }
    }

    @Test func expectationIsMet() async throws {
        try await withPeer { peer, _ in
            try await peer.headers(1, fields("/echo", [("expect", "100-continue")]))
            #expect(try await peer.next(FrameType.headers).flags & 1 == 0)
            try await peer.data(1, [1], end: true)
            #expect(try await answer(peer, 1).body == [1])
            // What is refused is not asked for.
            try await peer.headers(3, fields("/refuse", [("expect", "100-continue")]))
            #expect(try await peer.next(FrameType.headers).endsStream)
        }
    }

    /// Requests wait while answers do, or while many run: what they send meanwhile is theirs when they have their turn.
    @Test func requestsWaitForTheirTurn() async throws {
        let heard = Box<String>()
        var configuration = RPCServerConfiguration.patient
        configuration.outputBytesMax = 1 << 19
        try await withPeer(configuration: configuration, heard: heard) { peer, _ in
            // More than may wait unread.
            try await peer.headers(1, fields("/large"), end: true)
            #expect(await heard.wait() == ["/large"])
            try await peer.headers(3, fields("/wait"))
            try await peer.data(3, [1, 2], end: false)
            try await peer.headers(5, fields("/echo"))
            try await peer.data(5, [3], end: false)
            try await peer.write(RawPeer.ping)
            while try await peer.next(FrameType.ping).flags & 1 == 0 {}
            try await peer.data(5, [4], end: true)
            try await peer.write(RawPeer.reset(3))
            #expect(await heard.wait() == ["/large"])
            try await peer.write(RawPeer.credit(1 << 24) + RawPeer.credit(1 << 24, stream: 1))
            #expect(try await answer(peer, 5).body == [3, 4])
            // The one that was given up was never handed over.
            #expect(await heard.wait() == ["/large"])
        }
        let many = Box<String>()
        try await withPeer(heard: many) { peer, _ in
            for number in 0..<300 { try await peer.headers(RawPeer.stream(number), fields("/wait"), end: true) }
            try await peer.write(RawPeer.ping)
            while try await peer.next(FrameType.ping).flags & 1 == 0 {}
            #expect(await many.wait(for: 256).count == 256)
            try await peer.headers(RawPeer.stream(300), fields("/echo"), end: true)
            // As many as run no more make room.
            for number in 0..<45 { try await peer.write(RawPeer.reset(RawPeer.stream(number))) }
            #expect(try await peer.answer(RawPeer.stream(300))[":status"] == "200")
            let all = await many.wait(for: 345)
            #expect(all.count { $0 == "gone" } == 45 && all.count { $0 == "waits" } == 300)
        }
    }

    @Test func callsGoThroughTheServicesOfThePort() async throws {
        try await withPeer { peer, _ in
            try await peer.headers(1, fields("/call"))
            try await peer.data(1, [4, 5], end: true)
            #expect(try await answer(peer, 1).body == [4, 5])
        }
    }

    /// Whoever has an answer and owes the rest of a request holds nobody up.
    @Test func shutdownWaitsForNoUnwantedBody() async throws {
        try await withPeer { peer, server in
            try await peer.headers(1, fields("/refuse"))
            #expect(try await peer.answer(1)[":status"] == "404")
            async let stopped: Void = server.shutdownGracefully(deadline: .seconds(600))
            #expect(try await answer(peer, 1).reset == 0)
            try await peer.frame(FrameType.ping, 1, 0, Array("t4-close".utf8))
            try await peer.drainToEnd()
            await stopped
        }
    }

    @Test func shutdownAnswersWhatRuns() async throws {
        try await withPeer { peer, server in
            try await peer.headers(1, fields("/echo"))
            try await peer.data(1, Array("la".utf8), end: false)
            async let stopped: Void = server.shutdownGracefully(deadline: .seconds(600))
            _ = try await peer.next(FrameType.goAway)
            try await peer.data(1, Array("st".utf8), end: true)
            #expect(try await answer(peer, 1).body == Array("last".utf8))
            try await peer.frame(FrameType.ping, 1, 0, Array("t4-close".utf8))
            try await peer.drainToEnd()
            await stopped
        }
    }
}
