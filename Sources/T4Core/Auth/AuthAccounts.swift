package import T4Protocols

/// What a role may do with the keys of a range.
package struct AuthPermission: Hashable, Sendable {
    /// By etcd's number.
    package enum Kind: UInt8, Hashable, Sendable {
        case read = 0
        case write = 1
        case readWrite = 2
    }

    package var kind: Kind
    package var key: [UInt8]
    /// As in `RangeRequest`.
    package var rangeEnd: [UInt8]

    package init(_ kind: Kind, key: [UInt8], rangeEnd: [UInt8] = []) {
        self.kind = kind
        self.key = key
        self.rangeEnd = rangeEnd
    }
}

/// Somebody who can log in. Names are bytes: two that only look alike are two.
package struct AuthUser: Hashable, Sendable {
    package var name: [UInt8]
    /// The password's hash, as bcrypt writes it.
    package var password: [UInt8]
    /// Cannot log in with any password.
    package var hasNoPassword: Bool
    /// Names of roles, sorted.
    package var roles: [[UInt8]]

    package init(_ name: [UInt8], password: [UInt8], hasNoPassword: Bool = false, roles: [[UInt8]] = []) {
        self.name = name
        self.password = password
        self.hasNoPassword = hasNoPassword
        self.roles = roles
    }
}

/// A named set of permissions.
package struct AuthRole: Hashable, Sendable {
    package var name: [UInt8]
    /// By key; those of one key in the order in which they were granted.
    package var permissions: [AuthPermission]

    package init(_ name: [UInt8], permissions: [AuthPermission] = []) {
        self.name = name
        self.permissions = permissions
    }
}

/// Proof of a login. The token itself is nowhere, only its SHA-256.
package struct AuthToken: Hashable, Sendable {
    package var hash: [UInt8]
    package var user: [UInt8]
    /// Nanoseconds since 1970.
    package var expires: UInt64

    package init(hash: [UInt8], user: [UInt8], expires: UInt64) {
        self.hash = hash
        self.user = user
        self.expires = expires
    }

    /// The hash under which a token is kept.
    package static func hash(of token: [UInt8]) -> [UInt8] { SHA256.digest(of: token.span.bytes) }
}

/// Users, roles and whether they count: everything that decides who may do what.
package struct AuthAccounts: Hashable, Sendable {
    /// The name of the user, and of the role, that may do everything.
    package static let root = Array("root".utf8)

    package var isEnabled = false
    /// Rises by one with each change, as etcd counts; its first value is 1.
    package var revision: UInt64 = 1
    package var users: [[UInt8]: AuthUser] = [:]
    package var roles: [[UInt8]: AuthRole] = [:]

    package init() {}
}

/// Everything about authentication that the log knows.
package struct AuthState: Hashable, Sendable {
    package private(set) var accounts = AuthAccounts()
    /// By hash.
    package private(set) var tokens: [[UInt8]: AuthToken] = [:]

    /// Nobody and nothing.
    package init() {}

    /// Reads what a snapshot has.
    /// - Throws: `.corrupted` for a row that no version wrote.
    package init(_ reader: StateReader) throws(EngineError) {
        var bad: [UInt8]?
        var state = AuthState()
        try reader.snapshot.scan(KeyRange(prefix: AuthRow.prefix), order: .ascending) { name, value in
            let name = name.copyBytes()
            guard let row = AuthRow(name: name, value: value.copyBytes()) else {
                bad = name
                return .stop
            }
            state.set(row)
            return .next
        }
        if let bad { throw EngineError(.corrupted, "the row \(bad.hex) about authentication cannot be read") }
        self = state
    }

    /// Makes a change that was decided; again without effect.
    package mutating func apply(_ change: AuthChange) {
        if let row = change.row { set(row) } else { remove(change.name) }
    }

    private mutating func set(_ row: AuthRow) {
        switch row {
        case .settings(let isEnabled, let revision):
            accounts.isEnabled = isEnabled
            accounts.revision = revision
        case .user(let user): accounts.users[user.name] = user
        case .role(let role): accounts.roles[role.name] = role
        case .token(let token): tokens[token.hash] = token
        }
    }

    private mutating func remove(_ name: [UInt8]) {
        let key = AuthRow.key(ofRow: name)
        switch AuthRow.Kind(ofRow: name) {
        case .user: accounts.users[key] = nil
        case .role: accounts.roles[key] = nil
        case .token: tokens[key] = nil
        case .settings, nil: break
        }
    }
}
