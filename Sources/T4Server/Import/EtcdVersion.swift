import T4Core

/// The name of a version in the bucket `key`: revision (8), `_`, sub-revision (8), and `t` for a deletion.
struct RevisionName {
    private static let byteCount = 17
    /// No database gets this far; the numbers behind leave room to go on.
    private static let revisionMax: Int64 = 1 << 62

    let revision: Revision
    let sub: Int64
    let isTombstone: Bool

    /// Nil where the bytes are no such name.
    init?(_ bytes: [UInt8]) {
        let isTombstone = bytes.count == RevisionName.byteCount + 1
        guard bytes.count == RevisionName.byteCount || isTombstone, bytes[8] == UInt8(ascii: "_"),
            !isTombstone || bytes[RevisionName.byteCount] == UInt8(ascii: "t")
        else { return nil }
        let revision: Int64 = bytes.span.bytes.bigEndian(at: 0)
        let sub: Int64 = bytes.span.bytes.bigEndian(at: 9)
        guard revision >= 0, revision <= RevisionName.revisionMax, sub >= 0 else { return nil }
        self.revision = Revision(revision)
        self.sub = sub
        self.isTombstone = isTombstone
    }
}

/// A version of a key as etcd keeps it, with its place among all.
struct EtcdVersion {
    let key: [UInt8]
    let record: StoredRecord

    /// Reads a row of the bucket `key`.
    /// - Throws: `BoltDatabase.Failure` for what no etcd writes, and for keys and values that are larger than any engine
    ///   takes.
    init(_ row: BoltPage.Element) throws {
        guard let name = RevisionName(row.key), name.revision > .initial, let sub = UInt32(exactly: name.sub) else {
            throw BoltDatabase.Failure("a version of a key is named \(row.key.hex), which is no revision")
        }
        let revision = name.revision
        let message: KeyValue
        do throws(WireFailure) {
            message = try KeyValue(protobuf: row.value.span.bytes)
        } catch {
            throw BoltDatabase.Failure("a version of revision \(revision) cannot be read: \(error)")
        }
        guard !message.key.isEmpty, message.key.count <= Keyspace.userKeyBytesMax else {
            throw BoltDatabase.Failure(
                "a key of revision \(revision) has \(message.key.count) bytes, and may have 1 to \(Keyspace.userKeyBytesMax)"
            )
        }
        key = message.key
        if name.isTombstone {
            record = .tombstone(mod: revision, sub: sub)
            return
        }
        guard message.value.count <= StoredRecord.valueBytesMax else {
            throw BoltDatabase.Failure(
                "a value of revision \(revision) has \(message.value.count) bytes, and may have "
                    + "\(StoredRecord.valueBytesMax)")
        }
        guard message.modRevision == revision, message.createRevision > .none, message.createRevision <= revision,
            (1...revision.rawValue - message.createRevision.rawValue + 1).contains(message.version)
        else {
            throw BoltDatabase.Failure(
                "a version that stands under revision \(revision) says that it is version \(message.version) of revision "
                    + "\(message.modRevision), created by \(message.createRevision)")
        }
        record = StoredRecord(
            create: message.createRevision, mod: revision, version: message.version, lease: message.lease, sub: sub,
            value: message.value)
    }
}

extension KeyValue {
    /// Reads `mvccpb.KeyValue`.
    init(protobuf bytes: RawSpan) throws(WireFailure) {
        self.init(key: [], createRevision: .none, modRevision: .none, version: 0, lease: 0, value: [])
        var rest = bytes
        while let tag = try rest.nextTag() {
            switch tag {
            case 0x0A: key = try rest.nextBytes()
            case 0x10: createRevision = Revision(try rest.nextInt64())
            case 0x18: modRevision = Revision(try rest.nextInt64())
            case 0x20: version = try rest.nextInt64()
            case 0x2A: value = try rest.nextBytes()
            case 0x30: lease = try rest.nextInt64()
            default: try rest.skipField(tag)
            }
        }
    }
}
