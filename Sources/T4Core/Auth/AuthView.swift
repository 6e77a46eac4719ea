/// Who stands behind a request.
package struct Requester: Hashable, Sendable {
    /// Nil when the request has no token, and none stands in a certificate; empty for a certificate without a name.
    package var user: [UInt8]?
    /// The auth revision of the moment when the token was looked up, or the request came; of a signed token the one that
    /// it says. 0 for nobody.
    package var revision: UInt64

    package init(user: [UInt8]?, revision: UInt64) {
        self.user = user
        self.revision = revision
    }

    /// Somebody without a token, who may do what everybody may.
    package static let nobody = Requester(user: nil, revision: 0)
}

/// What one user may do, added up over the roles.
package final class UserRights: Sendable {
    package let isRoot: Bool
    package let roles: [[UInt8]]
    let readable: KeyIntervals
    let writable: KeyIntervals

    init(_ user: AuthUser, _ roles: [[UInt8]: AuthRole]) {
        isRoot = user.roles.contains(AuthAccounts.root)
        self.roles = user.roles
        let permissions = user.roles.flatMap { roles[$0]?.permissions ?? [] }
        readable = KeyIntervals(permissions.filter { $0.kind != .write })
        writable = KeyIntervals(permissions.filter { $0.kind != .read })
    }
}

/// Accounts of one moment, ready for questions. Never changes.
package final class AuthView: Sendable {
    package let accounts: AuthAccounts
    private let rights: [[UInt8]: UserRights]

    package init(_ accounts: AuthAccounts) {
        self.accounts = accounts
        rights = accounts.users.mapValues { UserRights($0, accounts.roles) }
    }

    package var isEnabled: Bool { accounts.isEnabled }
    package var revision: UInt64 { accounts.revision }

    /// - Parameter requester: Nil for the node itself, which may do everything.
    package func authorization(of requester: Requester?) -> Authorization {
        guard accounts.isEnabled, let requester else { return .unlimited }
        return Authorization(
            requester: requester, rights: requester.user.flatMap { rights[$0] },
            isStale: requester.revision < accounts.revision, isAhead: requester.revision > accounts.revision)
    }
}

/// Answers whether somebody may do something, with etcd's errors.
package struct Authorization: Sendable {
    /// Of the node itself, and of everybody while authentication is off.
    package static let unlimited = Authorization(requester: nil, rights: nil, isStale: false, isAhead: false)

    /// Nil where nothing is refused.
    package let requester: Requester?
    /// Nil for a user that is gone.
    package let rights: UserRights?
    let isStale: Bool
    /// A signed token says a later auth revision than there is: it is of another database, or of one from which this one was
    /// restored.
    package let isAhead: Bool

    package var isUnlimited: Bool { requester == nil }

    /// May read or write everything, so that nothing has to be looked up.
    package var isRoot: Bool { requester == nil || (rights?.isRoot ?? false) }

    /// Reads of a key, or of every key of a range.
    @inline(__always)
    package func requireRead(_ key: [UInt8], to rangeEnd: [UInt8] = []) throws(DatabaseError) {
        if isUnlimited { return }
        let rights = try requireRights()
        guard rights.isRoot || rights.readable.contains(key, to: rangeEnd) else {
            throw DatabaseError(.permissionDenied)
        }
    }

    /// Writes and deletions.
    package func requireWrite(_ key: [UInt8], to rangeEnd: [UInt8] = []) throws(DatabaseError) {
        if isUnlimited { return }
        let rights = try requireRights()
        guard rights.isRoot || rights.writable.contains(key, to: rangeEnd) else {
            throw DatabaseError(.permissionDenied)
        }
    }

    /// Somebody who has logged in or shown a certificate with a name, whoever it is.
    package func requireUser() throws(DatabaseError) {
        if let requester, requester.user?.isEmpty ?? true { throw DatabaseError(.userNameEmpty) }
    }

    /// Somebody with the role root.
    package func requireAdmin() throws(DatabaseError) {
        guard requester != nil else { return }
        try requireUser()
        guard let rights else { throw DatabaseError(.userNotFound) }
        guard rights.isRoot else { throw DatabaseError(.permissionDenied) }
    }

    private func requireRights() throws(DatabaseError) -> UserRights {
        guard let requester, requester.user != nil, requester.revision > 0 else {
            throw DatabaseError(.userNameEmpty)
        }
        if isStale { throw DatabaseError(.authRevisionOld) }
        guard let rights else { throw DatabaseError(.permissionDenied) }
        return rights
    }
}
