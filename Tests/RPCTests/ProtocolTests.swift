import RPC
import RawHTTP2
import Testing

/// What a server does with clients that are not well-behaved.
@Suite struct ProtocolTests {
    private func answer(
        _ server: RPCServer, _ fields: [(String, String)], _ data: [[UInt8]], end: Bool = true
    ) async throws -> [String: String] {
        let peer = try await RawPeer(port: server.port)
        try await peer.startHTTP2()
        try await peer.headers(1, fields, end: data.isEmpty && end)
        for (index, bytes) in data.enumerated() {
            try await peer.data(1, bytes, end: end && index == data.count - 1)
        }
        return try await peer.answer(1)
    }

    @Test func oversizeMessageIsRefusedUnread() async throws {
        try await withServer { _ in
        } _: { server in
            // Only the prefix is sent: the answer does not wait for the message.
            let answer = try await answer(
                server, RawPeer.requestFields("/test.Echo/Unary"), [[0, 0, 0x20, 0, 1]], end: false)
            #expect(answer["grpc-status"] == "8")
            #expect(answer["grpc-message"] == "grpc: received message larger than max (2097153 vs. 2097152)")
        }
    }

    @Test func cardinalityIsChecked() async throws {
        try await withServer { _ in
        } _: { server in
            let fields = RawPeer.requestFields("/test.Echo/Unary")
            let two = try await answer(server, fields, [RawPeer.message([1]), RawPeer.message([2])])
            #expect(two["grpc-status"] == "13")
            #expect(two["grpc-message"]?.hasPrefix("cardinality violation: received multiple") == true)
            let twoInOne = try await answer(server, fields, [RawPeer.message([1]) + RawPeer.message([2])])
            #expect(twoInOne["grpc-status"] == "13")
            let none = try await answer(server, fields, [])
            #expect(none["grpc-message"]?.hasPrefix("cardinality violation: received no request") == true)
            let part = try await answer(server, fields, [[0, 0, 0, 0, 9, 1]])
            #expect(part["grpc-message"] == "unexpected EOF")
        }
    }

    @Test func messageMayComeInPieces() async throws {
        try await withServer { _ in
        } _: { server in
            let fields = RawPeer.requestFields("/test.Echo/Unary")
            let message = RawPeer.message(Array("some message".utf8))
            let pieces = try await answer(server, fields, message.map { [$0] })
            #expect(pieces["grpc-status"] == "0")
            let emptyEnd = try await answer(server, fields, [message, []])
            #expect(emptyEnd["grpc-status"] == "0")
        }
    }

    @Test func compressionIsRefused() async throws {
        try await withServer { _ in
        } _: { server in
            let fields = RawPeer.requestFields("/test.Echo/Unary")
            let gzip = try await answer(server, fields + [("grpc-encoding", "gzip")], [RawPeer.message([1], flag: 1)])
            #expect(gzip["grpc-status"] == "12")
            #expect(gzip["grpc-message"] == "grpc: Decompressor is not installed for grpc-encoding \"gzip\"")
            #expect(gzip["grpc-accept-encoding"] == "identity")
            let flag = try await answer(server, fields, [RawPeer.message([1], flag: 1)])
            #expect(flag["grpc-message"] == "grpc: compressed flag set with identity or empty encoding")
            let identity = try await answer(server, fields + [("grpc-encoding", "identity")], [RawPeer.message([1])])
            #expect(identity["grpc-status"] == "0")
        }
    }

    @Test func headersAreChecked() async throws {
        try await withServer { _ in
        } _: { server in
            var fields = RawPeer.requestFields("/test.Echo/Unary")
            let timeout = try await answer(server, fields + [("grpc-timeout", "5x")], [RawPeer.message([1])])
            #expect(timeout["grpc-status"] == "13")
            #expect(timeout["grpc-message"]?.hasPrefix("malformed grpc-timeout") == true)
            fields[4].1 = "application/json"
            let json = try await answer(server, fields, [RawPeer.message([1])])
            #expect(json[":status"] == "415")
            #expect(json["grpc-message"] == "invalid gRPC request content-type \"application/json\"")
            fields[4].1 = "application/grpc+proto"
            #expect(try await answer(server, fields, [RawPeer.message([1])])["grpc-status"] == "0")
            fields[0].1 = "GET"
            #expect(try await answer(server, fields, [])[":status"] == "405")
        }
    }

    @Test func headerListIsBounded() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.headerListSizeMax = 1024
        try await withServer(configuration: configuration) { _ in
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            let long = (0..<10).map { ("x-\($0)", String(repeating: "a", count: 100)) }
            try await peer.headers(1, RawPeer.requestFields("/test.Echo/Unary") + long)
            #expect(try await peer.next(RawPeer.FrameType.reset).stream == 1)
            try await peer.headers(3, RawPeer.requestFields("/test.Echo/Unary"))
            try await peer.data(3, RawPeer.message([]), end: true)
            #expect(try await peer.answer(3)["grpc-status"] == "0")
        }
    }

    @Test func tooManyPingsEndTheConnection() async throws {
        var configuration = RPCServerConfiguration.patient
        // However slow the machine is, they follow each other too soon.
        configuration.pingIntervalMin = .seconds(3600)
        try await withServer(configuration: configuration) { _ in
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            for _ in 0..<4 { try await peer.frame(RawPeer.FrameType.ping, 0, 0, [UInt8](repeating: 1, count: 8)) }
            let goAway = try await peer.next(RawPeer.FrameType.goAway)
            #expect(goAway.payload[4..<8].elementsEqual([0, 0, 0, 11]))
            #expect(String(decoding: goAway.payload[8...], as: UTF8.self) == "too_many_pings")
            #expect(await peer.next() == nil)
        }
    }

    @Test func pingsBetweenAnswersAreForgiven() async throws {
        try await withServer { _ in
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            for round in 0..<10 {
                let stream = UInt32(round * 2 + 1)
                try await peer.headers(stream, RawPeer.requestFields("/test.Echo/Unary"))
                try await peer.data(stream, RawPeer.message([]), end: true)
                #expect(try await peer.answer(stream)["grpc-status"] == "0")
                for _ in 0..<2 { try await peer.frame(RawPeer.FrameType.ping, 0, 0, [UInt8](repeating: 1, count: 8)) }
                for _ in 0..<2 { #expect(try await peer.next(RawPeer.FrameType.ping).flags == 1) }
            }
        }
    }

    @Test func resetsInALoopEndTheConnection() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.resetsBurst = 50
        configuration.resetsPerSecond = 1
        try await withServer(configuration: configuration) { _ in
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            var bytes: [UInt8] = []
            for index in 0..<200 {
                let stream = UInt32(index * 2 + 1)
                let block = RawPeer.block(RawPeer.requestFields("/test.Echo/Unary"))
                bytes += RawPeer.frame(RawPeer.FrameType.headers, 4, stream, block)
                bytes += RawPeer.frame(RawPeer.FrameType.reset, 0, stream, [0, 0, 0, 8])
            }
            try await peer.write(bytes)
            #expect(try await peer.next(RawPeer.FrameType.goAway).payload.count >= 8)
        }
    }

    @Test func streamsBeyondTheLimitAreRefused() async throws {
        var configuration = RPCServerConfiguration.patient
        configuration.concurrentStreamsMax = 2
        try await withServer(configuration: configuration) { router in
            router.stream("/test.Stream/Idle") { _ in RecordingServerHandler(Box()) }
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.startHTTP2()
            // Not yet acknowledged by the client, so that it is no breach of the protocol.
            for stream in [1, 3, 5] as [UInt32] {
                try await peer.headers(stream, RawPeer.requestFields("/test.Stream/Idle"))
            }
            let reset = try await peer.next(RawPeer.FrameType.reset)
            #expect(reset.stream == 5)
            #expect(reset.payload == [0, 0, 0, 7])
        }
    }

    @Test func http1ClientsAreTold() async throws {
        try await withServer { _ in
        } _: { server in
            let peer = try await RawPeer(port: server.port)
            try await peer.write("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            let text = String(decoding: await peer.readToEnd(), as: UTF8.self)
            #expect(text.hasPrefix("HTTP/1.1 505 "))
        }
    }

    @Test(arguments: 0..<20)
    func garbageEndsTheConnectionOnly(_ seed: Int) async throws {
        try await withServer { _ in
        } _: { server in
            var random = SplitMix(state: UInt64(seed))
            let garbage = (0..<4000).map { _ in UInt8.random(in: 0...255, using: &random) }
            let plain = try await RawPeer(port: server.port)
            try await plain.write(garbage)
            await plain.shutDownSending()
            _ = await plain.readToEnd()
            let framed = try await RawPeer(port: server.port)
            try await framed.startHTTP2()
            try await framed.headers(1, RawPeer.requestFields("/test.Echo/Unary"))
            try await framed.write(garbage)
            await framed.shutDownSending()
            _ = await framed.readToEnd()
            let client = try await connect(server)
            #expect(try await client.unary("/test.Echo/Unary", [9]) == [9])
            await client.close()
            try await eventually("all connections are gone") { server.counters.connectionsOpen == 0 }
            let counters = server.counters
            #expect(counters.callsEnded == counters.callsStarted)
        }
    }
}

/// Random numbers from a seed.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
        return value ^ value >> 31
    }
}
