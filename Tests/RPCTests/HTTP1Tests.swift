import RPC
import RawHTTP2
import Testing

/// Plain HTTP/1 on the port of gRPC. The bytes are written by hand.
@Suite struct HTTP1Tests {
    private func withService(
        configuration: RPCServerConfiguration = .patient, heard: Box<String> = Box(),
        _ body: (RPCServer) async throws -> Void
    ) async throws {
        var configuration = configuration
        configuration.http = TestService(heard: heard)
        try await withServer(
            configuration: configuration,
            { router in
                router.stream("/test.Echo/Stream") { call in
                    RecordingServerHandler(Box()) { event in
                        switch event {
                        case .message(let bytes): call.send(bytes)
                        case .halfClose: call.finish()
                        default: break
                        }
                    }
                }
                router.unary("/test.Echo/Address") { call, _ in call.respond(Array((call.remoteAddress ?? "").utf8)) }
            }, body)
    }

    private func answer(_ server: RPCServer, _ request: String) async throws -> String {
        let peer = try await RawPeer(port: server.port)
        try await peer.write(request)
        return String(decoding: await peer.readToEnd(), as: UTF8.self)
    }

    private func request(_ path: String, _ headers: String = "", body: String = "", version: String = "1.1") -> String {
        let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
        return "POST \(path) HTTP/\(version)\r\nHost: x\r\n\(length)\(headers)\r\n\(body)"
    }

    @Test func requestsOfOneConnectionAreAnsweredInTurn() async throws {
        try await withService { server in
            let both = request("/echo", body: "one") + request("/echo", body: "two")
            let last = request("/echo", "Connection: close\r\n", body: "three")
            let text = try await answer(server, both + last)
            let bodies = text.split(separator: "\r\n\r\n").dropFirst().map { $0.prefix { $0 != "H" } }
            #expect(bodies == ["one", "two", "three"])
            #expect(text.contains("Connection: close"))
            // gRPC goes on beside it.
            let client = try await connect(server)
            #expect(try await client.unary("/test.Echo/Unary", [9]) == [9])
            await client.close()
        }
    }

    @Test func firstBytesMayComeOneByOne() async throws {
        try await withService { server in
            let peer = try await RawPeer(port: server.port)
            for byte in request("/echo", "Connection: close\r\n", body: "slow").utf8 { try await peer.write([byte]) }
            #expect(String(decoding: await peer.readToEnd(), as: UTF8.self).hasSuffix("\r\n\r\nslow"))
        }
    }

    @Test func headGetsTheHeadAlone() async throws {
        try await withService { server in
            let text = try await answer(server, "HEAD /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n") && text.hasSuffix("\r\n\r\n"))
        }
    }

    @Test func oldVersionIsClosed() async throws {
        try await withService { server in
            #expect(try await answer(server, request("/echo", body: "old", version: "1.0")).hasSuffix("\r\n\r\nold"))
            let stream = try await answer(server, request("/stream", body: "old", version: "1.0"))
            #expect(stream.hasSuffix("\r\n\r\n<old>"))
        }
    }

    @Test func expectationIsMet() async throws {
        try await withService { server in
            let peer = try await RawPeer(port: server.port)
            let head = "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n"
            try await peer.write(head + "Connection: close\r\n\r\n")
            let first = await peer.read { $0.suffix(4).elementsEqual("\r\n\r\n".utf8) }
            #expect(String(decoding: first, as: UTF8.self) == "HTTP/1.1 100 Continue\r\n\r\n")
            try await peer.write("body")
            let all = String(decoding: await peer.readToEnd(), as: UTF8.self)
            #expect(all.contains("HTTP/1.1 200 OK") && all.hasSuffix("\r\n\r\nbody"))
        }
    }

    /// Whoever answers before the body is wanted does not ask for it, and cannot tell whether it comes.
    @Test func unwantedBodyIsNotAskedFor() async throws {
        try await withService { server in
            let head = "POST /refuse HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            let text = try await answer(server, head + "Content-Length: 4\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 404 ") && text.contains("\r\nConnection: close\r\n"), "\(text)")
            // Nothing is to come.
            let empty = head + "Content-Length: 0\r\n\r\n" + request("/echo", "Connection: close\r\n", body: "next")
            #expect(try await answer(server, empty).hasSuffix("\r\n\r\nnext"))
        }
    }

    @Test func longAnswersAreChunks() async throws {
        try await withService { server in
            for (length, mark) in [(2048, "\r\nContent-Length: 2048\r\n"), (2049, "\r\n801\r\nxxx")] {
                let body = String(repeating: "x", count: length)
                let text = try await answer(server, request("/echo", "Connection: close\r\n", body: body))
                #expect(text.contains(mark) && text.contains(body))
            }
            let old = try await answer(
                server, request("/echo", body: String(repeating: "x", count: 3000), version: "1.0"))
            #expect(old.contains("\r\nContent-Length: 3000\r\n") && !old.contains("Connection"))
        }
    }

    @Test func pathsAreResolved() async throws {
        try await withService { server in
            for path in ["/%65cho", "http://x/echo", "http://x:1/ech%6F?a=%"] {
                let text = try await answer(server, request(path, "Connection: close\r\n", body: "x"))
                #expect(text.hasPrefix("HTTP/1.1 200 ") && text.hasSuffix("\r\n\r\nx"), "\(path)")
            }
            for path in ["/%", "/%6", "/%6x", "/%+1", "echo", "1x://x/echo", "x:echo", "http//x"] {
                let text = try await answer(server, request(path, body: "x"))
                #expect(text.hasPrefix("HTTP/1.1 400 ") && text.hasSuffix("\r\n\r\n400 Bad Request"), "\(path)")
            }
        }
    }

    @Test func piecesAreChunks() async throws {
        try await withService { server in
            let text = try await answer(
                server,
                "POST /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "3\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n")
            #expect(text.hasSuffix("5\r\n<abc>\r\n7\r\n<defgh>\r\n0\r\n\r\n"), "\(text)")
        }
    }

    @Test func callsGoInside() async throws {
        try await withService { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.write(request("/call", body: "a") + request("/call", "Connection: close\r\n", body: "b"))
            let text = String(decoding: await peer.readToEnd(), as: UTF8.self)
            #expect(text.contains("\r\n\r\na") && text.hasSuffix("\r\n\r\nb"))
            #expect(server.counters.callsStarted == 2)
            try await eventually("the connections are gone") { server.counters.connectionsOpen == 0 }
            let counts = try #require(server.callCounts.first { $0.path == "/test.Echo/Unary" })
            #expect(counts.began == 2 && counts.ended[.ok] == 2)
        }
    }

    @Test func whatIsNoHTTPEndsTheConnection() async throws {
        try await withService { server in
            for bad in ["GET", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n"] {
                let peer = try await RawPeer(port: server.port)
                try await peer.write(bad)
                await peer.shutDownSending()
                let text = String(decoding: await peer.readToEnd(), as: UTF8.self)
                #expect(text.isEmpty || text.hasPrefix("HTTP/1.1 400 "))
            }
            let huge =
                "GET / HTTP/1.1\r\n" + String(repeating: "A: \(String(repeating: "b", count: 999))\r\n", count: 300)
            let peer = try await RawPeer(port: server.port)
            // It may be cut off before it has sent everything.
            _ = await peer.flood(1) { _ in Array(huge.utf8) }
            try await peer.drainToEnd()
            try await eventually("the connections are gone") { server.counters.connectionsOpen == 0 }
        }
    }

    @Test func unwantedBodyIsNotReadForEver() async throws {
        try await withService { server in
            let small = request("/refuse", body: String(repeating: "x", count: 10_000))
            let text = try await answer(server, small + request("/echo", "Connection: close\r\n", body: "next"))
            #expect(text.hasPrefix("HTTP/1.1 404 ") && text.hasSuffix("\r\n\r\nnext"))
            let peer = try await RawPeer(port: server.port)
            try await peer.write("POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n")
            _ = await peer.flood(1000) { _ in [UInt8](repeating: 0x78, count: 100_000) }
            try await peer.drainToEnd()
            try await eventually("the connections are gone") { server.counters.connectionsOpen == 0 }
        }
    }

    @Test func slowRequestsAreCutOff() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.handshakeTimeout = .milliseconds(200)
        configuration.requestTimeout = .milliseconds(200)
        try await withService(configuration: configuration) { server in
            for begin in [
                "POST /echo HT", "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
                "POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
            ] {
                let peer = try await RawPeer(port: server.port)
                try await peer.write(begin)
                try await peer.drainToEnd()
            }
        }
    }

    @Test func goneClientIsNoticed() async throws {
        let heard = Box<String>()
        try await withService(heard: heard) { server in
            do {
                let peer = try await RawPeer(port: server.port)
                try await peer.write(request("/wait"))
                _ = await heard.wait()
                await peer.shutDownSending()
                try await peer.drainToEnd()
            }
            #expect(await heard.wait(for: 2) == ["waits", "gone"])
            try await eventually("the connections are gone") { server.counters.connectionsOpen == 0 }
        }
    }

    @Test func pipelinedRequestsTakeNoStack() async throws {
        try await withService { server in
            let peer = try await RawPeer(port: server.port)
            // They come while the first one is not answered, and each is answered as soon as it begins.
            let many =
                request("/call", body: "a") + String(repeating: "GET / HTTP/1.1\r\nHost: x\r\n\r\n", count: 5_000)
            for round in 1...3 {
                try await peer.write(many + request("/echo", body: "end\(round)"))
                let bytes = await peer.read { $0.suffix(4).elementsEqual("end\(round)".utf8) }
                let text = String(decoding: bytes, as: UTF8.self)
                #expect(text.split(separator: "HTTP/1.1 404 ").count == round * 5_000 + 1)
            }
        }
    }

    @Test func nextRequestWaitsUntilTheAnswerIsRead() async throws {
        let heard = Box<String>()
        try await withService(heard: heard) { server in
            let peer = try await RawPeer(port: server.port)
            let count = 64
            try await peer.write(String(repeating: "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", count: count))
            _ = await heard.wait()
            for _ in 0..<20 {
                #expect(try await answer(server, request("/echo", "Connection: close\r\n", body: "x")).hasSuffix("x"))
            }
            // What the system's buffers hold.
            #expect(heard.values.count < count / 2)
            try await peer.write(request("/echo", "Connection: close\r\n", body: "last"))
            #expect(await peer.readToEnd().count > count * TestService.largeBytes)
            #expect(heard.values.count == count)
        }
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nab",
        "CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    ])
    func otherProtocolsAreNotSwitchedTo(head: String) async throws {
        try await withService { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.write(head)
            _ = await peer.flood(100) { _ in [UInt8](repeating: 0x78, count: 100_000) }
            try await peer.drainToEnd()
            let text = try await answer(server, head)
            #expect(text.contains("\r\nConnection: close\r\n"), "\(text)")
        }
    }

    @Test func lastAnswerIsNotCutForSlowReaders() async throws {
        let heard = Box<String>()
        try await withService(heard: heard) { server in
            let slow = try await RawPeer(port: server.port)
            try await slow.write("GET /huge HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            _ = await heard.wait()
            // It is given its moment, and closed, later than the other one would be.
            let quick = try await RawPeer(port: server.port)
            try await quick.write(request("/echo", "Connection: close\r\n", body: "x"))
            _ = await quick.readToEnd()
            try await eventually("the other connection is gone") { server.counters.connectionsOpen < 2 }
            #expect(await slow.readToEnd().count > 32 * TestService.largeBytes)
        }
    }

    @Test func headersAreLimited() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.headerListSizeMax = 4096
        try await withService(configuration: configuration) { server in
            for count in [1, 9, 90] {
                let fields = String(repeating: "A: \(String(repeating: "b", count: 4500 / count))\r\n", count: count)
                let text = try await answer(server, request("/echo", "Connection: close\r\n" + fields, body: "x"))
                #expect(text.hasPrefix("HTTP/1.1 431 ") && text.contains("close"), "\(text)")
            }
            // An answer that is owed comes first.
            let text = try await answer(server, request("/call", body: "a") + "GET / HTTP/1.1\r\nBad Header: x\r\n\r\n")
            #expect(text.hasPrefix("HTTP/1.1 200 ") && text.contains("\r\n\r\naHTTP/1.1 400 "), "\(text)")
        }
    }

    @Test func shutdownAnswersWhatRuns() async throws {
        let heard = Box<String>()
        var configuration = RPCServerConfiguration.patient
        configuration.http = TestService(heard: heard)
        try await withServer(configuration: configuration) { server in
            let idle = try await RawPeer(port: server.port)
            try await idle.write(request("/echo", body: "x"))
            _ = await idle.read { $0.suffix(5).elementsEqual("\r\n\r\nx".utf8) }
            let busy = try await RawPeer(port: server.port)
            try await busy.write("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
            _ = await busy.read { $0.suffix(4).elementsEqual("\r\n\r\n".utf8) }
            async let stopped: Void = server.shutdownGracefully(deadline: .seconds(600))
            try await idle.drainToEnd()
            try await busy.write("last")
            let text = String(decoding: await busy.readToEnd(), as: UTF8.self)
            #expect(text.contains("Connection: close") && text.hasSuffix("\r\n\r\nlast"))
            await stopped
        }
    }
}
