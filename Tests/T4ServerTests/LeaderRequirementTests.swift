import EtcdAPI
import Logging
import RPC
import Synchronization
import T4Protocols
import Testing

@testable import T4Server

/// Goal: a client that asks for a leader is not served by a node that has none. Method: a server of two methods, with a leader
/// that comes and goes.
@Suite struct LeaderRequirementTests {
    /// Stays open, and remembers how it ended.
    private final class Open: ServerStreamHandler {
        let end: Monitor<CancelReason?>

        init(_ end: Monitor<CancelReason?>) { self.end = end }

        func onMessage(_ message: RawSpan) {}
        func onHalfClose() {}
        func onCancel(_ reason: CancelReason) {
            end.withLock { $0 = reason }
            end.broadcast()
        }
        func onWritable() {}
        func onWake() {}
    }

    private final class Ended: ClientStreamHandler, Sendable {
        let status = Monitor<RPCStatus?>(nil)

        func onMessage(_ message: RawSpan) {}
        func onWritable() {}
        func onEnd(_ status: RPCStatus) {
            self.status.withLock { $0 = status }
            self.status.broadcast()
        }
    }

    @Test func whoAsksForALeaderGetsOneOrAnError() async throws {
        let leader = Mutex<UInt64>(7)
        let requirement = LeaderRequirement(every: .milliseconds(5)) { leader.withLock { $0 } }
        let end = Monitor<CancelReason?>(nil)
        let opened = Atomic(0)
        var router = RPCRouter()
        router.unary("/s/Unary") { call, _ in call.respond([]) }
        router.stream("/s/Stream") { _ in
            opened.add(1, ordering: .sequentiallyConsistent)
            return Open(end)
        }
        router.admit { call in
            requirement.refusal(of: call, isStream: call.path == "/s/Stream").map { .refused($0) } ?? .now
        }
        requirement.start()
        let server = try await RPCServer.start(
            host: "127.0.0.1", port: 0, threads: 1, router: router,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let client = try await RPCClient.connect(host: "127.0.0.1", port: server.port)
        let wish = [("hasleader", "true")]
        func open(_ metadata: [(String, String)]) -> Ended {
            let ended = Ended()
            client.stream(client.method("/s/Stream"), metadata: metadata) { _ in ended }.send([])
            return ended
        }
        _ = try await client.unary("/s/Unary", [], metadata: wish)
        let (asks, doesNot) = (open(wish), open([]))
        while opened.load(ordering: .sequentiallyConsistent) < 2 { await Task.yield() }

        leader.withLock { $0 = 0 }
        let expected = RPCStatus(.unavailable, "etcdserver: no leader")
        #expect(await ending(asks) == expected)
        #expect(end.wait { $0 } == .abandoned(expected))
        await #expect(throws: expected) { _ = try await client.unary("/s/Unary", [], metadata: wish) }
        #expect(await ending(open(wish)) == expected)
        // Others are served.
        _ = try await client.unary("/s/Unary", [])
        #expect(doesNot.status.withLock { $0 } == nil)
        requirement.stop()
        await client.close()
        await server.shutdownGracefully(deadline: .zero)
    }

    private func ending(_ ended: Ended) async -> RPCStatus {
        while true {
            if let status = ended.status.withLock({ $0 }) { return status }
            await Task.yield()
        }
    }
}
