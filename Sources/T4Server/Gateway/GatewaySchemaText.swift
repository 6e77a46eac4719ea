/// The messages of the services as the JSON gateway needs them: what `Protos` says, one line for each field.
///
/// A field is a number, a name, `repeated` or `oneof` where it is one, and a type. `GatewaySchemaTests` compares it with
/// `Protos`.
enum GatewaySchemaText {
    static let text = """
        enum authpb.Permission.Type READ=0 WRITE=1 READWRITE=2
        enum etcdserverpb.AlarmRequest.AlarmAction GET=0 ACTIVATE=1 DEACTIVATE=2
        enum etcdserverpb.AlarmType NONE=0 NOSPACE=1 CORRUPT=2
        enum etcdserverpb.Compare.CompareResult EQUAL=0 GREATER=1 LESS=2 NOT_EQUAL=3
        enum etcdserverpb.Compare.CompareTarget VERSION=0 CREATE=1 MOD=2 VALUE=3 LEASE=4
        enum etcdserverpb.DowngradeRequest.DowngradeAction VALIDATE=0 ENABLE=1 CANCEL=2
        enum etcdserverpb.RangeRequest.SortOrder NONE=0 ASCEND=1 DESCEND=2
        enum etcdserverpb.RangeRequest.SortTarget KEY=0 VERSION=1 CREATE=2 MOD=3 VALUE=4
        enum etcdserverpb.WatchCreateRequest.FilterType NOPUT=0 NODELETE=1
        enum mvccpb.Event.EventType PUT=0 DELETE=1
        message authpb.Permission
          1 permType authpb.Permission.Type
          2 key bytes
          3 range_end bytes
        message authpb.Role
          1 name bytes
          2 keyPermission repeated authpb.Permission
        message authpb.User
          1 name bytes
          2 password bytes
          3 roles repeated string
          4 options authpb.UserAddOptions
        message authpb.UserAddOptions
          1 no_password bool
        message etcdserverpb.AlarmMember
          1 memberID uint64
          2 alarm etcdserverpb.AlarmType
        message etcdserverpb.AlarmRequest
          1 action etcdserverpb.AlarmRequest.AlarmAction
          2 memberID uint64
          3 alarm etcdserverpb.AlarmType
        message etcdserverpb.AlarmResponse
          1 header etcdserverpb.ResponseHeader
          2 alarms repeated etcdserverpb.AlarmMember
        message etcdserverpb.AuthDisableRequest
        message etcdserverpb.AuthDisableResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthEnableRequest
        message etcdserverpb.AuthEnableResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthRoleAddRequest
          1 name string
        message etcdserverpb.AuthRoleAddResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthRoleDeleteRequest
          1 role string
        message etcdserverpb.AuthRoleDeleteResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthRoleGetRequest
          1 role string
        message etcdserverpb.AuthRoleGetResponse
          1 header etcdserverpb.ResponseHeader
          2 perm repeated authpb.Permission
        message etcdserverpb.AuthRoleGrantPermissionRequest
          1 name string
          2 perm authpb.Permission
        message etcdserverpb.AuthRoleGrantPermissionResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthRoleListRequest
        message etcdserverpb.AuthRoleListResponse
          1 header etcdserverpb.ResponseHeader
          2 roles repeated string
        message etcdserverpb.AuthRoleRevokePermissionRequest
          1 role string
          2 key bytes
          3 range_end bytes
        message etcdserverpb.AuthRoleRevokePermissionResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthStatusRequest
        message etcdserverpb.AuthStatusResponse
          1 header etcdserverpb.ResponseHeader
          2 enabled bool
          3 authRevision uint64
        message etcdserverpb.AuthUserAddRequest
          1 name string
          2 password string
          3 options authpb.UserAddOptions
          4 hashedPassword string
        message etcdserverpb.AuthUserAddResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthUserChangePasswordRequest
          1 name string
          2 password string
          3 hashedPassword string
        message etcdserverpb.AuthUserChangePasswordResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthUserDeleteRequest
          1 name string
        message etcdserverpb.AuthUserDeleteResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthUserGetRequest
          1 name string
        message etcdserverpb.AuthUserGetResponse
          1 header etcdserverpb.ResponseHeader
          2 roles repeated string
        message etcdserverpb.AuthUserGrantRoleRequest
          1 user string
          2 role string
        message etcdserverpb.AuthUserGrantRoleResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthUserListRequest
        message etcdserverpb.AuthUserListResponse
          1 header etcdserverpb.ResponseHeader
          2 users repeated string
        message etcdserverpb.AuthUserRevokeRoleRequest
          1 name string
          2 role string
        message etcdserverpb.AuthUserRevokeRoleResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.AuthenticateRequest
          1 name string
          2 password string
        message etcdserverpb.AuthenticateResponse
          1 header etcdserverpb.ResponseHeader
          2 token string
        message etcdserverpb.CompactionRequest
          1 revision int64
          2 physical bool
        message etcdserverpb.CompactionResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.Compare
          1 result etcdserverpb.Compare.CompareResult
          2 target etcdserverpb.Compare.CompareTarget
          3 key bytes
          4 version oneof int64
          5 create_revision oneof int64
          6 mod_revision oneof int64
          7 value oneof bytes
          8 lease oneof int64
          64 range_end bytes
        message etcdserverpb.DefragmentRequest
        message etcdserverpb.DefragmentResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.DeleteRangeRequest
          1 key bytes
          2 range_end bytes
          3 prev_kv bool
        message etcdserverpb.DeleteRangeResponse
          1 header etcdserverpb.ResponseHeader
          2 deleted int64
          3 prev_kvs repeated mvccpb.KeyValue
        message etcdserverpb.DowngradeInfo
          1 enabled bool
          2 targetVersion string
        message etcdserverpb.DowngradeRequest
          1 action etcdserverpb.DowngradeRequest.DowngradeAction
          2 version string
        message etcdserverpb.DowngradeResponse
          1 header etcdserverpb.ResponseHeader
          2 version string
        message etcdserverpb.DowngradeVersionTestRequest
          1 ver string
        message etcdserverpb.HashKVRequest
          1 revision int64
        message etcdserverpb.HashKVResponse
          1 header etcdserverpb.ResponseHeader
          2 hash uint32
          3 compact_revision int64
          4 hash_revision int64
        message etcdserverpb.HashRequest
        message etcdserverpb.HashResponse
          1 header etcdserverpb.ResponseHeader
          2 hash uint32
        message etcdserverpb.LeaseCheckpoint
          1 ID int64
          2 remaining_TTL int64
        message etcdserverpb.LeaseCheckpointRequest
          1 checkpoints repeated etcdserverpb.LeaseCheckpoint
        message etcdserverpb.LeaseCheckpointResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.LeaseGrantRequest
          1 TTL int64
          2 ID int64
        message etcdserverpb.LeaseGrantResponse
          1 header etcdserverpb.ResponseHeader
          2 ID int64
          3 TTL int64
          4 error string
        message etcdserverpb.LeaseKeepAliveRequest
          1 ID int64
        message etcdserverpb.LeaseKeepAliveResponse
          1 header etcdserverpb.ResponseHeader
          2 ID int64
          3 TTL int64
        message etcdserverpb.LeaseLeasesRequest
        message etcdserverpb.LeaseLeasesResponse
          1 header etcdserverpb.ResponseHeader
          2 leases repeated etcdserverpb.LeaseStatus
        message etcdserverpb.LeaseRevokeRequest
          1 ID int64
        message etcdserverpb.LeaseRevokeResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.LeaseStatus
          1 ID int64
        message etcdserverpb.LeaseTimeToLiveRequest
          1 ID int64
          2 keys bool
        message etcdserverpb.LeaseTimeToLiveResponse
          1 header etcdserverpb.ResponseHeader
          2 ID int64
          3 TTL int64
          4 grantedTTL int64
          5 keys repeated bytes
        message etcdserverpb.Member
          1 ID uint64
          2 name string
          3 peerURLs repeated string
          4 clientURLs repeated string
          5 isLearner bool
        message etcdserverpb.MemberAddRequest
          1 peerURLs repeated string
          2 isLearner bool
        message etcdserverpb.MemberAddResponse
          1 header etcdserverpb.ResponseHeader
          2 member etcdserverpb.Member
          3 members repeated etcdserverpb.Member
        message etcdserverpb.MemberListRequest
          1 linearizable bool
        message etcdserverpb.MemberListResponse
          1 header etcdserverpb.ResponseHeader
          2 members repeated etcdserverpb.Member
        message etcdserverpb.MemberPromoteRequest
          1 ID uint64
        message etcdserverpb.MemberPromoteResponse
          1 header etcdserverpb.ResponseHeader
          2 members repeated etcdserverpb.Member
        message etcdserverpb.MemberRemoveRequest
          1 ID uint64
        message etcdserverpb.MemberRemoveResponse
          1 header etcdserverpb.ResponseHeader
          2 members repeated etcdserverpb.Member
        message etcdserverpb.MemberUpdateRequest
          1 ID uint64
          2 peerURLs repeated string
        message etcdserverpb.MemberUpdateResponse
          1 header etcdserverpb.ResponseHeader
          2 members repeated etcdserverpb.Member
        message etcdserverpb.MoveLeaderRequest
          1 targetID uint64
        message etcdserverpb.MoveLeaderResponse
          1 header etcdserverpb.ResponseHeader
        message etcdserverpb.PutRequest
          1 key bytes
          2 value bytes
          3 lease int64
          4 prev_kv bool
          5 ignore_value bool
          6 ignore_lease bool
        message etcdserverpb.PutResponse
          1 header etcdserverpb.ResponseHeader
          2 prev_kv mvccpb.KeyValue
        message etcdserverpb.RangeRequest
          1 key bytes
          2 range_end bytes
          3 limit int64
          4 revision int64
          5 sort_order etcdserverpb.RangeRequest.SortOrder
          6 sort_target etcdserverpb.RangeRequest.SortTarget
          7 serializable bool
          8 keys_only bool
          9 count_only bool
          10 min_mod_revision int64
          11 max_mod_revision int64
          12 min_create_revision int64
          13 max_create_revision int64
        message etcdserverpb.RangeResponse
          1 header etcdserverpb.ResponseHeader
          2 kvs repeated mvccpb.KeyValue
          3 more bool
          4 count int64
        message etcdserverpb.RangeStreamResponse
          1 range_response etcdserverpb.RangeResponse
        message etcdserverpb.RequestOp
          1 request_range oneof etcdserverpb.RangeRequest
          2 request_put oneof etcdserverpb.PutRequest
          3 request_delete_range oneof etcdserverpb.DeleteRangeRequest
          4 request_txn oneof etcdserverpb.TxnRequest
        message etcdserverpb.ResponseHeader
          1 cluster_id uint64
          2 member_id uint64
          3 revision int64
          4 raft_term uint64
        message etcdserverpb.ResponseOp
          1 response_range oneof etcdserverpb.RangeResponse
          2 response_put oneof etcdserverpb.PutResponse
          3 response_delete_range oneof etcdserverpb.DeleteRangeResponse
          4 response_txn oneof etcdserverpb.TxnResponse
        message etcdserverpb.SnapshotRequest
        message etcdserverpb.SnapshotResponse
          1 header etcdserverpb.ResponseHeader
          2 remaining_bytes uint64
          3 blob bytes
          4 version string
        message etcdserverpb.StatusRequest
        message etcdserverpb.StatusResponse
          1 header etcdserverpb.ResponseHeader
          2 version string
          3 dbSize int64
          4 leader uint64
          5 raftIndex uint64
          6 raftTerm uint64
          7 raftAppliedIndex uint64
          8 errors repeated string
          9 dbSizeInUse int64
          10 isLearner bool
          11 storageVersion string
          12 dbSizeQuota int64
          13 downgradeInfo etcdserverpb.DowngradeInfo
        message etcdserverpb.TxnRequest
          1 compare repeated etcdserverpb.Compare
          2 success repeated etcdserverpb.RequestOp
          3 failure repeated etcdserverpb.RequestOp
        message etcdserverpb.TxnResponse
          1 header etcdserverpb.ResponseHeader
          2 succeeded bool
          3 responses repeated etcdserverpb.ResponseOp
        message etcdserverpb.WatchCancelRequest
          1 watch_id int64
        message etcdserverpb.WatchCreateRequest
          1 key bytes
          2 range_end bytes
          3 start_revision int64
          4 progress_notify bool
          5 filters repeated etcdserverpb.WatchCreateRequest.FilterType
          6 prev_kv bool
          7 watch_id int64
          8 fragment bool
        message etcdserverpb.WatchProgressRequest
        message etcdserverpb.WatchRequest
          1 create_request oneof etcdserverpb.WatchCreateRequest
          2 cancel_request oneof etcdserverpb.WatchCancelRequest
          3 progress_request oneof etcdserverpb.WatchProgressRequest
        message etcdserverpb.WatchResponse
          1 header etcdserverpb.ResponseHeader
          2 watch_id int64
          3 created bool
          4 canceled bool
          5 compact_revision int64
          6 cancel_reason string
          7 fragment bool
          11 events repeated mvccpb.Event
        message mvccpb.Event
          1 type mvccpb.Event.EventType
          2 kv mvccpb.KeyValue
          3 prev_kv mvccpb.KeyValue
        message mvccpb.KeyValue
          1 key bytes
          2 create_revision int64
          3 mod_revision int64
          4 version int64
          5 value bytes
          6 lease int64
        message v3electionpb.CampaignRequest
          1 name bytes
          2 lease int64
          3 value bytes
        message v3electionpb.CampaignResponse
          1 header etcdserverpb.ResponseHeader
          2 leader v3electionpb.LeaderKey
        message v3electionpb.LeaderKey
          1 name bytes
          2 key bytes
          3 rev int64
          4 lease int64
        message v3electionpb.LeaderRequest
          1 name bytes
        message v3electionpb.LeaderResponse
          1 header etcdserverpb.ResponseHeader
          2 kv mvccpb.KeyValue
        message v3electionpb.ProclaimRequest
          1 leader v3electionpb.LeaderKey
          2 value bytes
        message v3electionpb.ProclaimResponse
          1 header etcdserverpb.ResponseHeader
        message v3electionpb.ResignRequest
          1 leader v3electionpb.LeaderKey
        message v3electionpb.ResignResponse
          1 header etcdserverpb.ResponseHeader
        message v3lockpb.LockRequest
          1 name bytes
          2 lease int64
        message v3lockpb.LockResponse
          1 header etcdserverpb.ResponseHeader
          2 key bytes
        message v3lockpb.UnlockRequest
          1 key bytes
        message v3lockpb.UnlockResponse
          1 header etcdserverpb.ResponseHeader
        rpc /etcdserverpb.Auth/AuthEnable etcdserverpb.AuthEnableRequest etcdserverpb.AuthEnableResponse
        rpc /etcdserverpb.Auth/AuthDisable etcdserverpb.AuthDisableRequest etcdserverpb.AuthDisableResponse
        rpc /etcdserverpb.Auth/AuthStatus etcdserverpb.AuthStatusRequest etcdserverpb.AuthStatusResponse
        rpc /etcdserverpb.Auth/Authenticate etcdserverpb.AuthenticateRequest etcdserverpb.AuthenticateResponse
        rpc /etcdserverpb.Auth/UserAdd etcdserverpb.AuthUserAddRequest etcdserverpb.AuthUserAddResponse
        rpc /etcdserverpb.Auth/UserGet etcdserverpb.AuthUserGetRequest etcdserverpb.AuthUserGetResponse
        rpc /etcdserverpb.Auth/UserList etcdserverpb.AuthUserListRequest etcdserverpb.AuthUserListResponse
        rpc /etcdserverpb.Auth/UserDelete etcdserverpb.AuthUserDeleteRequest etcdserverpb.AuthUserDeleteResponse
        rpc /etcdserverpb.Auth/UserChangePassword etcdserverpb.AuthUserChangePasswordRequest etcdserverpb.AuthUserChangePasswordResponse
        rpc /etcdserverpb.Auth/UserGrantRole etcdserverpb.AuthUserGrantRoleRequest etcdserverpb.AuthUserGrantRoleResponse
        rpc /etcdserverpb.Auth/UserRevokeRole etcdserverpb.AuthUserRevokeRoleRequest etcdserverpb.AuthUserRevokeRoleResponse
        rpc /etcdserverpb.Auth/RoleAdd etcdserverpb.AuthRoleAddRequest etcdserverpb.AuthRoleAddResponse
        rpc /etcdserverpb.Auth/RoleGet etcdserverpb.AuthRoleGetRequest etcdserverpb.AuthRoleGetResponse
        rpc /etcdserverpb.Auth/RoleList etcdserverpb.AuthRoleListRequest etcdserverpb.AuthRoleListResponse
        rpc /etcdserverpb.Auth/RoleDelete etcdserverpb.AuthRoleDeleteRequest etcdserverpb.AuthRoleDeleteResponse
        rpc /etcdserverpb.Auth/RoleGrantPermission etcdserverpb.AuthRoleGrantPermissionRequest etcdserverpb.AuthRoleGrantPermissionResponse
        rpc /etcdserverpb.Auth/RoleRevokePermission etcdserverpb.AuthRoleRevokePermissionRequest etcdserverpb.AuthRoleRevokePermissionResponse
        rpc /etcdserverpb.Cluster/MemberAdd etcdserverpb.MemberAddRequest etcdserverpb.MemberAddResponse
        rpc /etcdserverpb.Cluster/MemberRemove etcdserverpb.MemberRemoveRequest etcdserverpb.MemberRemoveResponse
        rpc /etcdserverpb.Cluster/MemberUpdate etcdserverpb.MemberUpdateRequest etcdserverpb.MemberUpdateResponse
        rpc /etcdserverpb.Cluster/MemberList etcdserverpb.MemberListRequest etcdserverpb.MemberListResponse
        rpc /etcdserverpb.Cluster/MemberPromote etcdserverpb.MemberPromoteRequest etcdserverpb.MemberPromoteResponse
        rpc /etcdserverpb.KV/Range etcdserverpb.RangeRequest etcdserverpb.RangeResponse
        rpc /etcdserverpb.KV/RangeStream etcdserverpb.RangeRequest etcdserverpb.RangeStreamResponse
        rpc /etcdserverpb.KV/Put etcdserverpb.PutRequest etcdserverpb.PutResponse
        rpc /etcdserverpb.KV/DeleteRange etcdserverpb.DeleteRangeRequest etcdserverpb.DeleteRangeResponse
        rpc /etcdserverpb.KV/Txn etcdserverpb.TxnRequest etcdserverpb.TxnResponse
        rpc /etcdserverpb.KV/Compact etcdserverpb.CompactionRequest etcdserverpb.CompactionResponse
        rpc /etcdserverpb.Lease/LeaseGrant etcdserverpb.LeaseGrantRequest etcdserverpb.LeaseGrantResponse
        rpc /etcdserverpb.Lease/LeaseRevoke etcdserverpb.LeaseRevokeRequest etcdserverpb.LeaseRevokeResponse
        rpc /etcdserverpb.Lease/LeaseKeepAlive etcdserverpb.LeaseKeepAliveRequest etcdserverpb.LeaseKeepAliveResponse
        rpc /etcdserverpb.Lease/LeaseTimeToLive etcdserverpb.LeaseTimeToLiveRequest etcdserverpb.LeaseTimeToLiveResponse
        rpc /etcdserverpb.Lease/LeaseLeases etcdserverpb.LeaseLeasesRequest etcdserverpb.LeaseLeasesResponse
        rpc /etcdserverpb.Maintenance/Alarm etcdserverpb.AlarmRequest etcdserverpb.AlarmResponse
        rpc /etcdserverpb.Maintenance/Status etcdserverpb.StatusRequest etcdserverpb.StatusResponse
        rpc /etcdserverpb.Maintenance/Defragment etcdserverpb.DefragmentRequest etcdserverpb.DefragmentResponse
        rpc /etcdserverpb.Maintenance/Hash etcdserverpb.HashRequest etcdserverpb.HashResponse
        rpc /etcdserverpb.Maintenance/HashKV etcdserverpb.HashKVRequest etcdserverpb.HashKVResponse
        rpc /etcdserverpb.Maintenance/Snapshot etcdserverpb.SnapshotRequest etcdserverpb.SnapshotResponse
        rpc /etcdserverpb.Maintenance/MoveLeader etcdserverpb.MoveLeaderRequest etcdserverpb.MoveLeaderResponse
        rpc /etcdserverpb.Maintenance/Downgrade etcdserverpb.DowngradeRequest etcdserverpb.DowngradeResponse
        rpc /etcdserverpb.Watch/Watch etcdserverpb.WatchRequest etcdserverpb.WatchResponse
        rpc /v3electionpb.Election/Campaign v3electionpb.CampaignRequest v3electionpb.CampaignResponse
        rpc /v3electionpb.Election/Proclaim v3electionpb.ProclaimRequest v3electionpb.ProclaimResponse
        rpc /v3electionpb.Election/Leader v3electionpb.LeaderRequest v3electionpb.LeaderResponse
        rpc /v3electionpb.Election/Observe v3electionpb.LeaderRequest v3electionpb.LeaderResponse
        rpc /v3electionpb.Election/Resign v3electionpb.ResignRequest v3electionpb.ResignResponse
        rpc /v3lockpb.Lock/Lock v3lockpb.LockRequest v3lockpb.LockResponse
        rpc /v3lockpb.Lock/Unlock v3lockpb.UnlockRequest v3lockpb.UnlockResponse
        """
}
