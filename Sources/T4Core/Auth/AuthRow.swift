/// A row about authentication in the system keyspace. Integers are big-endian.
///
/// | name behind `A` | value |
/// |---|---|
/// | `s` | flags (1; bit 0: enabled), auth revision (8) |
/// | `u`, user | flags (1; bit 0: no password), length of the hash (4), hash, for each role: length (4), name |
/// | `r`, role | for each permission: kind (1), length of the key (4), length of the end (4), key, end |
/// | `t`, SHA-256 of the token (32) | expiry, nanoseconds since 1970 (8), user |
package enum AuthRow: Hashable, Sendable {
    case settings(isEnabled: Bool, revision: UInt64)
    case user(AuthUser)
    case role(AuthRole)
    case token(AuthToken)

    /// What the names of all these rows start with.
    package static let prefix: [UInt8] = [Keyspace.system, UInt8(ascii: "A")]

    /// What a row is about: the byte behind the prefix.
    package enum Kind: UInt8, Sendable {
        case settings = 0x73
        case user = 0x75
        case role = 0x72
        case token = 0x74

        /// Nil for a name that no row of this version has.
        package init?(ofRow name: [UInt8]) {
            let offset = AuthRow.prefix.count
            guard name.count > offset, name.starts(with: AuthRow.prefix), let kind = Kind(rawValue: name[offset]) else {
                return nil
            }
            let count = name.count - offset - 1
            switch kind {
            case .settings: guard count == 0 else { return nil }
            case .user, .role: guard count > 0 else { return nil }
            case .token: guard count == SHA256.byteCount else { return nil }
            }
            self = kind
        }
    }

    package var name: [UInt8] {
        switch self {
        case .settings: AuthRow.name(.settings)
        case .user(let user): AuthRow.name(.user, user.name)
        case .role(let role): AuthRow.name(.role, role.name)
        case .token(let token): AuthRow.name(.token, token.hash)
        }
    }

    package static func name(_ kind: Kind, _ key: [UInt8] = []) -> [UInt8] { prefix + [kind.rawValue] + key }

    /// The user, role or hash in a row's name.
    static func key(ofRow name: [UInt8]) -> [UInt8] { Array(name.dropFirst(prefix.count + 1)) }

    package var value: [UInt8] {
        var bytes: [UInt8] = []
        switch self {
        case .settings(let isEnabled, let revision):
            bytes.append(isEnabled ? 1 : 0)
            bytes.append(bigEndian: revision)
        case .user(let user):
            bytes.append(user.hasNoPassword ? 1 : 0)
            bytes.append(counted: user.password)
            for role in user.roles { bytes.append(counted: role) }
        case .role(let role):
            for permission in role.permissions {
                bytes.append(permission.kind.rawValue)
                bytes.append(bigEndian: UInt32(permission.key.count))
                bytes.append(bigEndian: UInt32(permission.rangeEnd.count))
                bytes += permission.key
                bytes += permission.rangeEnd
            }
        case .token(let token):
            bytes.append(bigEndian: token.expires)
            bytes += token.user
        }
        return bytes
    }

    /// Nil when the bytes are not such a row.
    package init?(name: [UInt8], value: [UInt8]) {
        guard let kind = Kind(ofRow: name) else { return nil }
        let key = AuthRow.key(ofRow: name)
        var cursor = ByteCursor(value)
        switch kind {
        case .settings:
            guard let flags: UInt8 = cursor.integer(), flags <= 1, let revision: UInt64 = cursor.integer() else {
                return nil
            }
            self = .settings(isEnabled: flags == 1, revision: revision)
        case .user:
            guard let flags: UInt8 = cursor.integer(), flags <= 1, let password = cursor.counted() else { return nil }
            var user = AuthUser(key, password: password, hasNoPassword: flags == 1)
            while !cursor.isAtEnd {
                guard let role = cursor.counted() else { return nil }
                user.roles.append(role)
            }
            self = .user(user)
        case .role:
            var role = AuthRole(key)
            while !cursor.isAtEnd {
                guard let permission = AuthPermission(&cursor) else { return nil }
                role.permissions.append(permission)
            }
            self = .role(role)
        case .token:
            guard let expires: UInt64 = cursor.integer() else { return nil }
            self = .token(AuthToken(hash: key, user: cursor.rest(), expires: expires))
        }
        guard cursor.isAtEnd else { return nil }
    }
}

extension AuthPermission {
    fileprivate init?(_ cursor: inout ByteCursor) {
        guard let number: UInt8 = cursor.integer(), let kind = Kind(rawValue: number),
            let keyCount: UInt32 = cursor.integer(), let endCount: UInt32 = cursor.integer(),
            let key = cursor.bytes(keyCount), let end = cursor.bytes(endCount)
        else { return nil }
        self.init(kind, key: key, rangeEnd: end)
    }
}

/// One row about authentication that changes, with what it was, so that a replay need not look.
package struct AuthChange: Hashable, Sendable {
    package let name: [UInt8]
    /// Nil when there was no such row.
    package let old: [UInt8]?
    /// Nil when the row goes.
    package let new: [UInt8]?

    /// Writes a row in place of what stood there.
    package init(from old: AuthRow?, to new: AuthRow) {
        name = new.name
        self.old = old?.value
        self.new = new.value
    }

    /// Removes a row.
    package init(removing old: AuthRow) {
        name = old.name
        self.old = old.value
        new = nil
    }

    /// The row as it is then; nil when it goes.
    package var row: AuthRow? { new.flatMap { AuthRow(name: name, value: $0) } }

    /// Who may do what changes; only tokens come and go otherwise.
    package var isAboutAccounts: Bool { AuthRow.Kind(ofRow: name) != .token }

    /// Flags (1; bit 0: there was a row, bit 1: there is one), lengths of name, old and new value (4 each), these three.
    package func append(to bytes: inout [UInt8]) {
        bytes.append((old == nil ? 0 : 1) | (new == nil ? 0 : 2))
        for part in [name, old ?? [], new ?? []] { bytes.append(bigEndian: UInt32(part.count)) }
        for part in [name, old ?? [], new ?? []] { bytes += part }
    }

    /// Bytes that `append` writes.
    package var byteCount: Int { 13 + name.count + (old?.count ?? 0) + (new?.count ?? 0) }

    /// Nil when the bytes are not a change that this version makes.
    init?(_ cursor: inout ByteCursor) {
        guard let flags: UInt8 = cursor.integer(), (1...3).contains(flags), let nameCount: UInt32 = cursor.integer(),
            let oldCount: UInt32 = cursor.integer(), let newCount: UInt32 = cursor.integer(),
            let name = cursor.bytes(nameCount), let old = cursor.bytes(oldCount), let new = cursor.bytes(newCount),
            flags & 1 != 0 || old.isEmpty, flags & 2 != 0 || new.isEmpty, AuthRow.Kind(ofRow: name) != nil,
            flags & 2 == 0 || AuthRow(name: name, value: new) != nil
        else { return nil }
        self.name = name
        self.old = flags & 1 != 0 ? old : nil
        self.new = flags & 2 != 0 ? new : nil
    }
}

extension [UInt8] {
    /// Appends the number of bytes and the bytes.
    fileprivate mutating func append(counted bytes: [UInt8]) {
        append(bigEndian: UInt32(bytes.count))
        self += bytes
    }
}
