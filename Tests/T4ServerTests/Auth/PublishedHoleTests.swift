import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import Testing

/// Goal: what was published as a hole in etcd's authorization is none here. Method: for each one what its advisory
/// describes, by a user whose rights end just before it, and that nothing came of it.
struct PublishedHoleTests {
    private static let denied = RPCStatus(.permissionDenied, "etcdserver: permission denied")
    private static let nameless = RPCStatus(.invalidArgument, "etcdserver: user name is empty")

    private static func bytes(_ text: String) -> Data { Data(text.utf8) }

    /// A user with one permission, whose token this is.
    private func user(
        _ type: EtcdPermission.TypeEnum, _ key: String, _ end: String = "", on server: AuthServer,
    ) async throws -> String {
        let root = server.tokens["root"]
        try await server.call("Auth/RoleAdd", EtcdAuthRoleAddRequest.with { $0.name = "limited" }, token: root)
        let permission = EtcdAuthRoleGrantPermissionRequest.with {
            $0.name = "limited"
            ($0.perm.permType, $0.perm.key, $0.perm.rangeEnd) = (type, Self.bytes(key), Self.bytes(end))
        }
        try await server.call("Auth/RoleGrantPermission", permission, token: root)
        let account = EtcdAuthUserAddRequest.with { ($0.name, $0.password) = ("limited", "limited") }
        try await server.call("Auth/UserAdd", account, token: root)
        try await server.grant("limited", to: "limited", token: root)
        return try await server.login("limited", "limited")
    }

    /// A transaction that does `operation` as its `depth`th nested one, in one branch or the other.
    private func txn(_ operation: EtcdRequestOp, depth: Int, inSuccess: Bool) -> EtcdTxnRequest {
        var request = EtcdTxnRequest()
        let inner =
            depth == 0
            ? operation : .with { $0.requestTxn = txn(operation, depth: depth - 1, inSuccess: inSuccess) }
        if inSuccess { request.success = [inner] } else { request.failure = [inner] }
        return request
    }

    private func expectDenied(
        _ operation: EtcdRequestOp, inTransactionsOf server: AuthServer, token: String?, _ what: Comment,
    ) async throws {
        for depth in 0...2 {
            for inSuccess in [true, false] {
                let request = txn(operation, depth: depth, inSuccess: inSuccess)
                let refusal = await server.failure("KV/Txn", request, token: token)
                #expect(refusal == Self.denied, "\(what), depth \(depth), in success: \(inSuccess)")
            }
        }
    }

    private func expectUnchanged(_ server: AuthServer, since revision: Int64) async throws {
        let all = EtcdRangeRequest.with { ($0.key, $0.rangeEnd) = (Data([0]), Data([0])) }
        let found = try await EtcdRangeResponse(
            serializedBytes: server.call("KV/Range", all, token: server.tokens["root"]))
        #expect(found.kvs.map { $0.key } == ["k1", "k2", "k3", "k4"].map(Self.bytes))
        #expect(found.header.revision == revision)
    }

    /// Calls for which later etcd wants a login, and 3.5.1 none.
    private static let unguarded: [(String, any Message & Sendable)] = [
        ("Cluster/MemberList", EtcdMemberListRequest()),
        ("Maintenance/Alarm", EtcdAlarmRequest()),
        ("Maintenance/Alarm", EtcdAlarmRequest.with { ($0.action, $0.alarm) = (.activate, .nospace) }),
        ("Maintenance/Alarm", EtcdAlarmRequest.with { ($0.action, $0.alarm) = (.deactivate, .nospace) }),
        ("Lease/LeaseGrant", EtcdLeaseGrantRequest.with { ($0.id, $0.ttl) = (99, 100) }),
        ("Lease/LeaseRevoke", EtcdLeaseRevokeRequest.with { $0.id = AuthServer.lease }),
        ("Lease/LeaseTimeToLive", EtcdLeaseTimeToLiveRequest.with { $0.id = AuthServer.lease }),
        ("Lease/LeaseLeases", EtcdLeaseLeasesRequest()),
        ("KV/Compact", EtcdCompactionRequest.with { $0.revision = 3 }),
    ]

    @Test("CVE-2026-33413: members, alarms, leases and compaction without a login")
    func callsWithoutALogin() async throws {
        try await AuthServer.with { server in
            for (method, request) in Self.unguarded {
                #expect(await server.failure(method, request) == Self.nameless, "\(method)")
            }
            let renewal = EtcdLeaseKeepAliveRequest.with { $0.id = AuthServer.lease }
            #expect(try await server.first("Lease/LeaseKeepAlive", renewal) == .failure(Self.nameless))
            // With a login, and without rights, compaction and alarms are still root's.
            for (method, request) in Self.unguarded where ["KV/Compact", "Lease/LeaseRevoke"].contains(method) {
                #expect(await server.failure(method, request, token: server.tokens["none"]) == Self.denied)
            }
            let root = server.tokens["root"]
            let leases = try await EtcdLeaseLeasesResponse(
                serializedBytes: server.call("Lease/LeaseLeases", EtcdLeaseLeasesRequest(), token: root))
            #expect(leases.leases.map { $0.id } == [AuthServer.lease])
            let alarms = try await EtcdAlarmResponse(
                serializedBytes: server.call("Maintenance/Alarm", EtcdAlarmRequest(), token: root))
            #expect(alarms.alarms.isEmpty)
            let old = EtcdRangeRequest.with { ($0.key, $0.revision) = (Self.bytes("k1"), 2) }
            try await server.call("KV/Range", old, token: root)
            try await expectUnchanged(server, since: 5)
        }
    }

    @Test("CVE-2026-33343: nested transactions")
    func nestedTransactions() async throws {
        try await AuthServer.with { server in
            let part = server.tokens["part"]
            let read = EtcdRequestOp.with { $0.requestRange.key = Self.bytes("k4") }
            let write = EtcdRequestOp.with { $0.requestPut.key = Self.bytes("k4") }
            let delete = EtcdRequestOp.with { $0.requestDeleteRange.key = Self.bytes("k4") }
            for (operation, what) in [(read, "read"), (write, "write"), (delete, "delete")] {
                try await expectDenied(operation, inTransactionsOf: server, token: part, "\(what)")
            }
            try await expectUnchanged(server, since: 5)
            // It is the key that is refused, and not the nesting.
            let mine = EtcdRequestOp.with { $0.requestRange.key = Self.bytes("k2") }
            try await server.call("KV/Txn", txn(mine, depth: 2, inSuccess: true), token: part)
        }
    }

    @Test(
        "GHSA-xg4h-6gfc-h4m8: a watch from a key on, with the right for that key alone",
        arguments: [("k1", "\0"), ("k1", "k2"), ("k1", "k5"), ("\0", "\0"), ("", "\0"), ("k2", "")])
    func watchesFromOneKeyOn(_ key: String, _ end: String) async throws {
        try await AuthServer.with { server in
            let token = try await user(.read, "k1", on: server)
            func watch(_ key: String, _ end: String) async throws -> EtcdWatchResponse {
                let request = EtcdWatchRequest.with {
                    ($0.createRequest.key, $0.createRequest.rangeEnd) = (Self.bytes(key), Self.bytes(end))
                }
                let message = try await server.first("Watch/Watch", request, token: token).get()
                return try EtcdWatchResponse(serializedBytes: message)
            }
            #expect(try await !watch("k1", "").canceled)
            let refused = try await watch(key, end)
            #expect(refused.canceled && refused.created && refused.watchID == -1)
            let reason = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
            #expect(refused.cancelReason == reason)
        }
    }

    @Test("CVE-2023-32082: keys of a lease without the right to read them")
    func keysOfALease() async throws {
        try await AuthServer.with { server in
            let token = try await user(.read, "k1", on: server)
            for (keys, wanted) in [(true, Self.denied), (false, nil)] as [(Bool, RPCStatus?)] {
                let request = EtcdLeaseTimeToLiveRequest.with { ($0.id, $0.keys) = (AuthServer.lease, keys) }
                #expect(await server.failure("Lease/LeaseTimeToLive", request, token: token) == wanted)
            }
        }
    }

    @Test("CVE-2026-44283: the version before and leases of puts in transactions")
    func putsInTransactions() async throws {
        try await AuthServer.with { server in
            let writer = try await user(.write, "k1", "k5", on: server)
            let reading = EtcdRequestOp.with { ($0.requestPut.key, $0.requestPut.prevKv) = (Self.bytes("k2"), true) }
            try await expectDenied(reading, inTransactionsOf: server, token: writer, "a put that reads")
            let emptying = EtcdRequestOp.with {
                ($0.requestDeleteRange.key, $0.requestDeleteRange.prevKv) = (Self.bytes("k2"), true)
            }
            try await expectDenied(emptying, inTransactionsOf: server, token: writer, "a deletion that reads")
            let attaching = EtcdRequestOp.with {
                ($0.requestPut.key, $0.requestPut.lease) = (Self.bytes("k2"), AuthServer.lease)
            }
            try await expectDenied(
                attaching, inTransactionsOf: server, token: server.tokens["part"], "a lease with keys of others")
            try await expectUnchanged(server, since: 5)
            let plain = EtcdRequestOp.with { $0.requestPut.key = Self.bytes("k2") }
            try await server.call("KV/Txn", txn(plain, depth: 2, inSuccess: true), token: writer)
        }
    }
}
