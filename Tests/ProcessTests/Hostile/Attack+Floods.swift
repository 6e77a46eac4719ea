import RawHTTP2
import Testing

// MARK: - What is too much of something

extension Attack {
    /// How often a flood repeats its frames: some times what the server takes in one go.
    private static let count = TestEnvironment.isSlowAllowed ? 200_000 : 30_000

    private static func flood(
        _ name: String, options: [String] = [], opens path: String? = nil, count: Int = count,
        _ piece: @escaping @Sendable (Int) -> [UInt8]
    ) -> Attack {
        // So low that a slow machine takes no flood for traffic.
        let rates = ["--max-control-frames-per-second", "100", "--max-resets-per-second", "100"]
        return Attack(name: name, options: rates + options) { port in
            let peer = try await peer(port)
            if let path { try await peer.write(RawPeer.openingHeaders(1, path)) }
            _ = await peer.flood(count, piece)
            // What the server says before it closes may be lost: it does not read what is still under way.
            try await peer.drainToEnd()
        }
    }

    static let floods = [
        // CVE-2023-44487
        flood("rapid reset") { number in
            RawPeer.openingHeaders(RawPeer.stream(number), rangePath) + RawPeer.reset(RawPeer.stream(number))
        },
        flood("rapid reset of whole requests") { number in
            RawPeer.request(RawPeer.stream(number), rangePath, [0x0A, 1, 97]) + RawPeer.reset(RawPeer.stream(number))
        },
        // CVE-2025-8671
        flood("resets that the server is made to send") { number in
            RawPeer.openingHeaders(RawPeer.stream(number), watchPath)
                + RawPeer.credit(1 << 31 - 1, stream: RawPeer.stream(number))
        },
        // CVE-2024-27316
        flood("headers that are continued without end") { number in
            number == 0
                ? RawPeer.frame(RawPeer.FrameType.headers, 0, 1, RawPeer.block(RawPeer.requestFields(rangePath)))
                : RawPeer.frame(RawPeer.FrameType.continuation, 0, 1, RawPeer.block([("x-\(number % 100)", "y")]))
        },
        flood("empty continuations") { number in
            number == 0
                ? RawPeer.frame(RawPeer.FrameType.headers, 0, 1, RawPeer.block(RawPeer.requestFields(rangePath)))
                : RawPeer.frame(RawPeer.FrameType.continuation, 0, 1, [])
        },
        flood("settings") { _ in RawPeer.frame(RawPeer.FrameType.settings, 0, 0, []) },
        flood("pings") { _ in RawPeer.ping },
        // Pings that the setting allows, and nobody reads what they are answered with.
        flood("allowed pings", options: ["--grpc-keepalive-min-time", "0s"]) { _ in
            (0..<10).flatMap { _ in RawPeer.ping }
        },
        flood("priorities") { RawPeer.frame(RawPeer.FrameType.priority, 0, RawPeer.stream($0), [0, 0, 0, 0, 9]) },
        // These are to be ignored, so whoever sends them is served.
        Attack(name: "frames of unknown types") { port in
            let peer = try await peer(port)
            #expect(await !peer.flood(count) { _ in RawPeer.frame(0x42, 0, 0, [1, 2, 3]) })
            try await stillServed(peer, 1)
        },
        flood("data without data", opens: watchPath) { _ in RawPeer.frame(RawPeer.FrameType.data, 0, 1, []) },
        // Their answers are more than what the system keeps for both ends, at most.
        flood("empty requests that are not read", options: ["--max-concurrent-streams", "1000"], count: 500_000) {
            number in
            RawPeer.frame(
                RawPeer.FrameType.headers, 5, RawPeer.stream(number), RawPeer.block(RawPeer.requestFields(rangePath)))
        },
    ]
}

// MARK: - What holds more than its share

extension Attack {
    /// Puts a value of a megabyte and asks for it over and over.
    private static func greedyReads(_ peer: RawPeer) async throws {
        let value = [UInt8](repeating: 97, count: 1_000_000)
        let put: [UInt8] = [0x0A, 3, 98, 105, 103, 0x12, 0xC0, 0x84, 0x3D] + value
        try await peer.write(RawPeer.openingHeaders(1, putPath))
        let message = RawPeer.message(put)
        for start in stride(from: 0, to: message.count, by: 16_000) {
            let end = min(start + 16_000, message.count)
            try await peer.data(1, Array(message[start..<end]), end: end == message.count)
        }
        #expect(try await peer.answer(1)["grpc-status"] == "0")
        // Either the server stops to answer, or it has had enough of this client.
        _ = await peer.flood(2000) { RawPeer.request(RawPeer.stream($0 + 1), rangePath, [0x0A, 3, 98, 105, 103]) }
    }

    static let greedy = [
        Attack(name: "large answers without a window for them") { port in
            let peer = try await peer(port)
            try await peer.write(RawPeer.initialWindow(1000))
            try await greedyReads(peer)
            try await peer.write(RawPeer.ping)
            _ = try await peer.next(RawPeer.FrameType.ping)
        },
        Attack(name: "large answers that are not read") { port in
            let peer = try await peer(port)
            try await peer.write(RawPeer.initialWindow(1 << 30) + RawPeer.credit(1 << 30))
            try await greedyReads(peer)
        },
        Attack(name: "incomplete requests", options: ["--max-incomplete-bytes", "4MiB"]) { port in
            let peer = try await peer(port)
            let piece = [UInt8](repeating: 0, count: 16_000)
            // The limit on one connection is passed soon, that on all is not: nobody is cut off, however slow it is.
            _ = await peer.flood(100) { number in
                let stream = RawPeer.stream(number)
                return RawPeer.openingHeaders(stream, putPath)
                    + RawPeer.frame(RawPeer.FrameType.data, 0, stream, [0, 0, 0x10, 0, 0])
                    + (0..<10).flatMap { _ in RawPeer.frame(RawPeer.FrameType.data, 0, stream, piece) }
            }
            #expect(try await peer.answer(RawPeer.stream(99))["grpc-status"] == "8")
        },
        Attack(name: "streams over the limit", options: ["--max-concurrent-streams", "1000"]) { port in
            // Its settings are not acknowledged: who has done that and goes beyond is cut off.
            let peer = try await RawPeer(port: port)
            try await peer.startHTTP2()
            try await peer.write((0..<1001).flatMap { RawPeer.openingHeaders(RawPeer.stream($0), watchPath) })
            let reset = try await peer.next(RawPeer.FrameType.reset)
            #expect(reset.stream == RawPeer.stream(1000))
            #expect(reset.payload == [0, 0, 0, 7])
        },
        Attack(name: "renewals of leases that are not read") { port in
            let peer = try await peer(port)
            let path = "/etcdserverpb.Lease/LeaseKeepAlive"
            let requests = (0..<2000).flatMap { _ in RawPeer.message([]) }
            _ = await peer.flood(64) { number in
                RawPeer.openingHeaders(RawPeer.stream(number), path)
                    + RawPeer.frame(RawPeer.FrameType.data, 0, RawPeer.stream(number), requests)
            }
        },
    ]
}
