import EtcdAPI
import Foundation
import Logging
import RPC
import SwiftProtobuf
import T4BuiltIns
import T4Core
import T4Protocols
import Testing

@testable import T4Server

/// Goal: the call keeps its promises to slow, gone and many clients. Method: a server in this process and clients that
/// read, pause and leave at will.
struct SnapshotCallTests {
    private typealias Download = Received<EtcdSnapshotResponse>

    /// A server with `valueCount` values of 64 KiB.
    private func withServer(
        valueCount: Int, _ body: (Node, EtcdServer, RPCClient) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "t4-snapshot-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let node = try Node(
            NodeConfiguration(dataDirectory: folder.path, engine: "memory"), registry: .builtIn, logger: logger,
            clock: .system)
        for number in 0..<valueCount {
            let value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: 64 * 1024)
            try await node.put(PutRequest(key: Array("key\(number)".utf8), value: value))
        }
        let server = try await EtcdServer.start(
            node: node, host: "127.0.0.1", port: 0, settings: EtcdServerSettings(name: "test"), logger: logger)
        let client = try await RPCClient.connect(host: "127.0.0.1", port: server.port)
        try await body(node, server, client)
        await client.close()
        await server.stop(deadline: .seconds(30))
        try node.stopAndWait()
    }

    private func download(
        _ client: RPCClient, pauses: Bool = false, requests: Int = 1
    ) -> (ClientCall, Download) {
        Download.open(
            client, "/etcdserverpb.Maintenance/Snapshot", Array(repeating: [], count: requests), pauses: pauses)
    }

    /// Snapshots under way in this process for a data directory: each holds a file without a name.
    private func openFiles(of node: Node) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter { name in
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlink("/proc/self/fd/\(name)", &target, target.count)
            guard count > 0 else { return false }
            let path = String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return path.hasPrefix(node.temporaryFilesDirectory + "/") && path.contains("deleted")
        }.count
    }

    private func untilClosed(_ node: Node) throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while try openFiles(of: node) > 0 {
            try #require(ContinuousClock.now < deadline, "a temporary file stays open")
            sched_yield()
        }
    }

    private func expectWhole(_ content: Download.Content, _ node: Node) throws {
        #expect(content.end == .ok)
        let file = content.messages.dropLast().flatMap { Array($0.blob) }
        let digest = SHA256()
        digest.update(file.span.bytes)
        #expect(content.messages.last.map { Array($0.blob) } == digest.digest())
        #expect(file.count % 4096 == 0)
        var left = UInt64(file.count)
        for response in content.messages.dropLast() {
            left -= UInt64(response.blob.count)
            #expect(response.remainingBytes == left)
            #expect(response.blob.count == 32 * 1024 || left == 0)
        }
        #expect(content.messages.last?.remainingBytes == 0)
        for response in content.messages {
            #expect(response.version == "3.6.0")
            #expect(response.header.revision == node.revision.rawValue)
            #expect(response.header.clusterID == node.clusterID)
        }
        #expect(try BoltReader(file).rows(of: "key").count == Int(node.revision.rawValue) - 1)
    }

    @Test(arguments: [0, 1, 100])
    func sendsTheFileAndItsDigest(_ valueCount: Int) async throws {
        try await withServer(valueCount: valueCount) { node, _, client in
            try expectWhole(download(client).1.untilEnd(), node)
            try untilClosed(node)
        }
    }

    @Test func aSlowClientHoldsNothingUp() async throws {
        try await withServer(valueCount: 300) { node, server, client in
            let (call, slow) = download(client, pauses: true)
            slow.untilStarted()
            // Requests on the same connection and another snapshot go on meanwhile.
            _ = try await client.unary("/etcdserverpb.Maintenance/Status", [], timeout: .seconds(30))
            try expectWhole(download(client).1.untilEnd(), node)
            // The second one was sent whole, of the first one no more than the client's window and what was on its way.
            #expect(server.counters.bytesSent < 300 * 64 * 1024 + (8 << 20))
            call.resumeReading()
            try expectWhole(slow.untilEnd(), node)
            try untilClosed(node)
        }
    }

    @Test func aClientThatLeavesFreesTheDiskAndItsPlace() async throws {
        try await withServer(valueCount: 100) { node, _, client in
            let waiting = (0..<SnapshotWorkers.countMax).map { _ in download(client, pauses: true) }
            for (_, download) in waiting { download.untilStarted() }
            #expect(try openFiles(of: node) == SnapshotWorkers.countMax)
            let refused = download(client).1.untilEnd()
            #expect(refused.end?.code == .resourceExhausted && refused.messages.isEmpty)
            for (call, _) in waiting { call.cancel() }
            for (_, download) in waiting { #expect(download.untilEnd().end?.code == .cancelled) }
            try untilClosed(node)
            // The threads may need a moment more until they take the next one.
            let deadline = ContinuousClock.now + .seconds(30)
            var next = download(client).1.untilEnd()
            while next.end?.code == .resourceExhausted, ContinuousClock.now < deadline {
                next = download(client).1.untilEnd()
            }
            try expectWhole(next, node)
        }
    }

    @Test func theServerStopsWhileAClientWaits() async throws {
        try await withServer(valueCount: 100) { node, server, client in
            let (_, waiting) = download(client, pauses: true)
            waiting.untilStarted()
            await server.stop(deadline: .milliseconds(100))
            #expect(waiting.untilEnd().end?.code == .unavailable)
            let open = try openFiles(of: node)
            #expect(open == 0)
        }
    }

    @Test(arguments: [0, 2])
    func oneRequestIsExpected(_ count: Int) async throws {
        try await withServer(valueCount: 0) { _, _, client in
            #expect(download(client, requests: count).1.untilEnd().end?.code == .internal)
        }
    }
}
