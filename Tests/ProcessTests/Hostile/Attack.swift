import RawHTTP2
import T4Conformance
import Testing

/// Something that no proper client does, done by a peer that writes frames by hand.
struct Attack: Sendable, CustomTestStringConvertible {
    var name: String
    /// Settings of the server.
    var options: [String] = []
    /// Peers that do it at the same time.
    var peers = 3
    /// Does it, and checks what becomes of the peer.
    var run: @Sendable (_ port: Int) async throws -> Void

    var testDescription: String { name }

    static let http2 = malformed + slow + floods + greedy

    static let watchPath = "/etcdserverpb.Watch/Watch"
    static let rangePath = "/etcdserverpb.KV/Range"
    static let putPath = "/etcdserverpb.KV/Put"

    /// A peer whose connection is set up.
    static func peer(_ port: Int) async throws -> RawPeer {
        let peer = try await RawPeer(port: port)
        try await peer.startHTTP2()
        try await peer.acknowledgeSettings()
        return peer
    }

    /// Checks that the connection is still served.
    static func stillServed(_ peer: RawPeer, _ stream: UInt32) async throws {
        try await peer.write(RawPeer.request(stream, rangePath, [0x0A, 1, 97]))
        #expect(try await peer.answer(stream)["grpc-status"] == "0")
    }
}

// MARK: - What is not what it should be

extension Attack {
    private static let malformed = [
        Attack(name: "a message over the limit") { port in
            let peer = try await peer(port)
            try await peer.write(RawPeer.openingHeaders(1, putPath))
            try await peer.data(1, [0, 0x40, 0, 0, 0], end: false)
            let answer = try await peer.answer(1)
            #expect(answer["grpc-status"] == "8")
            #expect(answer["grpc-message"]?.contains("larger than max (1073741824") == true)
            try await stillServed(peer, 3)
        },
        Attack(name: "headers over the limit") { port in
            let peer = try await peer(port)
            let field = RawPeer.block([("x-filler", String(repeating: "a", count: 120))])
            let block = RawPeer.block(RawPeer.requestFields(rangePath)) + (0..<480).flatMap { _ in field }
            let pieces = stride(from: 0, to: block.count, by: 16_000).map {
                Array(block[$0..<min($0 + 16_000, block.count)])
            }
            try await peer.frame(RawPeer.FrameType.headers, 1, 1, pieces[0])
            for (index, piece) in pieces.enumerated().dropFirst() {
                let flags: UInt8 = index == pieces.count - 1 ? 4 : 0
                try await peer.frame(RawPeer.FrameType.continuation, flags, 1, piece)
            }
            #expect(try await peer.next(RawPeer.FrameType.reset).stream == 1)
            try await stillServed(peer, 3)
        },
        // Each field of such a block is one byte that stands for four thousand.
        Attack(name: "HPACK bombs", options: ["--max-control-frames-per-second", "1"]) { port in
            let peer = try await peer(port)
            let large: [UInt8] = [0x40, 1, 120, 0x7F, 0xA1, 0x1E] + [UInt8](repeating: 97, count: 4000)
            let block = large + [UInt8](repeating: 0xBE, count: 12_000)
            _ = await peer.flood(1000) { RawPeer.frame(RawPeer.FrameType.headers, 5, RawPeer.stream($0), block) }
            try await peer.drainToEnd()
        },
        Attack(name: "metadata on many streams", options: ["--max-incomplete-bytes", "4MiB"]) { port in
            let peer = try await peer(port)
            let metadata = (0..<100).map { _ in ("token", String(repeating: "a", count: 120)) }
            // More than the limit altogether.
            for number in 0..<600 {
                try await peer.write(RawPeer.openingHeaders(RawPeer.stream(number), watchPath, metadata))
            }
            #expect(try await peer.answer(RawPeer.stream(599))["grpc-status"] == "8")
        },
        Attack(name: "no HTTP/2 at all") { port in
            let http1 = try await RawPeer(port: port)
            try await http1.write("POST /v3/kv/put HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(String(decoding: await http1.readToEnd(), as: UTF8.self).contains("key is not provided"))
            let tls = try await RawPeer(port: port)
            try await tls.write([0x16, 0x03, 0x01, 0x02, 0, 1, 0, 1, 0xFC, 3, 3] + [UInt8](repeating: 9, count: 500))
            try await tls.drainToEnd()
            var random = SeededGenerator(seed: 5)
            for _ in 0..<20 {
                let garbage = (0..<10_000).map { _ in UInt8.random(in: 0...255, using: &random) }
                let plain = try await RawPeer(port: port)
                _ = await plain.flood(1) { _ in garbage }
                await plain.shutDownSending()
                try await plain.drainToEnd()
                let framed = try await peer(port)
                _ = await framed.flood(1) { _ in garbage }
                await framed.shutDownSending()
                try await framed.drainToEnd()
            }
        },
        Attack(name: "windows that overflow") { port in
            let peer = try await peer(port)
            try await peer.write(RawPeer.openingHeaders(1, watchPath))
            try await peer.write(RawPeer.credit(1 << 30, stream: 1) + RawPeer.credit(1 << 30, stream: 1))
            let reset = try await peer.next(RawPeer.FrameType.reset)
            #expect(reset.payload == [0, 0, 0, 3])
            try await peer.write(RawPeer.credit(1 << 30) + RawPeer.credit(1 << 30))
            #expect(try await peer.goodbye()?.payload[4..<8].elementsEqual([0, 0, 0, 3]) == true)
        },
    ]
}

// MARK: - What takes its time

extension Attack {
    private static let short = ["--request-timeout", "1s"]

    private static let slow = [
        Attack(name: "half-open connections", options: ["--handshake-timeout", "10s"]) { port in
            let silent = try await RawPeer(port: port)
            let prefaceOnly = try await RawPeer(port: port)
            // On a slow machine the time may be over before.
            _ = await prefaceOnly.flood(1) { _ in RawPeer.preface }
            for peer in [silent, prefaceOnly] { try await peer.drainToEnd() }
        },
        Attack(name: "headers without an end", options: short) { port in
            let peer = try await peer(port)
            try await peer.frame(RawPeer.FrameType.headers, 0, 1, RawPeer.block(RawPeer.requestFields(putPath)))
            try await peer.drainToEnd()
        },
        Attack(name: "requests without an end", options: short) { port in
            let peer = try await peer(port)
            for number in 0..<100 { try await peer.write(RawPeer.openingHeaders(RawPeer.stream(number), putPath)) }
            for number in 100..<200 {
                try await peer.write(RawPeer.openingHeaders(RawPeer.stream(number), putPath))
                try await peer.data(RawPeer.stream(number), RawPeer.message([1, 2, 3]).dropLast(), end: false)
            }
            let answers = try await peer.answers(200)
            #expect(answers.values.allSatisfy { $0["grpc-status"] == "4" })
            try await stillServed(peer, RawPeer.stream(200))
        },
        Attack(name: "a request byte by byte", options: short + ["--grpc-keepalive-min-time", "0s"]) { port in
            let peer = try await peer(port)
            try await peer.write(RawPeer.openingHeaders(1, putPath))
            try await peer.data(1, [0, 0, 0x10, 0, 0], end: false)
            // It never gets through with a megabyte, as it waits for an answer to a ping after each byte.
            var answered = false
            while !answered {
                try await peer.data(1, [0], end: false)
                try await peer.write(RawPeer.ping)
                while let frame = await peer.next(), frame.type != RawPeer.FrameType.ping {
                    answered = answered || frame.type == RawPeer.FrameType.headers && frame.stream == 1
                }
            }
        },
    ]
}
