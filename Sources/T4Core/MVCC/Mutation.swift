/// One change of the state, as a result: replaying it decides nothing.
package enum Mutation: Hashable, Sendable {
    /// Writes a key; `record.mod` is the entry's revision.
    case put(key: [UInt8], record: StoredRecord)
    /// Deletes an existing key.
    case delete(key: [UInt8], sub: UInt32)
    case grant(LeaseRecord)
    /// Forgets a lease, with the TTL it was granted; the deletions of its keys stand beside it.
    case revoke(LeaseRecord)
    /// History before this revision may go.
    case compact(Revision)
    case raise(Alarm)
    case disarm(Alarm)
    /// A row about authentication.
    case auth(AuthChange)
}

/// The body of an entry of kind `.mutations`: mutations one after another, integers as in `docs/formats.md`.
///
/// | tag | mutation | fields |
/// |---|---|---|
/// | 1 | put | sub u32, create i64, version i64, lease i64, key length u32, value length u32, key, value |
/// | 2 | delete | sub u32, key length u32, key |
/// | 3 | grant | id i64, ttl i64 |
/// | 4 | revoke | id i64, ttl i64 |
/// | 5 | compact | revision i64 |
/// | 6 | raise an alarm | kind u8, member u64 |
/// | 7 | disarm an alarm | kind u8, member u64 |
/// | 16 | authentication | as `AuthChange.append` |
package enum MutationCoding {
    package static func encode(_ mutations: [Mutation]) -> [UInt8] {
        var bytes: [UInt8] = []
        var size = 0
        for mutation in mutations {
            switch mutation {
            case .put(let key, let record): size += 37 + key.count + record.value.count
            case .delete(let key, _): size += 9 + key.count
            case .grant, .revoke, .compact, .raise, .disarm: size += 17
            case .auth(let change): size += 1 + change.byteCount
            }
        }
        bytes.reserveCapacity(size)
        for mutation in mutations { append(mutation, to: &bytes) }
        return bytes
    }

    private static func append(_ mutation: Mutation, to bytes: inout [UInt8]) {
        switch mutation {
        case .put(let key, let record):
            bytes.append(1)
            bytes.append(bigEndian: record.sub)
            bytes.append(bigEndian: record.create.rawValue)
            bytes.append(bigEndian: record.version)
            bytes.append(bigEndian: record.lease)
            bytes.append(bigEndian: UInt32(key.count))
            bytes.append(bigEndian: UInt32(record.value.count))
            bytes.append(contentsOf: key)
            bytes.append(contentsOf: record.value)
        case .delete(let key, let sub):
            bytes.append(2)
            bytes.append(bigEndian: sub)
            bytes.append(bigEndian: UInt32(key.count))
            bytes.append(contentsOf: key)
        case .grant(let lease):
            bytes.append(3)
            bytes.append(bigEndian: lease.id)
            bytes.append(bigEndian: lease.ttl)
        case .revoke(let lease):
            bytes.append(4)
            bytes.append(bigEndian: lease.id)
            bytes.append(bigEndian: lease.ttl)
        case .compact(let revision):
            bytes.append(5)
            bytes.append(bigEndian: revision.rawValue)
        case .raise(let alarm):
            bytes.append(6)
            append(alarm, to: &bytes)
        case .disarm(let alarm):
            bytes.append(7)
            append(alarm, to: &bytes)
        case .auth(let change):
            bytes.append(16)
            change.append(to: &bytes)
        }
    }

    private static func append(_ alarm: Alarm, to bytes: inout [UInt8]) {
        bytes.append(alarm.kind.rawValue)
        bytes.append(bigEndian: alarm.member)
    }

    /// Reads a body back.
    /// - Parameter revision: The entry's, which every put of it carries.
    /// - Returns: Nil when the bytes are not a body this version can read.
    package static func decode(_ body: [UInt8], revision: Revision) -> [Mutation]? {
        var cursor = ByteCursor(body)
        var mutations: [Mutation] = []
        while !cursor.isAtEnd {
            guard let tag: UInt8 = cursor.integer(), let mutation = decode(tag, revision, &cursor) else { return nil }
            mutations.append(mutation)
        }
        return mutations
    }

    private static func decode(_ tag: UInt8, _ revision: Revision, _ cursor: inout ByteCursor) -> Mutation? {
        switch tag {
        case 1:
            guard let sub: UInt32 = cursor.integer(), let create: Int64 = cursor.integer(),
                let version: Int64 = cursor.integer(), let lease: Int64 = cursor.integer(),
                let keyCount: UInt32 = cursor.integer(), let valueCount: UInt32 = cursor.integer(),
                let key = cursor.bytes(keyCount), let value = cursor.bytes(valueCount)
            else { return nil }
            let record = StoredRecord(
                create: Revision(create), mod: revision, version: version, lease: lease, sub: sub, value: value)
            return .put(key: key, record: record)
        case 2:
            guard let sub: UInt32 = cursor.integer(), let count: UInt32 = cursor.integer(),
                let key = cursor.bytes(count)
            else { return nil }
            return .delete(key: key, sub: sub)
        case 3:
            guard let id: Int64 = cursor.integer(), let ttl: Int64 = cursor.integer() else { return nil }
            return .grant(LeaseRecord(id: id, ttl: ttl))
        case 4:
            guard let id: Int64 = cursor.integer(), let ttl: Int64 = cursor.integer() else { return nil }
            return .revoke(LeaseRecord(id: id, ttl: ttl))
        case 5:
            guard let revision: Int64 = cursor.integer() else { return nil }
            return .compact(Revision(revision))
        case 6: return alarm(&cursor).map { .raise($0) }
        case 7: return alarm(&cursor).map { .disarm($0) }
        case 16: return AuthChange(&cursor).map { .auth($0) }
        default:
            return nil
        }
    }

    private static func alarm(_ cursor: inout ByteCursor) -> Alarm? {
        guard let number: UInt8 = cursor.integer(), let kind = Alarm.Kind(rawValue: number),
            let member: UInt64 = cursor.integer()
        else { return nil }
        return Alarm(kind, member: member)
    }
}
