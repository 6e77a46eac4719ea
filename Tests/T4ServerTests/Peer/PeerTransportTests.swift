import RPC
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core
@testable import T4Server

/// Goal: messages come whole and in order over one stream for each pair of nodes, and whoever does not belong to the cluster is
/// kept out and told so. Method: transports in this process, on free ports.
@Suite struct PeerTransportTests {
    @Test func messagesComeInOrder() async throws {
        try await withPeers(["a", "b"]) { peers in
            let (a, b) = (peers[0], peers[1])
            await a.connect(to: b)
            #expect(a.transport.send(.numbered(0, from: "a"), to: "c") == .notConnected)
            for number in 0..<1000 {
                // Both ways, with and without entries.
                let entries = LogEntry.some(Array(repeating: number % 5 * 1000, count: number % 3))
                #expect(a.transport.send(.numbered(number, from: "a", entries), entries: entries, to: "b") == .queued)
                #expect(b.transport.send(.numbered(number, from: "b"), to: "a") == .queued)
            }
            let atB = await b.recorder.wait { $0.numbers.count == 1000 }
            let atA = await a.recorder.wait { $0.numbers.count == 1000 }
            #expect(atB.numbers == Array(0..<1000) && atA.numbers == Array(0..<1000))
            #expect(atB.messages[0] == .hello(of: "a"))
            #expect(atB.messages.allSatisfy { $0.sender == "a" } && atA.messages.allSatisfy { $0.sender == "b" })
            let sent = (0..<1000).flatMap { LogEntry.some(Array(repeating: $0 % 5 * 1000, count: $0 % 3)) }
            #expect(atB.entries == sent && atA.entries.isEmpty)
            #expect(a.transport.peers == [b.own] && b.transport.peers == [a.own])
            // Who is connected is not dialled again, whoever had dialled.
            #expect(b.transport.greet(a.address, .numbered(1000, from: "b")) == .queued)
            await a.recorder.wait { $0.numbers.last == 1000 }
        }
    }

    @Test func threeNodes() async throws {
        try await withPeers(["a", "b", "c"]) { peers in
            for (from, to) in [(0, 1), (1, 2), (2, 0)] { await peers[from].connect(to: peers[to]) }
            for from in peers {
                for to in peers where to.own != from.own {
                    for number in 0..<100 {
                        #expect(
                            from.transport.send(.numbered(number, from: from.own.instanceID), to: to.own.instanceID)
                                == .queued)
                    }
                }
            }
            for peer in peers {
                let heard = await peer.recorder.wait { $0.numbers.count == 200 }
                for other in peers where other.own != peer.own {
                    let numbers = heard.messages.filter { $0.sender == other.own.instanceID }.compactMap { message in
                        if case .append(let append) = message.body { Int(append.committed) } else { nil }
                    }
                    #expect(numbers == Array(0..<100))
                }
            }
        }
    }

    /// The stream that the lower instance has dialled stays, and nobody takes the other one for lost.
    @Test(arguments: 0..<10) func bothDial(_ round: Int) async throws {
        try await withPeers(["a", "b"]) { peers in
            let (a, b) = (peers[0], peers[1])
            let order = round % 2 == 0 ? [(a, b), (b, a)] : [(b, a), (a, b)]
            let greetings = order.map { from, to in
                from.transport.greet(to.address, .hello(of: from.own.instanceID))
            }
            #expect(greetings.first == .waitsForStream)
            // On a busy machine the first one may be connected before the second one dials.
            guard greetings.last == .waitsForStream else { return }
            await eventually("the stream of the lower instance") {
                a.transport.hub.stream(to: "b")?.dialled == b.address
                    && b.transport.hub.stream(to: "a").map { $0.dialled == nil } == true
            }
            for number in 0..<100 {
                #expect(a.transport.send(.numbered(number, from: "a"), to: "b") == .queued)
                #expect(b.transport.send(.numbered(number, from: "b"), to: "a") == .queued)
            }
            for peer in peers {
                let heard = await peer.recorder.wait { $0.numbers.count == 100 }
                #expect(heard.numbers == Array(0..<100) && heard.lost.isEmpty)
            }
            await eventually("one stream") {
                a.transport.server.counters.callsEnded + b.transport.server.counters.callsEnded == 1
            }
            #expect(peers.allSatisfy { $0.recorder.heard.lost.isEmpty })
        }
    }

    @Test func aLostNodeIsReportedOnBothSides() async throws {
        try await withPeers(["a", "b", "c"]) { peers in
            let (a, b, c) = (peers[0], peers[1], peers[2])
            await a.connect(to: b)
            await c.connect(to: a)
            // One whom it has dialled, one who has dialled it.
            await b.transport.stop()
            #expect(await a.recorder.wait { !$0.lost.isEmpty }.lost == ["b"])
            #expect(a.transport.send(.numbered(0, from: "a"), to: "b") == .notConnected)
            #expect(a.transport.send(.numbered(1, from: "a"), to: "c") == .queued)
            await eventually("the other one is still connected") { c.recorder.heard.numbers == [1] }
            // The one that ends is not told of itself.
            #expect(b.recorder.heard.lost.isEmpty)
            await c.transport.stop()
            #expect(await a.recorder.wait { $0.lost.count == 2 }.lost == ["b", "c"])
            // A node that comes back is dialled again; another process has taken the place of the first.
            let again = try await TestPeer.start("b") { $0.listenPort = b.transport.port }
            await eventually("it is back") {
                a.transport.greet(b.address, .hello(of: "a"))
                return a.transport.peers == [again.own]
            }
            await again.recorder.wait { !$0.messages.isEmpty }
            await again.transport.stop()
        }
    }

    /// The stream breaks without an end of either node.
    @Test func aBrokenConnectionIsReportedOnBothSides() async throws {
        try await withPeers(["a", "b"]) { peers in
            let (a, b) = (peers[0], peers[1])
            await a.connect(to: b)
            a.transport.hub.stream(to: "b")?.close(.ok)
            #expect(await a.recorder.wait { !$0.lost.isEmpty }.lost == ["b"])
            #expect(await b.recorder.wait { !$0.lost.isEmpty }.lost == ["a"])
            await b.connect(to: a)
            b.transport.hub.stream(to: "a")?.close(.ok)
            #expect(await a.recorder.wait { $0.lost.count == 2 }.lost == ["b", "b"])
            #expect(await b.recorder.wait { $0.lost.count == 2 }.lost == ["a", "a"])
        }
    }

    @Test func bigEntries() async throws {
        try await withPeers(["a", "b"], { _, configuration in configuration.messageBytesMax = 2 << 20 }) { peers in
            let (a, b) = (peers[0], peers[1])
            await a.connect(to: b)
            let big = 1536 * 1024
            let entries = LogEntry.some([big, 10, 10, big, 600_000, 600_000])
            #expect(a.transport.send(.numbered(8, from: "a", entries), entries: entries, to: "b") == .queued)
            let heard = await b.recorder.wait { $0.entries.count == entries.count }
            #expect(heard.entries == entries)
            let counts = heard.messages.dropFirst().map { message -> UInt64 in
                guard case .append(let append) = message.body, append.committed == 8 else { return 0 }
                return append.count
            }
            #expect(counts == [1, 2, 1, 1, 1])
            let tooBig = LogEntry.some([10, big, 2 << 20, 10], from: 13)
            #expect(
                a.transport.send(.numbered(9, from: "a", tooBig), entries: tooBig, to: "b")
                    == .tooLarge(entriesQueued: 2))
            await b.recorder.wait { $0.entries.count == entries.count + 2 }
            #expect(b.recorder.heard.lost.isEmpty)
        }
    }

    @Test func nobodyIsThere() async throws {
        try await withPeers(["a", "b"]) { peers in
            let (a, b) = (peers[0], peers[1])
            let address = b.address
            await b.transport.stop()
            for attempt in 1...3 {
                _ = attempt
                #expect(a.transport.greet(address, .hello(of: "a")) == .waitsForStream)
                await eventually("the attempt is over") { !a.transport.hub.isDialling(address) }
            }
            #expect(a.log.containing("cannot be reached").count == 1, "\(a.log.all)")
            // Not itself, by whatever name.
            #expect(a.transport.greet(a.address, .hello(of: "a")) == .notConnected)
            let other = "localhost:\(a.transport.port)"
            #expect(a.transport.greet(other, .hello(of: "a")) == .waitsForStream)
            await eventually("it notices") { !a.transport.hub.isDialling(other) }
            #expect(a.transport.peers.isEmpty && a.recorder.heard.messages.isEmpty)
            #expect(a.transport.greet("nonsense", .hello(of: "a")) == .waitsForStream)
            await eventually("it notices") { !a.log.containing("is no address").isEmpty }
        }
    }

    @Test func stopIsSafeTwice() async throws {
        try await withPeers(["a", "b"]) { peers in
            await peers[0].connect(to: peers[1])
            async let first: Void = peers[0].transport.stop()
            async let second: Void = peers[0].transport.stop()
            _ = await (first, second)
            await peers[0].transport.stop()
            #expect(peers[0].transport.send(.numbered(0, from: "a"), to: "b") == .notConnected)
            #expect(peers[0].transport.greet(peers[1].address, .hello(of: "a")) == .notConnected)
        }
    }
}
