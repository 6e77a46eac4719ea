import EtcdAPI
import SwiftProtobuf

/// What a step can ask for. All are unary calls but those that say so.
enum Verb: String, CaseIterable, Sendable {
    case range = "Range"
    case put = "Put"
    case deleteRange = "DeleteRange"
    case txn = "Txn"
    case compact = "Compact"
    case leaseGrant = "LeaseGrant"
    case leaseRevoke = "LeaseRevoke"
    case leaseTimeToLive = "LeaseTimeToLive"
    case leaseLeases = "LeaseLeases"
    case memberList = "MemberList"
    case memberRemove = "MemberRemove"
    case memberPromote = "MemberPromote"
    case status = "Status"
    case alarm = "Alarm"
    case defragment = "Defragment"
    case hash = "Hash"
    case hashKV = "HashKV"
    case moveLeader = "MoveLeader"
    case authStatus = "AuthStatus"
    case authDisable = "AuthDisable"
    case authenticate = "Authenticate"
    case authEnable = "AuthEnable"
    case userAdd = "UserAdd"
    case userGet = "UserGet"
    case userList = "UserList"
    case userDelete = "UserDelete"
    case userChangePassword = "UserChangePassword"
    case userGrantRole = "UserGrantRole"
    case userRevokeRole = "UserRevokeRole"
    case roleAdd = "RoleAdd"
    case roleGet = "RoleGet"
    case roleList = "RoleList"
    case roleDelete = "RoleDelete"
    case roleGrantPermission = "RoleGrantPermission"
    case roleRevokePermission = "RoleRevokePermission"
    /// One request on a stream of its own.
    case keepAlive = "LeaseKeepAlive"
    /// One request on a watch stream that stays open.
    case watch = "Watch"
    /// The end of the client's side of a watch stream.
    case watchEnd = "WatchEnd"
    case unlock = "Unlock"
    case proclaim = "Proclaim"
    case resign = "Resign"
    case leader = "Leader"
    /// One request on a call that stays open until it is its turn, or longer.
    case lock = "Lock"
    case campaign = "Campaign"
    case observe = "Observe"
    /// The end of such a call.
    case cancel = "Cancel"

    var isForStream: Bool { [.watch, .watchEnd, .lock, .campaign, .observe, .cancel].contains(self) }
}

/// How the messages of a verb travel.
struct VerbCodec: Sendable {
    let path: String
    /// From text to the bytes of the request.
    let encode: @Sendable (_ text: String) throws -> [UInt8]
    /// From the bytes of the answer to text.
    let text: @Sendable (_ answer: [UInt8]) throws -> String

    private init<Request: Message, Answer: Message>(
        _ path: String, in package: String = "etcdserverpb", _: Request.Type, _: Answer.Type
    ) {
        self.path = "/\(package).\(path)"
        encode = { try Request(textFormatString: $0).serializedBytes() }
        text = { try Answer(serializedBytes: $0).textFormatString() }
    }

    private static let byVerb: [Verb: VerbCodec] = [
        .range: VerbCodec("KV/Range", EtcdRangeRequest.self, EtcdRangeResponse.self),
        .put: VerbCodec("KV/Put", EtcdPutRequest.self, EtcdPutResponse.self),
        .deleteRange: VerbCodec("KV/DeleteRange", EtcdDeleteRangeRequest.self, EtcdDeleteRangeResponse.self),
        .txn: VerbCodec("KV/Txn", EtcdTxnRequest.self, EtcdTxnResponse.self),
        .compact: VerbCodec("KV/Compact", EtcdCompactionRequest.self, EtcdCompactionResponse.self),
        .leaseGrant: VerbCodec("Lease/LeaseGrant", EtcdLeaseGrantRequest.self, EtcdLeaseGrantResponse.self),
        .leaseRevoke: VerbCodec("Lease/LeaseRevoke", EtcdLeaseRevokeRequest.self, EtcdLeaseRevokeResponse.self),
        .leaseTimeToLive: VerbCodec(
            "Lease/LeaseTimeToLive", EtcdLeaseTimeToLiveRequest.self, EtcdLeaseTimeToLiveResponse.self),
        .leaseLeases: VerbCodec("Lease/LeaseLeases", EtcdLeaseLeasesRequest.self, EtcdLeaseLeasesResponse.self),
        .keepAlive: VerbCodec(
            "Lease/LeaseKeepAlive", EtcdLeaseKeepAliveRequest.self, EtcdLeaseKeepAliveResponse.self),
        .memberList: VerbCodec("Cluster/MemberList", EtcdMemberListRequest.self, EtcdMemberListResponse.self),
        .memberRemove: VerbCodec("Cluster/MemberRemove", EtcdMemberRemoveRequest.self, EtcdMemberRemoveResponse.self),
        .memberPromote: VerbCodec(
            "Cluster/MemberPromote", EtcdMemberPromoteRequest.self, EtcdMemberPromoteResponse.self),
        .status: VerbCodec("Maintenance/Status", EtcdStatusRequest.self, EtcdStatusResponse.self),
        .alarm: VerbCodec("Maintenance/Alarm", EtcdAlarmRequest.self, EtcdAlarmResponse.self),
        .defragment: VerbCodec("Maintenance/Defragment", EtcdDefragmentRequest.self, EtcdDefragmentResponse.self),
        .hash: VerbCodec("Maintenance/Hash", EtcdHashRequest.self, EtcdHashResponse.self),
        .hashKV: VerbCodec("Maintenance/HashKV", EtcdHashKVRequest.self, EtcdHashKVResponse.self),
        .moveLeader: VerbCodec("Maintenance/MoveLeader", EtcdMoveLeaderRequest.self, EtcdMoveLeaderResponse.self),
        .authStatus: VerbCodec("Auth/AuthStatus", EtcdAuthStatusRequest.self, EtcdAuthStatusResponse.self),
        .authDisable: VerbCodec("Auth/AuthDisable", EtcdAuthDisableRequest.self, EtcdAuthDisableResponse.self),
        .authenticate: VerbCodec("Auth/Authenticate", EtcdAuthenticateRequest.self, EtcdAuthenticateResponse.self),
        .userList: VerbCodec("Auth/UserList", EtcdAuthUserListRequest.self, EtcdAuthUserListResponse.self),
        .roleList: VerbCodec("Auth/RoleList", EtcdAuthRoleListRequest.self, EtcdAuthRoleListResponse.self),
        .authEnable: VerbCodec("Auth/AuthEnable", EtcdAuthEnableRequest.self, EtcdAuthEnableResponse.self),
        .userAdd: VerbCodec("Auth/UserAdd", EtcdAuthUserAddRequest.self, EtcdAuthUserAddResponse.self),
        .userGet: VerbCodec("Auth/UserGet", EtcdAuthUserGetRequest.self, EtcdAuthUserGetResponse.self),
        .userDelete: VerbCodec("Auth/UserDelete", EtcdAuthUserDeleteRequest.self, EtcdAuthUserDeleteResponse.self),
        .userChangePassword: VerbCodec(
            "Auth/UserChangePassword", EtcdAuthUserChangePasswordRequest.self,
            EtcdAuthUserChangePasswordResponse.self),
        .userGrantRole: VerbCodec(
            "Auth/UserGrantRole", EtcdAuthUserGrantRoleRequest.self, EtcdAuthUserGrantRoleResponse.self),
        .userRevokeRole: VerbCodec(
            "Auth/UserRevokeRole", EtcdAuthUserRevokeRoleRequest.self, EtcdAuthUserRevokeRoleResponse.self),
        .roleAdd: VerbCodec("Auth/RoleAdd", EtcdAuthRoleAddRequest.self, EtcdAuthRoleAddResponse.self),
        .roleGet: VerbCodec("Auth/RoleGet", EtcdAuthRoleGetRequest.self, EtcdAuthRoleGetResponse.self),
        .roleDelete: VerbCodec("Auth/RoleDelete", EtcdAuthRoleDeleteRequest.self, EtcdAuthRoleDeleteResponse.self),
        .roleGrantPermission: VerbCodec(
            "Auth/RoleGrantPermission", EtcdAuthRoleGrantPermissionRequest.self,
            EtcdAuthRoleGrantPermissionResponse.self),
        .roleRevokePermission: VerbCodec(
            "Auth/RoleRevokePermission", EtcdAuthRoleRevokePermissionRequest.self,
            EtcdAuthRoleRevokePermissionResponse.self),
        .watch: VerbCodec("Watch/Watch", EtcdWatchRequest.self, EtcdWatchResponse.self),
        .watchEnd: VerbCodec("Watch/Watch", EtcdWatchRequest.self, EtcdWatchResponse.self),
        .lock: VerbCodec("Lock/Lock", in: "v3lockpb", EtcdLockRequest.self, EtcdLockResponse.self),
        .unlock: VerbCodec("Lock/Unlock", in: "v3lockpb", EtcdUnlockRequest.self, EtcdUnlockResponse.self),
        .campaign: VerbCodec(
            "Election/Campaign", in: "v3electionpb", EtcdCampaignRequest.self, EtcdCampaignResponse.self),
        .proclaim: VerbCodec(
            "Election/Proclaim", in: "v3electionpb", EtcdProclaimRequest.self, EtcdProclaimResponse.self),
        .resign: VerbCodec("Election/Resign", in: "v3electionpb", EtcdResignRequest.self, EtcdResignResponse.self),
        .leader: VerbCodec("Election/Leader", in: "v3electionpb", EtcdLeaderRequest.self, EtcdLeaderResponse.self),
        .observe: VerbCodec("Election/Observe", in: "v3electionpb", EtcdLeaderRequest.self, EtcdLeaderResponse.self),
        .cancel: VerbCodec("Lock/Lock", in: "v3lockpb", EtcdLockRequest.self, EtcdLockResponse.self),
    ]

    /// Every verb has one; the tests of the parts see to that.
    static func of(_ verb: Verb) -> VerbCodec {
        guard let codec = byVerb[verb] else { preconditionFailure("\(verb) has no messages") }
        return codec
    }
}
