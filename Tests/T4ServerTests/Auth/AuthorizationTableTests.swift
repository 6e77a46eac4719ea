import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import T4Core
import Testing

@testable import T4Server

/// Goal: no RPC does for anybody what it should not. Method: a table of every RPC and what each kind of client gets, on a
/// server of its own for each row.
struct AuthorizationTableTests {
    typealias Code = RPCStatus.Code

    /// A request, and what it comes to for somebody without rights, with those for a part of it, with all, and for root.
    struct Row: Sendable, CustomTestStringConvertible {
        var method: String
        var what: String
        var request: any SwiftProtobuf.Message & Sendable
        var isStream = false
        /// By user, in the order of `AuthServer.users`.
        var codes: [Code]
        /// What somebody gets who shows no token.
        var nobody = Code.invalidArgument
        /// And who shows one that is none.
        var stranger = Code.unauthenticated

        var testDescription: String { "\(method) \(what)" }

        init(
            _ method: String, _ what: String = "", _ request: any SwiftProtobuf.Message & Sendable, _ codes: [Code]
        ) {
            (self.method, self.what, self.request, self.codes) = (method, what, request, codes)
        }

        func with(_ change: (inout Row) -> Void) -> Row {
            var row = self
            change(&row)
            return row
        }
    }

    private static let denied = Code.permissionDenied
    /// Who may read or write all of the four keys.
    private static let keys: [Code] = [denied, denied, .ok, .ok]
    private static let anyUser: [Code] = [.ok, .ok, .ok, .ok]
    private static let admin: [Code] = [denied, denied, denied, .ok]
    private static func adminGets(_ code: Code) -> [Code] { [denied, denied, denied, code] }

    private static func bytes(_ text: String) -> Data { Data(text.utf8) }

    private static func range(_ key: String, _ end: String = "") -> EtcdRangeRequest {
        .with { ($0.key, $0.rangeEnd) = (bytes(key), bytes(end)) }
    }

    private static func put(_ key: String, lease: Int64 = 0, prevKv: Bool = false) -> EtcdPutRequest {
        .with { ($0.key, $0.lease, $0.prevKv) = (bytes(key), lease, prevKv) }
    }

    private static func delete(_ key: String, _ end: String = "", prevKv: Bool = false) -> EtcdDeleteRangeRequest {
        .with { ($0.key, $0.rangeEnd, $0.prevKv) = (bytes(key), bytes(end), prevKv) }
    }

    private static func txn(
        compare: (String, String)? = nil, _ success: [EtcdRequestOp], _ failure: [EtcdRequestOp] = []
    ) -> EtcdTxnRequest {
        .with { request in
            request.success = success
            request.failure = failure
            guard let compare else { return }
            request.compare = [
                .with {
                    ($0.key, $0.rangeEnd) = (bytes(compare.0), bytes(compare.1))
                    $0.target = .version
                    $0.version = 0
                    $0.result = .greater
                }
            ]
        }
    }

    private static let kv: [Row] = [
        Row("KV/Range", "one key", range("k4"), keys), Row("KV/Range", "all keys", range("k1", "k5"), keys),
        Row("KV/Range", "more than there is", range("k1", "k6"), [denied, denied, denied, .ok]),
        Row("KV/Range", "from a key on", range("k1", "\0"), [denied, denied, denied, .ok]),
        Row("KV/Range", "a part", range("k1", "k3"), [denied, .ok, .ok, .ok]),
        Row("KV/RangeStream", "all keys", range("k1", "k5"), keys).with { $0.isStream = true },
        Row("KV/RangeStream", "a part", range("k1", "k3"), [denied, .ok, .ok, .ok]).with { $0.isStream = true },
        Row("KV/Put", "one key", put("k4"), keys), Row("KV/Put", "a part", put("k2"), [denied, .ok, .ok, .ok]),
        Row("KV/Put", "with the version before", put("k4", prevKv: true), keys),
        Row("KV/Put", "on a lease with keys of others", put("k2", lease: AuthServer.lease), keys),
        Row("KV/DeleteRange", "one key", delete("k4"), keys),
        Row("KV/DeleteRange", "all keys", delete("k1", "k5"), keys),
        Row("KV/DeleteRange", "with the versions before", delete("k1", "k5", prevKv: true), keys),
        Row("KV/Txn", "reading", txn([op(range("k1")), op(range("k4"))]), keys),
        Row("KV/Txn", "reading in the branch that does not run", txn([op(range("k1"))], [op(range("k4"))]), keys),
        Row("KV/Txn", "comparing", txn(compare: ("k4", ""), [op(range("k1"))]), keys),
        Row("KV/Txn", "comparing a range", txn(compare: ("k1", "k5"), [op(put("k1"))]), keys),
        Row("KV/Txn", "writing in the branch that does not run", txn([op(put("k1"))], [op(put("k4"))]), keys),
        Row("KV/Txn", "deleting", txn([op(delete("k1", "k5"))]), keys),
        Row("KV/Txn", "nested reading", txn([op(txn([op(range("k4"))]))]), keys),
        Row("KV/Txn", "nested writing", txn([op(range("k1")), op(txn([op(put("k4"))]))]), keys),
        Row("KV/Txn", "nested comparing", txn([op(txn(compare: ("k4", ""), [op(put("k1"))]))]), keys),
        Row("KV/Txn", "nested put on a lease", txn([op(txn([op(put("k1", lease: AuthServer.lease))]))]), keys),
        Row("KV/Compact", "", EtcdCompactionRequest.with { $0.revision = 2 }, admin),
        Row("Watch/Watch", "one key", watch("k4"), keys).with { $0.isStream = true },
        Row("Watch/Watch", "all keys", watch("k1", "k5"), keys).with { $0.isStream = true },
        Row("Watch/Watch", "from one key on", watch("k1", "\0"), [denied, denied, denied, .ok]).with {
            $0.isStream = true
        },
    ]

    private static func op(_ request: EtcdRangeRequest) -> EtcdRequestOp { .with { $0.requestRange = request } }
    private static func op(_ request: EtcdPutRequest) -> EtcdRequestOp { .with { $0.requestPut = request } }
    private static func op(_ request: EtcdTxnRequest) -> EtcdRequestOp { .with { $0.requestTxn = request } }
    private static func op(_ request: EtcdDeleteRangeRequest) -> EtcdRequestOp {
        .with { $0.requestDeleteRange = request }
    }

    private static func watch(_ key: String, _ end: String = "") -> EtcdWatchRequest {
        .with { ($0.createRequest.key, $0.createRequest.rangeEnd) = (bytes(key), bytes(end)) }
    }

    private static let lease: [Row] = [
        Row("Lease/LeaseGrant", "", EtcdLeaseGrantRequest.with { $0.ttl = 100 }, anyUser),
        // The lease is gone when root comes.
        Row(
            "Lease/LeaseRevoke", "", EtcdLeaseRevokeRequest.with { $0.id = AuthServer.lease },
            [denied, denied, .ok, .notFound]),
        Row("Lease/LeaseKeepAlive", "", EtcdLeaseKeepAliveRequest.with { $0.id = AuthServer.lease }, keys).with {
            $0.isStream = true
        },
        Row("Lease/LeaseTimeToLive", "", EtcdLeaseTimeToLiveRequest.with { $0.id = AuthServer.lease }, anyUser),
        Row(
            "Lease/LeaseTimeToLive", "with keys",
            EtcdLeaseTimeToLiveRequest.with { ($0.id, $0.keys) = (AuthServer.lease, true) }, keys),
        Row("Lease/LeaseLeases", "", EtcdLeaseLeasesRequest(), keys),
    ]

    private static let others: [Row] = [
        Row("Cluster/MemberList", "", EtcdMemberListRequest(), anyUser),
        Row("Cluster/MemberAdd", "", EtcdMemberAddRequest(), adminGets(.invalidArgument)),
        Row("Cluster/MemberRemove", "", EtcdMemberRemoveRequest.with { $0.id = 1 }, adminGets(.notFound)),
        Row("Cluster/MemberUpdate", "", EtcdMemberUpdateRequest.with { $0.id = 1 }, adminGets(.notFound)),
        Row("Cluster/MemberPromote", "", EtcdMemberPromoteRequest.with { $0.id = 1 }, adminGets(.notFound)),
        Row("Maintenance/Status", "", EtcdStatusRequest(), anyUser),
        Row("Maintenance/Alarm", "list", EtcdAlarmRequest(), anyUser),
        Row(
            "Maintenance/Alarm", "raise", EtcdAlarmRequest.with { ($0.action, $0.alarm) = (.activate, .nospace) }, admin
        ),
        Row("Maintenance/Alarm", "none", EtcdAlarmRequest.with { $0.action = .deactivate }, admin),
        Row("Maintenance/Defragment", "", EtcdDefragmentRequest(), admin),
        Row("Maintenance/Hash", "", EtcdHashRequest(), admin),
        Row("Maintenance/HashKV", "", EtcdHashKVRequest(), admin),
        Row("Maintenance/Snapshot", "", EtcdSnapshotRequest(), admin).with { $0.isStream = true },
        Row("Maintenance/MoveLeader", "", EtcdMoveLeaderRequest(), adminGets(.failedPrecondition)),
        Row("Maintenance/Downgrade", "", EtcdDowngradeRequest(), adminGets(.invalidArgument)),
    ]

    private static let auth: [Row] = [
        Row("Auth/AuthEnable", "", EtcdAuthEnableRequest(), admin),
        Row("Auth/AuthDisable", "", EtcdAuthDisableRequest(), admin),
        Row("Auth/AuthStatus", "", EtcdAuthStatusRequest(), admin),
        // Who logs in has no token, or an old one.
        Row(
            "Auth/Authenticate", "", EtcdAuthenticateRequest.with { ($0.name, $0.password) = ("part", "part") }, anyUser
        ).with { ($0.nobody, $0.stranger) = (.ok, .ok) },
        Row("Auth/UserAdd", "", EtcdAuthUserAddRequest.with { $0.name = "new" }, admin),
        Row("Auth/UserGet", "itself", EtcdAuthUserGetRequest.with { $0.name = "part" }, [denied, .ok, denied, .ok]),
        Row("Auth/UserGet", "nobody", EtcdAuthUserGetRequest.with { $0.name = "x" }, adminGets(.failedPrecondition)),
        Row("Auth/UserList", "", EtcdAuthUserListRequest(), admin),
        Row("Auth/UserDelete", "", EtcdAuthUserDeleteRequest.with { $0.name = "none" }, admin),
        Row(
            "Auth/UserChangePassword", "its own",
            EtcdAuthUserChangePasswordRequest.with { ($0.name, $0.password) = ("part", "x") }, admin),
        Row(
            "Auth/UserGrantRole", "",
            EtcdAuthUserGrantRoleRequest.with { ($0.user, $0.role) = ("part", "root") }, admin),
        Row(
            "Auth/UserRevokeRole", "",
            EtcdAuthUserRevokeRoleRequest.with { ($0.name, $0.role) = ("part", "part") }, admin),
        Row("Auth/RoleAdd", "", EtcdAuthRoleAddRequest.with { $0.name = "new" }, admin),
        Row("Auth/RoleGet", "its own", EtcdAuthRoleGetRequest.with { $0.role = "part" }, [denied, .ok, denied, .ok]),
        Row("Auth/RoleList", "", EtcdAuthRoleListRequest(), admin),
        Row("Auth/RoleDelete", "", EtcdAuthRoleDeleteRequest.with { $0.role = "part" }, admin),
        Row(
            "Auth/RoleGrantPermission", "",
            EtcdAuthRoleGrantPermissionRequest.with { ($0.name, $0.perm.key) = ("part", bytes("x")) }, admin),
        Row("Auth/RoleGrantPermission", "nothing", EtcdAuthRoleGrantPermissionRequest(), adminGets(.invalidArgument)),
        Row(
            "Auth/RoleRevokePermission", "",
            EtcdAuthRoleRevokePermissionRequest.with {
                ($0.role, $0.key, $0.rangeEnd) = ("part", bytes("k1"), bytes("k3"))
            }, admin),
    ]

    /// Locks and elections: all errors of etcd's are of one code; see `code(of:)`.
    private static let lines: [Row] = [
        Row(
            "/v3lockpb.Lock/Lock", "", EtcdLockRequest.with { ($0.name, $0.lease) = (bytes("k3"), AuthServer.lease) },
            keys
        )
        .with { $0.isStream = true },
        Row(
            "/v3lockpb.Lock/Lock", "no lease", EtcdLockRequest.with { $0.name = bytes("x") },
            [denied, denied, denied, .ok]
        )
        .with { $0.isStream = true },
        Row("/v3lockpb.Lock/Unlock", "", EtcdUnlockRequest.with { $0.key = bytes("k3/1") }, keys),
        Row(
            "/v3electionpb.Election/Campaign", "",
            EtcdCampaignRequest.with { ($0.name, $0.lease) = (bytes("k3"), AuthServer.lease) }, keys
        ).with { $0.isStream = true },
        Row(
            "/v3electionpb.Election/Proclaim", "",
            EtcdProclaimRequest.with {
                $0.leader = .with {
                    ($0.name, $0.key, $0.rev, $0.lease) = (bytes("k4"), bytes("k4/1"), 1, AuthServer.lease)
                }
            }, [denied, denied, .failedPrecondition, .failedPrecondition]),
        Row("/v3electionpb.Election/Leader", "", EtcdLeaderRequest.with { $0.name = bytes("k4") }, keys),
        Row("/v3electionpb.Election/Observe", "", EtcdLeaderRequest.with { $0.name = bytes("k4") }, keys).with {
            $0.isStream = true
        },
        Row(
            "/v3electionpb.Election/Resign", "",
            EtcdResignRequest.with {
                $0.leader = .with { ($0.name, $0.key, $0.rev) = (bytes("k4"), bytes("k4/1"), 1) }
            },
            keys),
    ]

    /// What an error of the services of locks and elections is about, which their code does not say.
    private static func code(of status: RPCStatus) -> Code {
        let codes: [String: Code] = [
            "etcdserver: permission denied": .permissionDenied, "etcdserver: user name is empty": .invalidArgument,
            "etcdserver: invalid auth token": .unauthenticated, "election: not leader": .failedPrecondition,
        ]
        return status.code == .unknown ? codes[status.message] ?? .unknown : status.code
    }

    static let rows = kv + lease + others + auth + lines

    @Test func theTableIsComplete() {
        let served = (Method.kv + Method.watch + Method.lease + Method.cluster + Method.maintenance + Method.auth)
            .map { $0.path.replacing("/etcdserverpb.", with: "") }
        let lines =
            ["Lock", "Unlock"].map { "/v3lockpb.Lock/" + $0 }
            + ["Campaign", "Proclaim", "Leader", "Observe", "Resign"].map { "/v3electionpb.Election/" + $0 }
        #expect(Set(Self.rows.map(\.method)) == Set(served + lines))
    }

    @Test(arguments: rows) func eachGetsWhatItMay(_ row: Row) async throws {
        try await AuthServer.with { server in
            func run(_ token: String?) async throws -> Code {
                if row.isStream { return try await outcome(of: row, server, token) }
                return await server.failure(row.method, row.request, token: token).map(Self.code) ?? .ok
            }
            if row.method.hasPrefix("/v3election") {
                try await server.call("KV/Put", Self.put("k4/1"), token: server.tokens["root"])
            }
            #expect(try await run(nil) == row.nobody, "without a token")
            #expect(try await run("abcdefghijklmnop.7") == row.stranger, "a token of nobody")
            #expect(try await run("") == row.stranger, "an empty token")
            for (user, code) in zip(AuthServer.users, row.codes) {
                let token = try #require(server.tokens[user])
                let got = try await run(token)
                #expect(got == code, "\(user)")
            }
        }
    }

    /// A watch says in its first message whether it may, other streams in their status.
    private func outcome(of row: Row, _ server: AuthServer, _ token: String?) async throws -> Code {
        switch try await server.first(row.method, row.request, token: token) {
        case .failure(let status): return Self.code(of: status)
        case .success(let message):
            guard row.method == "Watch/Watch" else { return .ok }
            let answer = try EtcdWatchResponse(serializedBytes: message)
            #expect(answer.created)
            guard answer.canceled else { return .ok }
            #expect(answer.watchID == -1)
            let reasons: [String: Code] = [
                "rpc error: code = PermissionDenied desc = etcdserver: permission denied": .permissionDenied,
                "rpc error: code = InvalidArgument desc = etcdserver: user name is empty": .invalidArgument,
                "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token": .unauthenticated,
            ]
            return try #require(reasons[answer.cancelReason], "\(answer.cancelReason)")
        }
    }

    /// Everybody may do everything where the node is told so, and nobody can log in.
    @Test func withoutEnforcementNothingIsRefused() async throws {
        try await AuthServer.with(enforced: false) { server in
            let refused = await server.failure("Auth/AuthEnable", EtcdAuthEnableRequest())
            #expect(refused?.code == .failedPrecondition)
            try await server.call("KV/Put", Self.put("k1"))
            try await server.call("KV/Range", Self.range("k1"), token: "nonsense")
            let status = try await EtcdAuthStatusResponse(
                serializedBytes: server.call("Auth/AuthStatus", EtcdAuthStatusRequest()))
            #expect(!status.enabled && status.authRevision == 12)
            let login = EtcdAuthenticateRequest.with { ($0.name, $0.password) = ("root", "root") }
            #expect(
                await server.failure("Auth/Authenticate", login)?.message == "etcdserver: authentication is not enabled"
            )
        }
    }
}
