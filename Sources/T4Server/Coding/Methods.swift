/// A method of the gRPC services that t4 knows.
package struct Method: Hashable, Sendable {
    /// Who sends a stream of messages.
    package enum Streaming: Hashable, Sendable {
        /// One message each way.
        case none
        /// The server.
        case answers
        /// Both.
        case both
    }

    /// Full name, such as `etcdserverpb.KV`.
    package var service: String
    /// Name within the service.
    package var name: String
    /// Who sends a stream.
    package var streaming: Streaming
    /// Paths of the JSON gateway without the leading `/v3/`; most methods have one, a few two or none.
    package var gatewayPaths: [String]
    /// The `:path` of a gRPC request.
    package var path: String

    init(_ service: String, _ name: String, _ streaming: Streaming = .none, gateway: String...) {
        self.service = service
        self.name = name
        self.streaming = streaming
        gatewayPaths = gateway
        path = "/\(service)/\(name)"
    }
}

extension Method {
    /// All methods of all services.
    package static let all = kv + watch + lease + cluster + maintenance + auth + lock + election + health

    /// Reads, writes and transactions.
    package static let kv = [
        Method("etcdserverpb.KV", "Range", gateway: "kv/range"),
        Method("etcdserverpb.KV", "RangeStream", .answers),
        Method("etcdserverpb.KV", "Put", gateway: "kv/put"),
        Method("etcdserverpb.KV", "DeleteRange", gateway: "kv/deleterange"),
        Method("etcdserverpb.KV", "Txn", gateway: "kv/txn"),
        Method("etcdserverpb.KV", "Compact", gateway: "kv/compaction"),
    ]

    /// Following changes.
    package static let watch = [Method("etcdserverpb.Watch", "Watch", .both, gateway: "watch")]

    /// Leases.
    package static let lease = [
        Method("etcdserverpb.Lease", "LeaseGrant", gateway: "lease/grant"),
        Method("etcdserverpb.Lease", "LeaseRevoke", gateway: "lease/revoke", "kv/lease/revoke"),
        Method("etcdserverpb.Lease", "LeaseKeepAlive", .both, gateway: "lease/keepalive"),
        Method("etcdserverpb.Lease", "LeaseTimeToLive", gateway: "lease/timetolive", "kv/lease/timetolive"),
        Method("etcdserverpb.Lease", "LeaseLeases", gateway: "lease/leases", "kv/lease/leases"),
    ]

    /// Members.
    package static let cluster = [
        Method("etcdserverpb.Cluster", "MemberAdd", gateway: "cluster/member/add"),
        Method("etcdserverpb.Cluster", "MemberRemove", gateway: "cluster/member/remove"),
        Method("etcdserverpb.Cluster", "MemberUpdate", gateway: "cluster/member/update"),
        Method("etcdserverpb.Cluster", "MemberList", gateway: "cluster/member/list"),
        Method("etcdserverpb.Cluster", "MemberPromote", gateway: "cluster/member/promote"),
    ]

    /// State of a member and its upkeep.
    package static let maintenance = [
        Method("etcdserverpb.Maintenance", "Alarm", gateway: "maintenance/alarm"),
        Method("etcdserverpb.Maintenance", "Status", gateway: "maintenance/status"),
        Method("etcdserverpb.Maintenance", "Defragment", gateway: "maintenance/defragment"),
        Method("etcdserverpb.Maintenance", "Hash", gateway: "maintenance/hash"),
        Method("etcdserverpb.Maintenance", "HashKV", gateway: "maintenance/hashkv"),
        Method("etcdserverpb.Maintenance", "Snapshot", .answers, gateway: "maintenance/snapshot"),
        Method("etcdserverpb.Maintenance", "MoveLeader", gateway: "maintenance/transfer-leadership"),
        Method("etcdserverpb.Maintenance", "Downgrade", gateway: "maintenance/downgrade"),
    ]

    /// Users and roles.
    package static let auth = [
        Method("etcdserverpb.Auth", "AuthEnable", gateway: "auth/enable"),
        Method("etcdserverpb.Auth", "AuthDisable", gateway: "auth/disable"),
        Method("etcdserverpb.Auth", "AuthStatus", gateway: "auth/status"),
        Method("etcdserverpb.Auth", "Authenticate", gateway: "auth/authenticate"),
        Method("etcdserverpb.Auth", "UserAdd", gateway: "auth/user/add"),
        Method("etcdserverpb.Auth", "UserGet", gateway: "auth/user/get"),
        Method("etcdserverpb.Auth", "UserList", gateway: "auth/user/list"),
        Method("etcdserverpb.Auth", "UserDelete", gateway: "auth/user/delete"),
        Method("etcdserverpb.Auth", "UserChangePassword", gateway: "auth/user/changepw"),
        Method("etcdserverpb.Auth", "UserGrantRole", gateway: "auth/user/grant"),
        Method("etcdserverpb.Auth", "UserRevokeRole", gateway: "auth/user/revoke"),
        Method("etcdserverpb.Auth", "RoleAdd", gateway: "auth/role/add"),
        Method("etcdserverpb.Auth", "RoleGet", gateway: "auth/role/get"),
        Method("etcdserverpb.Auth", "RoleList", gateway: "auth/role/list"),
        Method("etcdserverpb.Auth", "RoleDelete", gateway: "auth/role/delete"),
        Method("etcdserverpb.Auth", "RoleGrantPermission", gateway: "auth/role/grant"),
        Method("etcdserverpb.Auth", "RoleRevokePermission", gateway: "auth/role/revoke"),
    ]

    /// Locks.
    package static let lock = [
        Method("v3lockpb.Lock", "Lock", gateway: "lock/lock"),
        Method("v3lockpb.Lock", "Unlock", gateway: "lock/unlock"),
    ]

    /// Elections of clients.
    package static let election = [
        Method("v3electionpb.Election", "Campaign", gateway: "election/campaign"),
        Method("v3electionpb.Election", "Proclaim", gateway: "election/proclaim"),
        Method("v3electionpb.Election", "Leader", gateway: "election/leader"),
        Method("v3electionpb.Election", "Observe", .answers, gateway: "election/observe"),
        Method("v3electionpb.Election", "Resign", gateway: "election/resign"),
    ]

    /// gRPC health.
    package static let health = [
        Method("grpc.health.v1.Health", "Check"),
        Method("grpc.health.v1.Health", "List"),
        Method("grpc.health.v1.Health", "Watch", .answers),
    ]
}
