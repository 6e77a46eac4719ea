import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf

/// One connection to a server, with the calls that load generators and checks need.
///
/// Calls throw `RPCStatus`; after UNAVAILABLE nobody knows whether a write took effect.
struct EtcdClient: Sendable {
    let rpc: RPCClient
    /// How long each call may take.
    private let patience: Duration

    static func connect(to server: ServerUnderTest, patience: Duration = .seconds(600)) async throws -> EtcdClient {
        try await connect(port: server.port, patience: patience)
    }

    static func connect(port: Int, patience: Duration = .seconds(600)) async throws -> EtcdClient {
        EtcdClient(rpc: try await RPCClient.connect(host: "127.0.0.1", port: port), patience: patience)
    }

    /// - Returns: The revision of the write.
    func put(_ key: String, _ value: String) async throws -> Int64 {
        try await call("KV/Put", put(key, value), EtcdPutResponse.self).header.revision
    }

    /// Puts several keys in one transaction.
    func putAll(_ pairs: [(key: String, value: String)]) async throws -> Int64 {
        var request = EtcdTxnRequest()
        request.success = pairs.map { pair in
            var operation = EtcdRequestOp()
            operation.requestPut = put(pair.key, pair.value)
            return operation
        }
        return try await call("KV/Txn", request, EtcdTxnResponse.self).header.revision
    }

    func delete(_ key: String) async throws -> Int64 {
        var request = EtcdDeleteRangeRequest()
        request.key = Data(key.utf8)
        return try await call("KV/DeleteRange", request, EtcdDeleteRangeResponse.self).header.revision
    }

    func compact(to revision: Int64) async throws {
        var request = EtcdCompactionRequest()
        request.revision = revision
        _ = try await call("KV/Compact", request, EtcdCompactionResponse.self)
    }

    /// - Returns: The token of the login.
    func login(_ user: String, _ password: String) async throws -> String {
        var request = EtcdAuthenticateRequest()
        request.name = user
        request.password = password
        return try await call("Auth/Authenticate", request, EtcdAuthenticateResponse.self).token
    }

    /// - Returns: Nil where there is no such key.
    func value(of key: String, token: String? = nil) async throws -> String? {
        var request = EtcdRangeRequest()
        request.key = Data(key.utf8)
        return try await call("KV/Range", request, EtcdRangeResponse.self, token: token).kvs.first
            .map { String(decoding: $0.value, as: UTF8.self) }
    }

    /// All keys, now or at an old revision.
    func all(at revision: Int64 = 0) async throws -> DatabaseState {
        var request = EtcdRangeRequest()
        request.key = Data([0])
        request.rangeEnd = Data([0])
        request.revision = revision
        return DatabaseState(try await call("KV/Range", request, EtcdRangeResponse.self))
    }

    /// Watches all keys from `revision` on.
    func watch(from revision: Int64) throws -> WatchLog {
        try EtcdClient.watch(on: rpc, key: [0], end: [0], from: revision).log
    }

    /// Watches keys from `revision` on, over any connection.
    static func watch(
        on rpc: RPCClient, key: [UInt8], end: [UInt8], from revision: Int64,
    ) throws -> (log: WatchLog, call: ClientCall) {
        var create = EtcdWatchCreateRequest()
        create.key = Data(key)
        create.rangeEnd = Data(end)
        create.startRevision = revision
        var request = EtcdWatchRequest()
        request.createRequest = create
        let message: [UInt8] = try request.serializedBytes()
        let log = WatchLog()
        let call = rpc.stream(rpc.method("/etcdserverpb.Watch/Watch")) { _ in log }
        call.send(message)
        return (log, call)
    }

    /// - Returns: The id of the server itself.
    func memberID() async throws -> UInt64 {
        try await call("Maintenance/Status", EtcdStatusRequest(), EtcdStatusResponse.self).header.memberID
    }

    /// - Returns: The alarms in the answer.
    func alarm(
        _ action: EtcdAlarmRequest.AlarmAction, _ type: EtcdAlarmType, member: UInt64 = 0,
    ) async throws -> [EtcdAlarmMember] {
        var request = EtcdAlarmRequest()
        request.action = action
        request.alarm = type
        request.memberID = member
        return try await call("Maintenance/Alarm", request, EtcdAlarmResponse.self).alarms
    }

    func close() async { await rpc.close() }

    private func put(_ key: String, _ value: String) -> EtcdPutRequest {
        var request = EtcdPutRequest()
        request.key = Data(key.utf8)
        request.value = Data(value.utf8)
        return request
    }

    func call<Answer: Message>(
        _ method: String, _ request: some Message, _: Answer.Type, token: String? = nil,
    ) async throws -> Answer {
        let message: [UInt8] = try request.serializedBytes()
        let metadata = token.map { [("token", $0)] } ?? []
        return try Answer(
            serializedBytes: try await rpc.unary(
                "/etcdserverpb." + method, message, timeout: patience, metadata: metadata))
    }

    /// Waits for a lock of `v3lockpb`.
    /// - Returns: The key that stands for it.
    func lock(_ name: String, lease: Int64, within limit: Duration) async throws -> Data {
        let request = EtcdLockRequest.with {
            $0.name = Data(name.utf8)
            $0.lease = lease
        }
        let answer = try await rpc.unary("/v3lockpb.Lock/Lock", try request.serializedBytes(), timeout: limit)
        return try EtcdLockResponse(serializedBytes: answer).key
    }

    func unlock(_ key: Data) async throws {
        let request = EtcdUnlockRequest.with { $0.key = key }
        _ = try await rpc.unary("/v3lockpb.Lock/Unlock", try request.serializedBytes(), timeout: patience)
    }
}

/// One change of one key, as a watch tells it.
struct Change: Hashable, Sendable {
    var revision: Int64
    var key: String
    /// Nil for a deletion.
    var value: String?
    /// 0 for a deletion.
    var version: Int64
}

/// All keys at one revision.
struct DatabaseState: Sendable {
    /// The revision of the database when it was read.
    var revision: Int64
    /// For each key the change that made it what it is.
    var rows: [Change]
}

/// Everything that one watch has received.
final class WatchLog: ClientStreamHandler, Sendable {
    struct Content: Sendable, CustomStringConvertible {
        var isCreated = false
        var changes: [Change] = []
        /// Why the watch was cancelled; empty while it was not, or without a reason.
        var cancelReason = ""
        /// Not 0 once the watch was cancelled because its start had been compacted.
        var compactRevision: Int64 = 0
        var end: RPCStatus?

        var description: String {
            "\(changes.count) changes, the last: \(changes.last.map { "\($0)" } ?? "none"), "
                + "compacted: \(compactRevision), end: \(end.map { "\($0)" } ?? "open")"
        }
    }

    let content = Observed(Content())

    func onMessage(_ message: RawSpan) {
        let bytes = message.withUnsafeBytes { Array($0) }
        content.update { content in
            do {
                let response = try EtcdWatchResponse(serializedBytes: bytes)
                content.isCreated = content.isCreated || response.created
                if response.canceled { content.cancelReason = response.cancelReason }
                content.compactRevision = max(content.compactRevision, response.compactRevision)
                content.changes += response.events.map { event in
                    Change(
                        revision: event.kv.modRevision, key: String(decoding: event.kv.key, as: UTF8.self),
                        value: event.type == .delete ? nil : String(decoding: event.kv.value, as: UTF8.self),
                        version: event.kv.version)
                }
            } catch {
                content.end = RPCStatus(.internal, "a watch response that cannot be read: \(error)")
            }
        }
    }

    func onEnd(_ status: RPCStatus) { content.update { $0.end = $0.end ?? status } }
    func onWritable() {}

    /// Waits until the watch is open at the server.
    func untilCreated() async throws {
        _ = try await content.wait(for: "the watch to be created") { $0.isCreated || $0.end != nil ? true : nil }
    }

    /// Waits for everything up to `revision`.
    /// - Returns: Nil when the watch began in what had been compacted.
    func changes(through revision: Int64) async throws -> [Change]? {
        let content = try await content.wait(for: "changes up to revision \(revision)") { content in
            if let last = content.changes.last, last.revision >= revision { return content }
            return content.end != nil || content.compactRevision != 0 ? content : nil
        }
        if content.compactRevision != 0 { return nil }
        if let end = content.end { throw end }
        return content.changes
    }
}
