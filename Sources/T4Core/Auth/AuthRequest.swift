/// A change of users, roles or tokens, before it is decided. Passwords are hashed by then.
package enum AuthRequest: Hashable, Sendable {
    case enable
    case disable
    case addUser(AuthUser)
    case deleteUser([UInt8])
    /// - Parameter password: The hash.
    case changePassword(user: [UInt8], password: [UInt8])
    case grantRole(user: [UInt8], role: [UInt8])
    case revokeRole(user: [UInt8], role: [UInt8])
    case addRole([UInt8])
    case deleteRole([UInt8])
    case grantPermission(role: [UInt8], AuthPermission)
    case revokePermission(role: [UInt8], key: [UInt8], rangeEnd: [UInt8])
    /// Somebody has logged in.
    /// - Parameter checkedRevision: The auth revision whose password was compared.
    case issueToken(AuthToken, checkedRevision: UInt64)
    /// A token is in use: it is to expire later.
    case extendToken(hash: [UInt8], expires: UInt64)
    /// These have not been used for too long.
    case removeTokens(hashes: [[UInt8]])

    /// Takes away from what is stored, or adds next to nothing.
    var freesSpace: Bool {
        switch self {
        case .disable, .deleteUser, .revokeRole, .deleteRole, .revokePermission, .removeTokens: true
        case .enable, .addUser, .changePassword, .grantRole, .addRole, .grantPermission, .issueToken, .extendToken:
            false
        }
    }

    /// Done by the node itself, whoever may ask.
    var isAboutTokens: Bool {
        switch self {
        case .issueToken, .extendToken, .removeTokens: true
        default: false
        }
    }

    var byteCount: Int {
        switch self {
        case .enable, .disable, .issueToken, .extendToken: 256
        case .addUser(let user): 256 + user.name.count + user.password.count
        case .changePassword(let name, let password): 256 + name.count + password.count
        case .deleteUser(let name), .addRole(let name), .deleteRole(let name): 256 + name.count
        case .grantRole(let user, let role), .revokeRole(let user, let role): 256 + user.count + role.count
        case .grantPermission(let role, let permission):
            256 + role.count + permission.key.count + permission.rangeEnd.count
        case .revokePermission(let role, let key, let end): 256 + role.count + key.count + end.count
        case .removeTokens(let hashes): 256 + 128 * hashes.count
        }
    }
}

// What each request changes, and what etcd refuses (etcd: server/auth/store.go). Nothing is changed here: the changes
// that are returned make the new state when they are applied.
extension AuthState {
    /// - Returns: Nothing for what succeeds without a change.
    package func decide(_ request: AuthRequest) throws(DatabaseError) -> [AuthChange] {
        switch request {
        case .enable: return try enable()
        case .disable: return disable()
        case .addUser(let user): return try addUser(user)
        case .deleteUser(let name): return try deleteUser(name)
        case .changePassword(let name, let password): return try changePassword(of: name, to: password)
        case .grantRole(let user, let role): return try grantRole(role, to: user)
        case .revokeRole(let user, let role): return try revokeRole(role, from: user)
        case .addRole(let name): return try addRole(name)
        case .deleteRole(let name): return try deleteRole(name)
        case .grantPermission(let role, let permission): return try grant(permission, to: role)
        case .revokePermission(let role, let key, let end): return try revokePermission(key, end, of: role)
        case .issueToken(let token, let revision): return try issue(token, checkedRevision: revision)
        case .extendToken(let hash, let expires):
            guard let token = tokens[hash], token.expires < expires else { return [] }
            var extended = token
            extended.expires = expires
            return [AuthChange(from: .token(token), to: .token(extended))]
        case .removeTokens(let hashes): return hashes.compactMap { tokens[$0] }.map { AuthChange(removing: .token($0)) }
        }
    }

    // MARK: On and off

    private func enable() throws(DatabaseError) -> [AuthChange] {
        if accounts.isEnabled { return [] }
        guard let root = accounts.users[AuthAccounts.root] else { throw DatabaseError(.rootUserMissing) }
        guard root.roles.contains(AuthAccounts.root) else { throw DatabaseError(.rootRoleMissing) }
        return [settings(isEnabled: true, revision: accounts.revision)]
    }

    /// Ends all logins.
    private func disable() -> [AuthChange] {
        guard accounts.isEnabled else { return [] }
        let ended = tokens.values.sorted { $0.hash.lexicographicallyPrecedes($1.hash) }
        return [settings(isEnabled: false, revision: accounts.revision + 1)]
            + ended.map { AuthChange(removing: .token($0)) }
    }

    private func settings(isEnabled: Bool, revision: UInt64) -> AuthChange {
        let now = AuthRow.settings(isEnabled: accounts.isEnabled, revision: accounts.revision)
        // Before the first change there is no row.
        let isFirst = accounts.revision == 1
        return AuthChange(from: isFirst ? nil : now, to: .settings(isEnabled: isEnabled, revision: revision))
    }

    /// The step of the revision that every change of an account makes.
    private var step: AuthChange { settings(isEnabled: accounts.isEnabled, revision: accounts.revision + 1) }

    // MARK: Users

    private func user(_ name: [UInt8]) throws(DatabaseError) -> AuthUser {
        guard let user = accounts.users[name] else { throw DatabaseError(.userNotFound) }
        return user
    }

    private func addUser(_ user: AuthUser) throws(DatabaseError) -> [AuthChange] {
        if user.name.isEmpty { throw DatabaseError(.userNameEmpty) }
        try AuthState.checkLength(ofName: user.name)
        if accounts.users[user.name] != nil { throw DatabaseError(.userExists) }
        return [step, AuthChange(from: nil, to: .user(user))]
    }

    private func deleteUser(_ name: [UInt8]) throws(DatabaseError) -> [AuthChange] {
        if accounts.isEnabled, name == AuthAccounts.root { throw DatabaseError(.invalidAuthManagement) }
        return [step, AuthChange(removing: .user(try user(name)))] + endLogins(of: name)
    }

    private func changePassword(of name: [UInt8], to password: [UInt8]) throws(DatabaseError) -> [AuthChange] {
        let user = try user(name)
        var changed = user
        changed.password = user.hasNoPassword ? [] : password
        return [step, AuthChange(from: .user(user), to: .user(changed))] + endLogins(of: name)
    }

    private func grantRole(_ role: [UInt8], to name: [UInt8]) throws(DatabaseError) -> [AuthChange] {
        let user = try user(name)
        if role != AuthAccounts.root, accounts.roles[role] == nil { throw DatabaseError(.roleNotFound) }
        if user.roles.contains(role) { return [] }
        var changed = user
        changed.roles = (user.roles + [role]).sorted { $0.lexicographicallyPrecedes($1) }
        return [step, AuthChange(from: .user(user), to: .user(changed))]
    }

    private func revokeRole(_ role: [UInt8], from name: [UInt8]) throws(DatabaseError) -> [AuthChange] {
        if accounts.isEnabled, name == AuthAccounts.root, role == AuthAccounts.root {
            throw DatabaseError(.invalidAuthManagement)
        }
        let user = try user(name)
        guard user.roles.contains(role) else { throw DatabaseError(.roleNotGranted) }
        return [step, removal(of: role, from: user)]
    }

    private func removal(of role: [UInt8], from user: AuthUser) -> AuthChange {
        var changed = user
        changed.roles.removeAll { $0 == role }
        return AuthChange(from: .user(user), to: .user(changed))
    }

    // MARK: Roles

    private func role(_ name: [UInt8]) throws(DatabaseError) -> AuthRole {
        guard let role = accounts.roles[name] else { throw DatabaseError(.roleNotFound) }
        return role
    }

    private func addRole(_ name: [UInt8]) throws(DatabaseError) -> [AuthChange] {
        if name.isEmpty { throw DatabaseError(.roleNameEmpty) }
        try AuthState.checkLength(ofName: name)
        if accounts.roles[name] != nil { throw DatabaseError(.roleExists) }
        return [step, AuthChange(from: nil, to: .role(AuthRole(name)))]
    }

    private func deleteRole(_ name: [UInt8]) throws(DatabaseError) -> [AuthChange] {
        if accounts.isEnabled, name == AuthAccounts.root { throw DatabaseError(.invalidAuthManagement) }
        let role = try role(name)
        let holders = accounts.users.values.filter { $0.roles.contains(name) }
            .sorted { $0.name.lexicographicallyPrecedes($1.name) }
        return [step, AuthChange(removing: .role(role))] + holders.map { removal(of: name, from: $0) }
    }

    private func grant(_ permission: AuthPermission, to name: [UInt8]) throws(DatabaseError) -> [AuthChange] {
        let (key, end) = (permission.key, permission.rangeEnd)
        guard !key.isEmpty, end.isEmpty || end == [0] || key.lexicographicallyPrecedes(end) else {
            throw DatabaseError(.invalidAuthManagement)
        }
        let role = try role(name)
        var changed = role
        // As in etcd, of several permissions that begin with one key only the first is looked at.
        let index = role.permissions.firstIndex { !$0.key.lexicographicallyPrecedes(key) }
        if let index, role.permissions[index].key == key, role.permissions[index].rangeEnd == end {
            changed.permissions[index].kind = permission.kind
        } else {
            let behind = role.permissions.firstIndex { key.lexicographicallyPrecedes($0.key) }
            changed.permissions.insert(permission, at: behind ?? role.permissions.endIndex)
        }
        return [step, AuthChange(from: .role(role), to: .role(changed))]
    }

    private func revokePermission(
        _ key: [UInt8], _ end: [UInt8], of name: [UInt8]
    ) throws(DatabaseError) -> [AuthChange] {
        let role = try role(name)
        var changed = role
        changed.permissions.removeAll { $0.key == key && $0.rangeEnd == end }
        guard changed.permissions.count < role.permissions.count else { throw DatabaseError(.permissionNotGranted) }
        return [step, AuthChange(from: .role(role), to: .role(changed))]
    }

    // MARK: Tokens

    private func issue(_ token: AuthToken, checkedRevision: UInt64) throws(DatabaseError) -> [AuthChange] {
        guard accounts.isEnabled else { throw DatabaseError(.authNotEnabled) }
        guard accounts.revision == checkedRevision else { throw DatabaseError(.authRevisionOld) }
        guard let user = accounts.users[token.user], !user.hasNoPassword else {
            throw DatabaseError(.authenticationFailed)
        }
        return [AuthChange(from: tokens[token.hash].map { .token($0) }, to: .token(token))]
    }

    private func endLogins(of user: [UInt8]) -> [AuthChange] {
        tokens.values.filter { $0.user == user }.sorted { $0.hash.lexicographicallyPrecedes($1.hash) }
            .map { AuthChange(removing: .token($0)) }
    }

    /// A name is part of a row's name, which engines hold up to a size.
    private static func checkLength(ofName name: [UInt8]) throws(DatabaseError) {
        guard name.count > Keyspace.userKeyBytesMax else { return }
        throw DatabaseError(
            .requestTooLarge, "the name has \(name.count) bytes, at most \(Keyspace.userKeyBytesMax) are allowed")
    }
}
