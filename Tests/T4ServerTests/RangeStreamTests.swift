import EtcdAPI
import Foundation
import Logging
import RPC
import SwiftProtobuf
import T4BuiltIns
import T4Conformance
import T4Core
import T4Protocols
import Testing

@testable import T4Server

/// Goal: a stream of a range is together the answer of Range, from one moment, and a client that takes its time costs no more
/// than what it is about to read. Method: a server in this process and clients that read, pause and leave at will.
struct RangeStreamTests {
    private typealias Generator = T4Conformance.SeededGenerator

    /// Waits block, so not in a task.
    private typealias Parts = Received<EtcdRangeStreamResponse>

    private func open(
        _ client: RPCClient, _ request: EtcdRangeRequest, pauses: Bool = false
    ) throws -> (call: ClientCall, parts: Parts) {
        let (call, parts) = Parts.open(
            client, "/etcdserverpb.KV/RangeStream", [try request.serializedBytes()], pauses: pauses)
        return (call, parts)
    }

    private func untilStarted(_ parts: Parts) async throws {
        try await SystemThread.run("wait") { parts.untilStarted() }
    }

    private func untilEnd(_ parts: Parts) async throws -> Parts.Content {
        try await SystemThread.run("wait") { parts.untilEnd() }
    }

    private func stream(_ client: RPCClient, _ request: EtcdRangeRequest) async throws -> Parts.Content {
        try await untilEnd(open(client, request).parts)
    }

    /// All parts as one answer; header, more and count are those of the last one, and nowhere else.
    private func joined(_ content: Parts.Content) throws -> EtcdRangeResponse {
        #expect(content.end == .ok)
        let answers = content.messages.map(\.rangeResponse)
        for part in answers.dropLast() {
            #expect(!part.hasHeader && !part.more && part.count == 0 && !part.kvs.isEmpty)
        }
        var joined = try #require(answers.last)
        joined.kvs = answers.flatMap(\.kvs)
        return joined
    }

    private static func all(limit: Int64 = 0) -> EtcdRangeRequest {
        EtcdRangeRequest.with { ($0.key, $0.rangeEnd, $0.limit) = (Data([0]), Data([0]), limit) }
    }

    @Test(arguments: [UInt64](1...2)) func partsTogetherAreTheRange(_ seed: UInt64) async throws {
        let partBytes = 2000
        try await AuthServer.with(enforced: false, { $0.requestSizeMax = partBytes }) { server in
            var random = Generator(seed: seed)
            for _ in 0..<300 {
                let key = Array("k\(random.next() % 150)".utf8)
                if random.next() % 4 == 0 {
                    try await server.node.deleteRange(DeleteRangeRequest(key: key))
                } else {
                    let value = [UInt8](repeating: 1, count: Int(random.next() % 300))
                    try await server.node.put(PutRequest(key: key, value: value))
                }
            }
            let newest = server.node.revision.rawValue
            var longest = 0
            for number in 0..<120 {
                var request = number == 0 ? Self.all() : EtcdRangeRequest()
                if number > 0 {
                    request.key = Data("k\(random.next() % 150)".utf8)
                    request.rangeEnd =
                        [Data(), Data([0]), Data("k\(random.next() % 150)".utf8)][Int(random.next() % 3)]
                    request.limit = Int64(random.next() % 3) * Int64(random.next() % 120)
                    request.revision = Int64(random.next() % 2) * Int64(random.next() % UInt64(newest + 2))
                    request.keysOnly = random.next() % 5 == 0
                    request.countOnly = random.next() % 8 == 0
                    request.serializable = random.next() % 2 == 0
                    request.sortOrder = random.next() % 3 == 0 ? .ascend : .none
                }
                let found = try await stream(server.client, request)
                do {
                    let wanted = try EtcdRangeResponse(
                        serializedBytes: try await server.call("KV/Range", request))
                    #expect(try joined(found) == wanted, "\(request), seed \(seed)")
                } catch let status as RPCStatus {
                    #expect(found.end == status && found.messages.isEmpty, "\(request), seed \(seed)")
                }
                longest = max(longest, found.messages.count)
                for part in found.messages {
                    let bytes: [UInt8] = try part.rangeResponse.serializedBytes()
                    #expect(bytes.count < partBytes + 500 + 64, "\(request), seed \(seed)")
                }
            }
            #expect(longest > 3)
        }
    }

    @Test func whatIsRefused() async throws {
        try await AuthServer.with(enforced: false) { server in
            func expect(_ wanted: RPCStatus, _ change: (inout EtcdRangeRequest) -> Void) async throws {
                var request = Self.all()
                change(&request)
                let found = try await stream(server.client, request)
                #expect(found.end == wanted && found.messages.isEmpty, "\(request)")
            }
            let order = RPCStatus(.unimplemented, "RangeStream does not support custom sort orders")
            let filter = RPCStatus(.unimplemented, "RangeStream does not support revision filters")
            try await expect(order) { $0.sortOrder = .descend }
            try await expect(order) { ($0.sortOrder, $0.sortTarget) = (.ascend, .mod) }
            try await expect(order) { ($0.sortOrder, $0.sortTarget, $0.minModRevision) = (.descend, .value, 1) }
            try await expect(filter) { $0.minModRevision = 1 }
            try await expect(filter) { $0.maxModRevision = 1 }
            try await expect(filter) { $0.minCreateRevision = 1 }
            try await expect(filter) { $0.maxCreateRevision = 1 }
            try await expect(EtcdErrors.status(DatabaseError(.keyNotProvided))) { $0.key = Data() }
            try await expect(EtcdErrors.status(DatabaseError(.invalidSortOption))) { $0.sortOrder = .UNRECOGNIZED(7) }
            try await expect(EtcdErrors.status(DatabaseError(.futureRevision))) { $0.revision = 1_000_000 }
            let newest = server.node.revision.rawValue
            _ = try await server.node.compact(CompactionRequest(revision: newest))
            try await expect(EtcdErrors.status(DatabaseError(.compacted))) { $0.revision = newest - 1 }
            // As in etcd, which looks at the order first: a target alone asks for none.
            let target = EtcdRangeRequest.with { ($0.key, $0.rangeEnd, $0.sortTarget) = (Data([0]), Data([0]), .value) }
            let sorted = try joined(try await stream(server.client, target))
            #expect(sorted.kvs.map { String(decoding: $0.key, as: UTF8.self) } == ["k1", "k2", "k3", "k4"])
        }
    }

    /// A client that does not read.
    @Test(.timeLimit(.minutes(10))) func aSlowClientGetsOneMomentAndCostsLittle() async throws {
        let meter = ReadMeter()
        let (valueBytes, valueCount) = (16 * 1024, 512)
        try await AuthServer.with(
            enforced: false, registry: meter.registry, { $0.requestSizeMax = 64 * 1024 }
        ) { server in
            for number in 0..<valueCount {
                let value = [UInt8](repeating: 7, count: valueBytes)
                try await server.node.put(PutRequest(key: Array("v\(10_000 + number)".utf8), value: value))
            }
            let before = try EtcdRangeResponse(serializedBytes: try await server.call("KV/Range", Self.all()))
            var configuration = RPCClientConfiguration()
            configuration.connectTimeout = .seconds(600)
            configuration.streamWindow = 64 * 1024
            let client = try await RPCClient.connect(
                host: "127.0.0.1", port: server.port, configuration: configuration)
            let lent = meter.bytes
            let (call, parts) = try open(client, Self.all(), pauses: true)
            try await untilStarted(parts)
            for _ in 0..<20 {
                try await server.call("KV/Range", EtcdRangeRequest.with { $0.key = Data("k1".utf8) })
            }
            // What waits for the client to read it, and one part more than that.
            #expect(meter.bytes - lent < 1024 * 1024)
            _ = try await server.node.deleteRange(DeleteRangeRequest(key: [0], rangeEnd: [0]))
            _ = try await server.node.compact(CompactionRequest(revision: server.node.revision.rawValue))
            call.resumeReading()
            #expect(try joined(try await untilEnd(parts)) == before)
            await client.close()
        }
    }

    /// Each stream holds a view of the engine until it ends, however it does.
    @Test(.timeLimit(.minutes(10))) func streamsThatEndLetGo() async throws {
        let meter = ReadMeter()
        try await AuthServer.with(
            enforced: false, registry: meter.registry, { $0.requestSizeMax = 1024 }
        ) { server in
            for number in 0..<64 {
                let value = [UInt8](repeating: 7, count: 32 * 1024)
                try await server.node.put(PutRequest(key: Array("v\(number)".utf8), value: value))
            }
            for _ in 0...OpenRangeStreams.countMax {
                #expect(try await stream(server.client, Self.all(limit: 1)).end == .ok)
            }
            for _ in 0...OpenRangeStreams.countMax {
                let (call, parts) = try open(server.client, Self.all(), pauses: true)
                try await untilStarted(parts)
                #expect(parts.content.withLock { $0.end } == nil)
                call.cancel()
                _ = try await untilEnd(parts)
            }
            try await SystemThread.run("wait") { meter.views.wait { $0 == 0 ? () : nil } }
            #expect(try joined(try await stream(server.client, Self.all())).kvs.count == 68)
        }
    }

    @Test func thereIsALimit() {
        let open = OpenRangeStreams()
        for _ in 0..<OpenRangeStreams.countMax { #expect(open.open()) }
        #expect(!open.open() && !open.open())
        open.close()
        #expect(open.open() && !open.open())
    }
}

/// Counts what is read of the memory engine, and the views of it that are held.
private final class ReadMeter: Sendable {
    let views = Monitor(0)
    private let read = Monitor(0)

    /// Bytes of rows that were lent.
    var bytes: Int { read.withLock { $0 } }

    /// Has the memory engine, and this between it and its users.
    var registry: BackendRegistry {
        var registry = BackendRegistry.builtIn
        registry.register(engine: "memory", settings: NoKeys.self) { [self] _, context in
            MeteredEngine(
                try BackendRegistry.builtIn.makeEngine("memory", settings: NoSettings(), context: context), self)
        }
        return registry
    }

    private struct NoKeys: Decodable {}

    private final class MeteredEngine: EngineWrapper {
        let base: any LocalEngine
        private let meter: ReadMeter

        init(_ base: any LocalEngine, _ meter: ReadMeter) { (self.base, self.meter) = (base, meter) }

        func snapshot() throws(EngineError) -> any EngineSnapshot { View(try base.snapshot(), meter) }
    }

    private final class View: SnapshotWrapper {
        let base: any EngineSnapshot
        private let meter: ReadMeter

        init(_ base: any EngineSnapshot, _ meter: ReadMeter) {
            (self.base, self.meter) = (base, meter)
            meter.views.withLock { $0 += 1 }
        }

        deinit {
            meter.views.withLock { $0 -= 1 }
            meter.views.broadcast()
        }

        func scan(
            _ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep
        ) throws(EngineError) {
            try base.scan(range, order: order) { key, value in
                meter.read.withLock { $0 += value.byteCount }
                return visit(key, value)
            }
        }
    }
}
