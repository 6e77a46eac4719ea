// Changes of users, roles and tokens on their way to the leader, as in `ProposalCoding.swift`.

extension PeerWriter {
    /// Adds a change.
    mutating func put(_ request: AuthRequest) {
        switch request {
        case .enable: put(UInt8(1))
        case .disable: put(UInt8(2))
        case .addUser(let user):
            put(UInt8(3))
            put(counted: user.name)
            put(counted: user.password)
            put(user.hasNoPassword)
            put(all: user.roles) { $0.put(counted: $1) }
        case .deleteUser(let name): put(change: 4, name)
        case .changePassword(let user, let password): put(change: 5, user, password)
        case .grantRole(let user, let role): put(change: 6, user, role)
        case .revokeRole(let user, let role): put(change: 7, user, role)
        case .addRole(let name): put(change: 8, name)
        case .deleteRole(let name): put(change: 9, name)
        case .grantPermission(let role, let permission):
            put(change: 10, role, permission.key, permission.rangeEnd)
            put(permission.kind.rawValue)
        case .revokePermission(let role, let key, let end): put(change: 11, role, key, end)
        case .issueToken(let token, let revision):
            put(change: 12, token.hash, token.user)
            put(token.expires)
            put(revision)
        case .extendToken(let hash, let expires):
            put(change: 13, hash)
            put(expires)
        case .removeTokens(let hashes):
            put(UInt8(14))
            put(all: hashes) { $0.put(counted: $1) }
        }
    }

    private mutating func put(change kind: UInt8, _ fields: [UInt8]...) {
        put(kind)
        for field in fields { put(counted: field) }
    }
}

extension PeerReader {
    /// Takes a change.
    mutating func authRequest() throws(PeerCodingError) -> AuthRequest {
        let kind: UInt8 = try number()
        switch kind {
        case 1: return .enable
        case 2: return .disable
        case 3:
            return .addUser(
                AuthUser(
                    try counted(), password: try counted(), hasNoPassword: try flag("no_password"),
                    roles: try texts()))
        case 4: return .deleteUser(try counted())
        case 5: return .changePassword(user: try counted(), password: try counted())
        case 6: return .grantRole(user: try counted(), role: try counted())
        case 7: return .revokeRole(user: try counted(), role: try counted())
        case 8: return .addRole(try counted())
        case 9: return .deleteRole(try counted())
        case 10:
            let (role, key, end) = (try counted(), try counted(), try counted())
            return .grantPermission(
                role: role, AuthPermission(try choice("permission"), key: key, rangeEnd: end))
        case 11: return .revokePermission(role: try counted(), key: try counted(), rangeEnd: try counted())
        case 12:
            let token = AuthToken(hash: try counted(), user: try counted(), expires: try number())
            return .issueToken(token, checkedRevision: try number())
        case 13: return .extendToken(hash: try counted(), expires: try number())
        case 14: return .removeTokens(hashes: try texts())
        default: throw .unknown(field: "change of users", UInt64(kind))
        }
    }

    private mutating func texts() throws(PeerCodingError) -> [[UInt8]] {
        try all { (reader) throws(PeerCodingError) in try reader.counted() }
    }
}
