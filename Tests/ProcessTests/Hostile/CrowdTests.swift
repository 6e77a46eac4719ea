import Foundation
import RPC
import RawHTTP2
import T4Conformance
import Testing

/// Goal: very many connections and streams, and watches that nobody reads, take bounded memory and harm nobody; where
/// there are no descriptors left for clients, there are still some for files. Method: as in `HostileClientTests`.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct CrowdTests {
    /// What docs/limits.md says of one idle connection and of one open stream with its watch, in bytes.
    private static let connectionBytes = 64 << 10
    private static let streamBytes = 8 << 10
    /// For what the server does beside.
    private static let spareBytes = 64 << 20

    private func withServer(
        _ options: [String] = [], descriptors: Int? = nil,
        _ body: @Sendable (ServerUnderTest, Bystander) async throws -> Void
    ) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let server = try await ServerUnderTest.start(
                    .t4(engine: "memory"), dataDirectory: folder.appending(path: "data"),
                    options: ["--threads", "1"] + options, descriptors: descriptors)
                let bystander = try await Bystander(server)
                try await bystander.goOn()
                try await body(server, bystander)
                try await bystander.goOn()
                try await bystander.stop()
                #expect(try await server.stop() == .code(0))
            }
        }
    }

    private static let hello =
        Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + RawPeer.frame(RawPeer.FrameType.settings, 0, 0, [])
        + RawPeer.request(1, Attack.rangePath, [0x0A, 1, 97])

    @Test func manyConnections() async throws {
        let count = min(TestEnvironment.isSlowAllowed ? 9_900 : 500, Crowd.countMax)
        try await withServer { server, bystander in
            let before = try ServerMemory(of: server.process).resident
            let crowd = try await Crowd.connect(count, port: server.port, saying: Self.hello)
            #expect(try await crowd.answered(Crowd.hasAnswer) == count)
            try await bystander.goOn()
            let grown = try ServerMemory(of: server.process).peak - before
            #expect(grown < count * Self.connectionBytes + Self.spareBytes, "\(grown / count) bytes each")
            crowd.close()
        }
    }

    @Test func connectionsOverTheLimit() async throws {
        try await withServer(["--max-connections", "100"]) { server, bystander in
            let crowd = try await Crowd.connect(300, port: server.port, saying: Self.hello)
            // One is the client beside them.
            #expect(try await crowd.answered(Crowd.hasAnswer) == 99)
            try await bystander.goOn()
            crowd.close()
            try await Self.untilAccepted(server)
        }
    }

    @Test func fewDescriptors() async throws {
        try await withServer(["--segment-max-size-mb", "2"], descriptors: 100) { server, bystander in
            let crowd = try await Crowd.connect(300, port: server.port, saying: Self.hello)
            #expect(try await crowd.answered(Crowd.hasAnswer) == 49)
            try await server.process.errors.untilSaid("too few file descriptors")
            try await bystander.goOn()
            crowd.close()
            // The log goes on to other files.
            let client = try await Self.untilAccepted(server)
            for number in 0..<10 { _ = try await client.put("large/\(number)", String(repeating: "x", count: 1 << 19)) }
            await client.close()
        }
    }

    /// Connects and is served, as soon as the server has noticed that others have gone.
    @discardableResult
    private static func untilAccepted(_ server: ServerUnderTest) async throws -> EtcdClient {
        let end = ContinuousClock.now + .seconds(600)
        while true {
            do {
                let client = try await EtcdClient.connect(to: server)
                _ = try await client.put("accepted", "1")
                return client
            } catch {
                guard ContinuousClock.now < end else { throw error }
            }
        }
    }

    @Test func manyWatchStreams() async throws {
        let (peerCount, each) = TestEnvironment.isSlowAllowed ? (20, 5000) : (6, 500)
        try await withServer { server, bystander in
            let before = try ServerMemory(of: server.process).resident
            let peers = try await withThrowingTaskGroup(of: RawPeer.self) { group in
                for _ in 0..<peerCount {
                    group.addTask {
                        let peer = try await Attack.peer(server.port)
                        try await peer.write(RawPeer.credit(1 << 30))
                        // create { key: "w" }
                        let create: [UInt8] = [0x0A, 3, 0x0A, 1, 119]
                        for number in 0..<each {
                            let stream = RawPeer.stream(number)
                            try await peer.write(
                                RawPeer.openingHeaders(stream, Attack.watchPath)
                                    + RawPeer.frame(RawPeer.FrameType.data, 0, stream, RawPeer.message(create)))
                        }
                        #expect(try await Self.streamsWithData(peer, each).count == each)
                        return peer
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            try await bystander.goOn()
            let client = try await EtcdClient.connect(to: server)
            _ = try await client.put("w", "seen by all")
            await client.close()
            for peer in peers { #expect(try await Self.streamsWithData(peer, each).count == each) }
            let streams = peerCount * each
            let grown = try ServerMemory(of: server.process).peak - before
            #expect(grown < streams * Self.streamBytes + Self.spareBytes, "\(grown / streams) bytes each")
        }
    }

    /// The streams of the next `count` data frames.
    private static func streamsWithData(_ peer: RawPeer, _ count: Int) async throws -> Set<UInt32> {
        var streams: Set<UInt32> = []
        for _ in 0..<count { streams.insert(try await peer.next(RawPeer.FrameType.data).stream) }
        return streams
    }

    /// A watch that nobody reads lags: what it has not got is not kept for it, and it gets everything once it reads.
    @Test func watchesThatAreNotRead() async throws {
        let (watchCount, writes) = (10, 600)
        try await withServer(["--max-unread-bytes", "1MiB"]) { server, bystander in
            let client = try await EtcdClient.connect(to: server)
            let reader = try await RPCClient.connect(host: "127.0.0.1", port: server.port)
            var watches: [(log: WatchLog, call: ClientCall)] = []
            for _ in 0..<watchCount {
                watches.append(
                    try EtcdClient.watch(on: reader, key: Array("watched/".utf8), end: Array("watched0".utf8), from: 1))
            }
            for watch in watches {
                try await watch.log.untilCreated()
                watch.call.pauseReading()
            }
            let before = try ServerMemory(of: server.process).resident
            let value = String(repeating: "v", count: 32 << 10)
            var last: Int64 = 0
            for number in 0..<writes { last = try await client.put("watched/\(number % 10)", value) }
            try await bystander.goOn()
            // The writes themselves are in the memory engine, and the latest in the hub. That leaves not even half of what
            // it would take to keep them for each watch.
            let grown = try ServerMemory(of: server.process).peak - before
            #expect(grown < 2 * writes * (32 << 10) + Self.spareBytes, "\(grown >> 20) MiB more than before")
            for watch in watches { watch.call.resumeReading() }
            for watch in watches {
                let changes = try await watch.log.changes(through: last)
                #expect(changes?.map(\.value) == Array(repeating: value, count: writes))
                #expect(changes?.map(\.key) == (0..<writes).map { "watched/\($0 % 10)" })
            }
            await reader.close()
            await client.close()
        }
    }
}
