import EtcdAPI
import RPC
import SwiftProtobuf
import T4Core

/// A database of etcd as its own engine keeps it: a file of `etcdctl snapshot save`, or `member/snap/db` of a data
/// directory. The same buckets and rows that `SnapshotFile` writes.
///
/// Opening reads everything but the keys.
struct EtcdSnapshot {
    /// The newest version of the schema that this version knows.
    fileprivate static let knownSchema = (3, 6)
    private static let bucketNames: Set = ["alarm", "auth", "authRoles", "authUsers", "key", "lease", "meta"]

    let database: BoltDatabase
    /// Versions by revision; nil where nothing was ever written.
    let keys: BoltDatabase.Bucket?
    /// SHA-256 of the database.
    let digest: [UInt8]
    /// Bytes of the database.
    let byteCount: UInt64
    /// Of the newest write, or where history begins if that is later.
    let revision: Revision
    /// Where history begins; what is older and hidden may still have rows.
    let compacted: Revision
    /// By id.
    let leases: [LeaseRecord]
    let alarms: [Alarm]
    let accounts: AuthAccounts

    /// Reads a file.
    /// - Parameter checksHash: Refuses a file without the hash that `snapshot save` appends, or with a wrong one.
    init(_ file: any LogFile, checksHash: Bool) throws {
        (byteCount, digest) = try EtcdSnapshot.verify(file, checksHash: checksHash)
        database = try BoltDatabase(file, byteCount: byteCount)
        let buckets = try database.buckets(named: EtcdSnapshot.bucketNames)
        guard buckets["key"] != nil || buckets["meta"] != nil else {
            throw BoltDatabase.Failure("this is no database of etcd: it has neither a bucket \"key\" nor \"meta\"")
        }
        let reader = Reader(database: database, buckets: buckets)
        try reader.checkSchema()
        compacted = try reader.compacted()
        revision = max(try reader.newestRevision(), compacted, .initial)
        leases = try reader.leases()
        alarms = try reader.alarms()
        accounts = try reader.accounts()
        keys = buckets["key"]
    }

    /// Finds out which part of a file is the database, and hashes that.
    ///
    /// A database has whole pages, so that what is left over of a multiple of 512 is the hash.
    private static func verify(
        _ file: any LogFile, checksHash: Bool
    ) throws -> (byteCount: UInt64, digest: [UInt8]) {
        let size = try file.size()
        let hasHash = size % 512 == UInt64(SHA256.byteCount)
        guard hasHash || !checksHash else {
            throw BoltDatabase.Failure(
                "the file has no hash at its end (\(size) bytes): it is cut off, or no file of `etcdctl snapshot save`; "
                    + "for a copy of member/snap/db, say --skip-hash-check")
        }
        let byteCount = hasHash ? size - UInt64(SHA256.byteCount) : size
        let hash = SHA256()
        var offset: UInt64 = 0
        while offset < byteCount {
            let bytes = try file.read(Int(min(1 << 20, byteCount - offset)), at: offset)
            guard !bytes.isEmpty else { throw BoltDatabase.Failure("the file became shorter while it was read") }
            hash.update(bytes.span.bytes)
            offset += UInt64(bytes.count)
        }
        let digest = hash.digest()
        if checksHash, try file.read(SHA256.byteCount, at: byteCount) != digest {
            throw BoltDatabase.Failure(
                "the file is damaged: the hash at its end is that of other bytes; take the snapshot again")
        }
        return (byteCount, digest)
    }
}

/// Reads the small buckets.
private struct Reader {
    let database: BoltDatabase
    let buckets: [String: BoltDatabase.Bucket]

    private func forEach(_ bucket: String, _ visit: (BoltPage.Element) throws -> Void) throws {
        guard let bucket = buckets[bucket] else { return }
        var cursor = try database.cursor(bucket)
        while let element = try cursor.next() { try visit(element) }
    }

    private func value(_ bucket: String, _ name: String) throws -> [UInt8]? {
        var value: [UInt8]?
        try forEach(bucket) { if $0.key == Array(name.utf8) { value = $0.value } }
        return value
    }

    /// Before 3.6 nothing is written down.
    func checkSchema() throws {
        guard let bytes = try value("meta", "storageVersion") else { return }
        let text = String(decoding: bytes, as: UTF8.self)
        let numbers = text.split(separator: ".").prefix(2).compactMap { Int($0) }
        guard numbers.count == 2 else { throw BoltDatabase.Failure("the version of the schema is \"\(text)\"") }
        guard (numbers[0], numbers[1]) <= EtcdSnapshot.knownSchema else {
            throw BoltDatabase.Failure(
                "the file has the schema of etcd \(text), and this version of t4 knows those up to "
                    + "\(EtcdSnapshot.knownSchema.0).\(EtcdSnapshot.knownSchema.1)")
        }
    }

    /// A compaction that was begun counts as done, as for an etcd that starts.
    func compacted() throws -> Revision {
        var compacted = Revision.none
        for name in ["finishedCompactRev", "scheduledCompactRev"] {
            guard let bytes = try value("meta", name) else { continue }
            guard let found = RevisionName(bytes) else {
                throw BoltDatabase.Failure("the row \(name) is no revision: \(bytes.hex)")
            }
            compacted = max(compacted, found.revision)
        }
        return compacted
    }

    /// Of the last row, without reading those before it.
    func newestRevision() throws -> Revision {
        guard let keys = buckets["key"], let name = try database.lastKey(of: keys) else { return .none }
        guard let found = RevisionName(name) else {
            throw BoltDatabase.Failure("a version of a key is named \(name.hex), which is no revision")
        }
        return found.revision
    }

    func leases() throws -> [LeaseRecord] {
        var leases: [LeaseRecord] = []
        try forEach("lease") { row in
            var (id, ttl): (Int64, Int64) = (0, 0)
            try reading("a lease") { () throws(WireFailure) in
                var rest = row.value.span.bytes
                while let tag = try rest.nextTag() {
                    switch tag {
                    case 0x08: id = try rest.nextInt64()
                    case 0x10: ttl = try rest.nextInt64()
                    default: try rest.skipField(tag)
                    }
                }
            }
            guard row.key.count == 8, row.key.span.bytes.bigEndian(at: 0) as Int64 == id, id != 0 else {
                throw BoltDatabase.Failure("the lease \(id) stands under the name \(row.key.hex)")
            }
            guard ttl <= LeaseKeeper.maximumTTL else {
                throw BoltDatabase.Failure("the lease \(id) has \(ttl) seconds")
            }
            leases.append(LeaseRecord(id: id, ttl: max(ttl, 1)))
        }
        return leases
    }

    func alarms() throws -> [Alarm] {
        var alarms: [Alarm] = []
        try forEach("alarm") { row in
            let message: EtcdAlarmMember = try message("an alarm", row.key)
            guard let number = UInt8(exactly: message.alarm.rawValue), let kind = Alarm.Kind(rawValue: number) else {
                throw BoltDatabase.Failure("an alarm is of kind \(message.alarm.rawValue), which is not known here")
            }
            alarms.append(Alarm(kind, member: message.memberID))
        }
        return alarms
    }

    func accounts() throws -> AuthAccounts {
        var accounts = AuthAccounts()
        accounts.isEnabled = try value("auth", "authEnabled") == [1]
        if let bytes = try value("auth", "authRevision") {
            guard bytes.count == 8, bytes[0] < 0x40 else {
                throw BoltDatabase.Failure("the row authRevision is no number that it can be: \(bytes.hex)")
            }
            accounts.revision = max(1, bytes.span.bytes.bigEndian(at: 0))
        }
        try forEach("authRoles") { row in
            let message: EtcdRole = try message("a role", row.value)
            var role = AuthRole(row.key)
            role.permissions = try message.keyPermission.map { permission in
                guard let number = UInt8(exactly: permission.permType.rawValue),
                    let kind = AuthPermission.Kind(rawValue: number)
                else { throw BoltDatabase.Failure("a permission is of kind \(permission.permType.rawValue)") }
                return AuthPermission(kind, key: Array(permission.key), rangeEnd: Array(permission.rangeEnd))
            }
            accounts.roles[row.key] = role
        }
        try forEach("authUsers") { row in
            let message: EtcdUser = try message("a user", row.value)
            accounts.users[row.key] = AuthUser(
                row.key, password: Array(message.password), hasNoPassword: message.options.noPassword,
                roles: message.roles.map { Array($0.utf8) }.sorted { $0.lexicographicallyPrecedes($1) })
        }
        return accounts
    }

    private func message<Message: SwiftProtobuf.Message>(_ what: String, _ bytes: [UInt8]) throws -> Message {
        do {
            return try Message(serializedBytes: bytes)
        } catch {
            throw BoltDatabase.Failure("\(what) cannot be read: \(error)")
        }
    }

    private func reading(_ what: String, _ body: () throws(WireFailure) -> Void) throws {
        do throws(WireFailure) {
            try body()
        } catch {
            throw BoltDatabase.Failure("\(what) cannot be read: \(error)")
        }
    }
}
