import RPC
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core
@testable import T4Server

/// Goal: a peer that does not get on costs a stated amount of memory and holds nobody up, and one that is dead is noticed. Method: a
/// node that never is done with what it hears, and a connection that goes through hands which stop to pass bytes on.
@Suite struct PeerFlowTests {
    private static let size = 64 * 1024
    private static let queue = 2 << 20
    private static let inbox = 512 * 1024

    @Test func aSlowReader() async throws {
        try await withPeers(["a", "b", "c"], recorders: ["b": PeerRecorder(keeps: true)]) { _, configuration in
            configuration.queueBytesMax = Self.queue
            configuration.inboxBytesMax = Self.inbox
        } _: { peers in
            let (a, b, c) = (peers[0], peers[1], peers[2])
            await a.connect(to: b)
            await a.connect(to: c)
            let entries = LogEntry.some([Self.size])
            let messageBytes = Self.size + 200
            // What a window of HTTP/2 and the buffers of two sockets and two nodes take, generously.
            let most = (Self.queue + Self.inbox + (4 << 20) + (24 << 20)) / Self.size
            var (sent, full) = (0, 0)
            while full < 2000 {
                let result = a.transport.send(.numbered(sent, from: "a", entries), entries: entries, to: "b")
                #expect(a.transport.pendingBytes(to: "b") <= Self.queue)
                if result == .queued {
                    sent += 1
                } else {
                    #expect(result == .queueFull(entriesQueued: 0))
                    full += 1
                }
                try #require(sent < most, "the queue is never full")
                await Task.yield()
            }
            #expect(sent > Self.queue / messageBytes)
            // It reads no more than it may.
            let windows = (4 << 20) + 2 * messageBytes
            #expect(b.recorder.heard.kept.count * messageBytes <= Self.inbox + windows)
            // Nobody else notices, and neither do questions, or what the slow one says.
            for number in 0..<200 {
                while a.transport.send(.numbered(number, from: "a", entries), entries: entries, to: "c") != .queued {
                    await Task.yield()
                }
            }
            #expect(await c.recorder.wait { $0.numbers.count == 200 }.numbers == Array(0..<200))
            #expect(b.transport.send(.numbered(5, from: "b"), to: "a") == .queued)
            await a.recorder.wait { $0.numbers == [5] }
            async let answer = a.transport.ask([1], of: "b", timeout: .seconds(1200))
            await b.recorder.wait { !$0.questions.isEmpty }.questions[0].answer([2])
            let answered = try await answer
            #expect(answered == [2])
            b.recorder.forgetQuestions()
            // Once it gets on all is there that was taken, in order.
            b.recorder.release()
            let sentInAll = sent
            let heard = await b.recorder.wait { $0.numbers.count >= sentInAll }
            #expect(heard.numbers == (0..<UInt64(sentInAll)).map(\.self))
            #expect(a.transport.send(.numbered(sent, from: "a", entries), entries: entries, to: "b") == .queued)
            await b.recorder.wait { $0.numbers.count > sentInAll }
            #expect(peers.allSatisfy { $0.recorder.heard.lost.isEmpty })
        }
    }

    /// Of a message of many pieces those are sent that fit.
    @Test func theBeginningOfAnAppendIsSent() async throws {
        try await withPeers(["a", "b"], recorders: ["b": PeerRecorder(keeps: true)]) { _, configuration in
            configuration.queueBytesMax = Self.queue
            configuration.inboxBytesMax = Self.inbox
            configuration.pieceBytes = 4 * Self.size
        } _: { peers in
            let (a, b) = (peers[0], peers[1])
            await a.connect(to: b)
            let entries = LogEntry.some(Array(repeating: Self.size, count: 1000))
            guard
                case .queueFull(let count) = a.transport.send(
                    .numbered(0, from: "a", entries), entries: entries, to: "b")
            else {
                Issue.record("64 MiB found room")
                return
            }
            #expect(count >= 27 && count < 1000, "\(count)")
            b.recorder.release()
            let heard = await b.recorder.wait { $0.entries.count >= count }
            #expect(heard.entries == Array(entries[..<count]))
        }
    }

    @Test(arguments: [true, false]) func aDeadConnection(_ firstDials: Bool) async throws {
        try await withPeers(["a", "b"]) { _, configuration in
            configuration.keepalive = .seconds(2)
        } _: { peers in
            let (from, to) = firstDials ? (peers[0], peers[1]) : (peers[1], peers[0])
            let relay = try Relay(to: to.transport.port)
            defer { relay.stop() }
            // On a busy machine it may be taken for dead before it is.
            await eventually("a stream") {
                from.transport.greet("127.0.0.1:\(relay.port)", .hello(of: from.own.instanceID))
                return !from.transport.peers.isEmpty && !to.transport.peers.isEmpty
            }
            relay.freeze()
            await eventually("both take it for dead") {
                from.transport.peers.isEmpty && to.transport.peers.isEmpty
                    && !from.recorder.heard.lost.isEmpty && !to.recorder.heard.lost.isEmpty
            }
        }
    }

    /// Somebody takes the connection and never says a word.
    @Test func nobodySpeaks() async throws {
        try await withPeers(["a"]) { _, configuration in
            configuration.keepalive = .seconds(2)
        } _: { peers in
            let a = peers[0]
            let relay = try Relay(to: a.transport.port)
            defer { relay.stop() }
            relay.freeze()
            let address = "127.0.0.1:\(relay.port)"
            for _ in 0..<2 {
                a.transport.greet(address, .hello(of: "a"))
                await eventually("it gives up") { !a.transport.hub.isDialling(address) }
            }
            #expect(!a.log.containing("a node does not take this one").isEmpty, "\(a.log.all)")
        }
    }
}
