import RPC
import Synchronization
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core
@testable import T4Server

/// Goal: who does not belong to the cluster is kept out, told why, and the log hears of it once. Method: nodes that try again and
/// again, and a client that says what no node says.
@Suite struct PeerRefusalTests {
    /// Has `from` try so many times to connect.
    private func attempt(_ from: TestPeer, _ to: TestPeer, times: Int = 3) async {
        for _ in 0..<times {
            #expect(from.transport.greet(to.address, .hello(of: from.own.instanceID)) == .waitsForStream)
            await eventually("the attempt is over") { !from.transport.hub.isDialling(to.address) }
        }
        await eventually("all attempts are over") { to.transport.server.counters.callsEnded >= times }
        #expect(from.transport.peers.isEmpty)
    }

    @Test func anotherDatabase() async throws {
        try await withPeers(["a", "b"]) { instance, configuration in
            if instance == "b" { configuration.databaseID = DatabaseID(low: 7, high: 7) }
        } _: { peers in
            await attempt(peers[0], peers[1])
            for (peer, other) in [(peers[0], peers[1]), (peers[1], peers[0])] {
                let text =
                    "warning a node is refused: it is a node of database \(other.own.databaseID), and this one of database "
                    + "\(peer.own.databaseID)"
                #expect(peer.log.containing(text).count == 1, "\(peer.log.all)")
                #expect(peer.log.containing("warning").count == 1, "\(peer.log.all)")
                #expect(peer.recorder.heard.messages.isEmpty && peer.recorder.heard.lost.isEmpty)
            }
        }
    }

    @Test func aCopiedDataDirectory() async throws {
        try await withPeers(["a", "a"]) { peers in
            await attempt(peers[0], peers[1])
            for peer in peers {
                #expect(peer.log.containing("is a copy of another node's (instance a)").count == 1, "\(peer.log.all)")
                #expect(peer.recorder.heard.messages.isEmpty && peer.recorder.heard.lost.isEmpty)
            }
        }
    }

    /// Two copies, neither of which is this node's.
    @Test func twoProcessesOfOneInstance() async throws {
        try await withPeers(["a", "b", "b"]) { peers in
            let (a, first, second) = (peers[0], peers[1], peers[2])
            await first.connect(to: a)
            for _ in 0..<3 {
                second.transport.greet(a.address, .hello(of: "b"))
                await eventually("the attempt is over") { !second.transport.hub.isDialling(a.address) }
            }
            #expect(a.log.containing("two processes have the data directory with instance b").count == 1)
            #expect(second.log.containing("a node does not take this one: it refuses: two processes").count == 1)
            // Whoever was there first has not noticed.
            #expect(first.transport.send(.numbered(1, from: "b"), to: "a") == .queued)
            await a.recorder.wait { $0.numbers == [1] }
            #expect(first.recorder.heard.lost.isEmpty && a.recorder.heard.lost.isEmpty)
            // When it is gone, the other one is welcome.
            await first.transport.stop()
            await a.recorder.wait { $0.lost == ["b"] }
            await second.connect(to: a)
            #expect(a.transport.peers == [second.own])
        }
    }

    @Test func anotherVersion() async throws {
        try await withPeers(["a"]) { peers in
            let a = peers[0]
            let client = try await RPCClient.connect(host: "127.0.0.1", port: a.transport.port)
            let other = PeerIdentity(
                databaseID: TestPeer.database, process: 1, nodeID: "later", instanceID: "b", address: "")
            for _ in 0..<2 {
                let said = Said.open(client)
                said.call.send(other.encoded(version: 2))
                let end = await said.stream.end()
                #expect(end.code == .failedPrecondition && end.message.contains("version 2 of the protocol"), "\(end)")
                // So that a later version can say it in its own words.
                #expect(said.stream.messages == [a.own.encoded()])
            }
            await client.close()
            #expect(a.log.containing("it speaks version 2").count == 1, "\(a.log.all)")
        }
    }

    @Test func nonsense() async throws {
        try await withPeers(["a", "b"]) { peers in
            let a = peers[0]
            let client = try await RPCClient.connect(host: "127.0.0.1", port: a.transport.port)
            let other = PeerIdentity(
                databaseID: TestPeer.database, process: 1, nodeID: "c", instanceID: "c", address: "nowhere:1")
            // At first, and later.
            for (number, bytes) in [[], [0], [UInt8](repeating: 7, count: 1000)].enumerated() {
                let first = Said.open(client)
                first.call.send(bytes)
                #expect(await first.stream.end().code == .failedPrecondition)
                let later = Said.open(client)
                later.call.send(other.encoded())
                later.call.send(PeerMessage(.hello(of: "c")).encoded(seed: a.transport.hub.seed))
                await a.recorder.wait { $0.messages.count == number + 1 }
                later.call.send(bytes)
                #expect(await later.stream.end().code == .failedPrecondition)
                #expect(await a.recorder.wait { $0.lost.count == number + 1 }.lost.last == "c")
            }
            #expect(a.recorder.heard.messages.count == 3)
            await client.close()
            // A node that has nothing to do with it.
            await peers[1].connect(to: a)
        }
    }
}

/// What a client hears on a stream that no node has opened.
private final class Said: ClientStreamHandler, Sendable {
    private struct State {
        var messages: [[UInt8]] = []
        var end: RPCStatus?
        var waiter: CheckedContinuation<RPCStatus, Never>?
    }

    private let state = Mutex(State())

    static func open(_ client: RPCClient) -> (call: ClientCall, stream: Said) {
        let said = Said()
        return (client.stream(client.method(PeerTransport.exchange)) { _ in said }, said)
    }

    var messages: [[UInt8]] { state.withLock { $0.messages } }

    func onMessage(_ message: RawSpan) {
        let bytes = message.copyBytes()
        state.withLock { $0.messages.append(bytes) }
    }

    func onEnd(_ status: RPCStatus) {
        let waiter = state.withLock { state in
            state.end = status
            return state.waiter
        }
        waiter?.resume(returning: status)
    }

    func onWritable() {}

    /// How it ended, once it has.
    func end() async -> RPCStatus {
        await withCheckedContinuation { continuation in
            let end = state.withLock { state in
                if state.end == nil { state.waiter = continuation }
                return state.end
            }
            if let end { continuation.resume(returning: end) }
        }
    }
}
