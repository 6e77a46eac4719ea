import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import T4Conformance

/// Saves, inspects and restores snapshots with etcd's own tools.
enum SnapshotTools {
    /// What `etcdutl snapshot status -w json` prints.
    struct Status: Decodable {
        var revision: Int64
        var totalKey: Int
        var totalSize: Int
    }

    static func save(_ server: ServerUnderTest, to file: URL) async throws {
        _ = try await run("etcdctl", "--endpoints", server.address, "snapshot", "save", file.path)
    }

    /// Checks every page of the file, too: etcdutl does so first.
    static func status(_ file: URL) async throws -> Status {
        let said = try await run("etcdutl", "snapshot", "status", file.path, "-w", "json")
        return try JSONDecoder().decode(Status.self, from: Data(said.utf8))
    }

    /// Makes a data directory and starts etcd on it.
    static func restore(_ file: URL, to data: URL) async throws -> ServerUnderTest {
        _ = try await run("etcdutl", "snapshot", "restore", file.path, "--data-dir", data.path)
        return try await ServerUnderTest.start(.etcd, dataDirectory: data)
    }

    /// - Returns: The standard output.
    static func run(_ tool: String, _ arguments: String...) async throws -> String {
        try await run(tool, arguments)
    }

    /// - Returns: The standard output.
    static func run(_ tool: String, _ arguments: [String]) async throws -> String {
        // etcd checks its own invariants after a restore when asked to.
        let environment = TestEnvironment.forChildren.merging(["ETCD_VERIFY": "all"]) { $1 }
        let process = try ChildProcess(TestEnvironment.tool(tool), arguments, environment: environment)
        process.closeInput()
        let status = try await process.wait(within: .seconds(600))
        guard status == .code(0) else {
            throw ProcessFailure("\(tool) \(arguments): \(status)\n\(process.errors.value)\n\(process.output.value)")
        }
        return process.output.value.description
    }
}

/// A connection that shows everything a client can see of a database.
struct DatabaseView: Sendable {
    let rpc: RPCClient

    static func connect(to server: ServerUnderTest) async throws -> DatabaseView {
        DatabaseView(rpc: try await RPCClient.connect(host: "127.0.0.1", port: server.port))
    }

    /// - Throws: `RPCStatus`.
    func call<Answer: Message>(_ method: String, _ request: some Message, _: Answer.Type) async throws -> Answer {
        let message: [UInt8] = try request.serializedBytes()
        return try Answer(
            serializedBytes: try await rpc.unary("/etcdserverpb." + method, message, timeout: .seconds(60)))
    }

    @discardableResult
    func put(_ key: [UInt8], _ value: [UInt8], lease: Int64 = 0) async throws -> Int64 {
        try await call("KV/Put", DatabaseView.put(key, value, lease: lease), EtcdPutResponse.self).header.revision
    }

    /// Puts several keys and deletes others, as one revision.
    @discardableResult
    func txn(puts: [([UInt8], [UInt8])], deletes: [[UInt8]] = []) async throws -> Int64 {
        var request = EtcdTxnRequest()
        request.success =
            puts.map { key, value in .with { $0.requestPut = DatabaseView.put(key, value) } }
            + deletes.map { key in .with { $0.requestDeleteRange.key = Data(key) } }
        return try await call("KV/Txn", request, EtcdTxnResponse.self).header.revision
    }

    /// Deletes all keys from `first` to `end`, which is not among them.
    @discardableResult
    func delete(_ first: [UInt8], to end: [UInt8] = []) async throws -> Int64 {
        let request = EtcdDeleteRangeRequest.with {
            $0.key = Data(first)
            $0.rangeEnd = Data(end)
        }
        return try await call("KV/DeleteRange", request, EtcdDeleteRangeResponse.self).header.revision
    }

    func compact(_ revision: Int64, physical: Bool) async throws {
        let request = EtcdCompactionRequest.with {
            $0.revision = revision
            $0.physical = physical
        }
        _ = try await call("KV/Compact", request, EtcdCompactionResponse.self)
    }

    func grant(_ id: Int64, ttl: Int64) async throws {
        let request = EtcdLeaseGrantRequest.with {
            $0.id = id
            $0.ttl = ttl
        }
        _ = try await call("Lease/LeaseGrant", request, EtcdLeaseGrantResponse.self)
    }

    /// All keys of a range at a revision, and the newest revision.
    func all(
        at revision: Int64 = 0, in range: ([UInt8], [UInt8]) = ([0], [0]), limit: Int64 = 0
    ) async throws -> (revision: Int64, kvs: [EtcdKeyValue]) {
        let request = EtcdRangeRequest.with {
            $0.key = Data(range.0)
            $0.rangeEnd = Data(range.1)
            $0.revision = revision
            $0.limit = limit
        }
        let answer = try await call("KV/Range", request, EtcdRangeResponse.self)
        return (answer.header.revision, answer.kvs)
    }

    /// All leases with their granted time and their keys.
    func leases() async throws -> [Int64: (ttl: Int64, keys: [Data])] {
        var leases: [Int64: (ttl: Int64, keys: [Data])] = [:]
        for lease in try await call("Lease/LeaseLeases", EtcdLeaseLeasesRequest(), EtcdLeaseLeasesResponse.self).leases
        {
            let request = EtcdLeaseTimeToLiveRequest.with {
                $0.id = lease.id
                $0.keys = true
            }
            let answer = try await call("Lease/LeaseTimeToLive", request, EtcdLeaseTimeToLiveResponse.self)
            leases[lease.id] = (answer.grantedTtl, answer.keys.sorted { $0.lexicographicallyPrecedes($1) })
        }
        return leases
    }

    /// All events from one revision to another, both included, with the versions before.
    func events(from first: Int64, through last: Int64) async throws -> EventLog.Content {
        let request = EtcdWatchRequest.with {
            $0.createRequest.key = Data([0])
            $0.createRequest.rangeEnd = Data([0])
            $0.createRequest.startRevision = first
            $0.createRequest.prevKv = true
        }
        let message: [UInt8] = try request.serializedBytes()
        let log = EventLog()
        let call = rpc.stream(rpc.method("/etcdserverpb.Watch/Watch")) { _ in log }
        call.send(message)
        defer { call.cancel() }
        return try await log.content.wait(for: "events up to revision \(last)") { content in
            let isDone = content.compactRevision > 0 || content.end != nil || content.lastRevision >= last
            return isDone ? content : nil
        }
    }

    private static func put(_ key: [UInt8], _ value: [UInt8], lease: Int64 = 0) -> EtcdPutRequest {
        .with {
            $0.key = Data(key)
            $0.value = Data(value)
            $0.lease = lease
        }
    }
}

/// Everything that one watch has received, as it came.
final class EventLog: ClientStreamHandler, Sendable {
    struct Content: Sendable, Equatable, CustomStringConvertible {
        var events: [EtcdEvent] = []
        /// Not 0 when the watch began in what had been compacted.
        var compactRevision: Int64 = 0
        var end: RPCStatus?

        var lastRevision: Int64 { events.last?.kv.modRevision ?? 0 }

        /// Short: values may be large.
        var description: String {
            "\(events.count) events up to \(lastRevision), compacted: \(compactRevision), end: \(String(describing: end))"
        }
    }

    let content = Observed(Content())

    func onMessage(_ message: RawSpan) {
        let bytes = message.withUnsafeBytes { Array($0) }
        content.update { content in
            do {
                let response = try EtcdWatchResponse(serializedBytes: bytes)
                content.events += response.events
                content.compactRevision = max(content.compactRevision, response.compactRevision)
            } catch {
                content.end = RPCStatus(.internal, "a watch response that cannot be read: \(error)")
            }
        }
    }

    func onEnd(_ status: RPCStatus) { content.update { $0.end = $0.end ?? status } }
    func onWritable() {}
}
