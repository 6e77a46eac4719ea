/// Why a request was refused or failed. The server maps each code to etcd's gRPC code and text.
public struct DatabaseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    public enum Code: String, Hashable, Sendable {
        /// An empty key.
        case keyNotProvided
        /// `ignoreValue` or `ignoreLease` on an absent key, or an empty operation in a transaction.
        case keyNotFound
        /// A value together with `ignoreValue`.
        case valueProvided
        /// A lease together with `ignoreLease`.
        case leaseProvided
        /// A transaction with more operations than the limit.
        case tooManyOperations
        /// One branch of a transaction writes a key twice.
        case duplicateKey
        /// A sort order or target that does not exist.
        case invalidSortOption
        /// The request is larger than the limit.
        case requestTooLarge
        /// The revision is older than the compacted one.
        case compacted
        /// The revision is newer than the store's.
        case futureRevision
        /// No such lease.
        case leaseNotFound
        /// A lease of that id exists.
        case leaseExists
        /// A TTL above 9,000,000,000 seconds.
        case leaseTTLTooLarge
        /// The disk is full, or an alarm says so; nothing was written.
        case noSpace
        /// An alarm says that data is corrupt; nothing was written, and nothing will be until it is disarmed.
        case corrupt
        /// Too many requests wait for the log; nothing was written, try again.
        case tooManyRequests
        /// The object store does not answer and writes have to be in it: nothing was written, try again later.
        case storeUnavailable
        /// Nobody leads the cluster at the moment, as far as this node knows: nothing was written, try again.
        case noLeader
        /// Fewer nodes are in sync than writes are to be acknowledged by: nothing was written, try again later.
        case tooFewInSync
        /// This node takes no writes: nothing was written, ask another one.
        case readOnly
        /// The node is stopping or has failed: nothing was written.
        case stopped
        /// The request may or may not have been written: read before repeating it.
        case outcomeUnknown
        /// The local engine failed; the node must be restarted.
        case engineFailed

        /// The user may not do that.
        case permissionDenied
        /// A request without a token, or a user without a name.
        case userNameEmpty
        /// A role without a name.
        case roleNameEmpty
        /// A user of that name exists.
        case userExists
        /// No such user.
        case userNotFound
        /// A role of that name exists.
        case roleExists
        /// No such role.
        case roleNotFound
        /// The user does not have that role.
        case roleNotGranted
        /// A grant without a permission.
        case permissionNotGiven
        /// The role does not have that permission.
        case permissionNotGranted
        /// Nobody can log in while authentication is off.
        case authNotEnabled
        /// Wrong user name or password.
        case authenticationFailed
        /// The user has no password to log in with, or a hash that is none was given.
        case noPasswordUser
        /// Too many failed logins of that user: not even the right password counts for some time.
        case userLocked
        /// The token is not, or no longer, one of a login.
        case invalidAuthToken
        /// Users, roles or permissions changed while the request was on its way: look the token up again.
        case authRevisionOld
        /// Would take from root what it needs while authentication is on, or a permission on a range that is none.
        case invalidAuthManagement
        /// Authentication needs a user root.
        case rootUserMissing
        /// Authentication needs a user root with the role root.
        case rootRoleMissing
    }

    /// What a caller can act on.
    public var code: Code
    /// What failed, and what to try.
    public var message: String

    /// Describes a failure.
    public init(_ code: Code, _ message: String = "") {
        self.code = code
        self.message = message
    }

    /// Code and message.
    public var description: String { message.isEmpty ? code.rawValue : "\(code.rawValue): \(message)" }
}
