import RPC
import T4Core

/// The one table from our errors to what etcd's clients compare: gRPC code and text, byte for byte.
enum EtcdErrors {
    static let noLeaderOfCluster = status(.unavailable, "no leader")
    static let notTheLeader = status(.failedPrecondition, "not leader")
    static let leaderTransferTimeout = status(.unavailable, "request timed out, leader transfer took too long")
    static let badLeaderTransferee = status(.failedPrecondition, "bad leader transferee")
    static let memberNotFound = status(.notFound, "member not found")
    static let badMemberURLs = status(.invalidArgument, "given member URLs are invalid")
    static let notALearner = status(.failedPrecondition, "can only promote a learner member")
    /// Of this code in etcd 3.5 and 3.6.
    static let notEnoughMembers = RPCStatus(
        .unknown, "etcdserver: re-configuration failed due to not enough started members")
    static let wrongDowngradeVersion = status(.invalidArgument, "wrong downgrade target version format")
    static let invalidDowngradeTarget = status(.invalidArgument, "invalid downgrade target version")
    static let noDowngrade = status(.failedPrecondition, "no inflight downgrade job")

    // etcd's lock and election services are clients of their own server: all their errors are of this code, and those of
    // the other services keep their text.
    static let lockLost = RPCStatus(.unknown, "mutex: session is expired")
    static let noLeader = RPCStatus(.unknown, "election: no leader")
    static let notLeader = RPCStatus(.unknown, "election: not leader")
    static let leaderMissing = RPCStatus(.unknown, "\"leader\" field must be provided")

    /// What clients of the lock and election services are told in place of `status`.
    static func passedOn(_ status: RPCStatus) -> RPCStatus { RPCStatus(.unknown, status.message) }

    /// etcd has no status of its own for this one either.
    static let verifyOnly = RPCStatus(.unknown, "auth: token signing attempted with verify-only key")

    static let stopped = status(.unavailable, "server stopped")

    /// What a client is told. Go clients map errors back by the text, so nothing is added to it.
    static func status(_ error: DatabaseError) -> RPCStatus {
        switch error.code {
        case .keyNotProvided: status(.invalidArgument, "key is not provided")
        case .keyNotFound: status(.invalidArgument, "key not found")
        case .valueProvided: status(.invalidArgument, "value is provided")
        case .leaseProvided: status(.invalidArgument, "lease is provided")
        case .tooManyOperations: status(.invalidArgument, "too many operations in txn request")
        case .duplicateKey: status(.invalidArgument, "duplicate key given in txn request")
        case .invalidSortOption: status(.invalidArgument, "invalid sort option")
        case .requestTooLarge: status(.invalidArgument, "request is too large")
        case .compacted: status(.outOfRange, "mvcc: required revision has been compacted")
        case .futureRevision: status(.outOfRange, "mvcc: required revision is a future revision")
        case .leaseNotFound: status(.notFound, "requested lease not found")
        case .leaseExists: status(.failedPrecondition, "lease already exists")
        case .leaseTTLTooLarge: status(.outOfRange, "too large lease TTL")
        case .noSpace: status(.resourceExhausted, "mvcc: database space exceeded")
        case .corrupt: status(.dataLoss, "corrupt cluster")
        case .tooManyRequests: status(.resourceExhausted, "too many requests")
        // Nothing was written, so that clients may repeat it at once.
        case .storeUnavailable: status(.unavailable, "object store unavailable")
        case .noLeader: status(.unavailable, "no leader")
        case .tooFewInSync: status(.unavailable, "too few nodes are in sync")
        // What etcd's members say that only follow.
        case .readOnly: status(.unavailable, "rpc not supported for learner")
        case .stopped: stopped
        // Clients must not repeat a write whose outcome nobody knows: this text is not among those they retry.
        case .outcomeUnknown: status(.unavailable, "request timed out")
        // The node refuses everything until it is restarted; a client may try another one.
        case .engineFailed: RPCStatus(.unavailable, "etcdserver: server stopped")
        case .permissionDenied: status(.permissionDenied, "permission denied")
        case .userNameEmpty: status(.invalidArgument, "user name is empty")
        case .roleNameEmpty: status(.invalidArgument, "role name is empty")
        case .userExists: status(.failedPrecondition, "user name already exists")
        case .userNotFound: status(.failedPrecondition, "user name not found")
        case .roleExists: status(.failedPrecondition, "role name already exists")
        case .roleNotFound: status(.failedPrecondition, "role name not found")
        case .roleNotGranted: status(.failedPrecondition, "role is not granted to the user")
        case .permissionNotGiven: status(.invalidArgument, "permission not given")
        case .permissionNotGranted: status(.failedPrecondition, "permission is not granted to the role")
        case .authNotEnabled: status(.failedPrecondition, "authentication is not enabled")
        case .authenticationFailed:
            status(.invalidArgument, "authentication failed, invalid user ID or password")
        // etcd has no status of its own for this one.
        case .noPasswordUser:
            RPCStatus(.unknown, "auth: authentication failed, password was given for no password user")
        case .userLocked: RPCStatus(.resourceExhausted, "t4: too many failed logins of this user, try again later")
        case .invalidAuthToken: status(.unauthenticated, "invalid auth token")
        case .authRevisionOld: status(.invalidArgument, "revision of auth store is old")
        case .invalidAuthManagement: status(.invalidArgument, "invalid auth management")
        case .rootUserMissing: status(.failedPrecondition, "root user does not exist")
        case .rootRoleMissing: status(.failedPrecondition, "root user does not have root role")
        }
    }

    private static func status(_ code: RPCStatus.Code, _ text: String) -> RPCStatus {
        RPCStatus(code, "etcdserver: " + text)
    }
}
