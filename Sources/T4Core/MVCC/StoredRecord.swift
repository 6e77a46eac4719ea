import T4Protocols

/// A version of a key as it stands in the current and history keyspaces.
///
/// Layout, big-endian: flags (bit 0: tombstone), create revision, mod revision, version, lease (8 bytes each),
/// sub-revision (4 bytes), value. A tombstone holds only mod revision and sub-revision, the rest is zero.
package struct StoredRecord: Hashable, Sendable {
    package static let headerBytes = 37
    /// Longest value, in bytes, so that the row fits every engine.
    package static let valueBytesMax = EngineLimits.valueBytesMax - headerBytes

    package var isTombstone: Bool
    package var create: Revision
    package var mod: Revision
    package var version: Int64
    package var lease: Int64
    /// Place among the changes of its revision, from 0.
    package var sub: UInt32
    package var value: [UInt8]

    package init(
        create: Revision, mod: Revision, version: Int64, lease: Int64, sub: UInt32, value: [UInt8],
        isTombstone: Bool = false
    ) {
        self.isTombstone = isTombstone
        self.create = create
        self.mod = mod
        self.version = version
        self.lease = lease
        self.sub = sub
        self.value = value
    }

    /// What a deletion leaves in history.
    package static func tombstone(mod: Revision, sub: UInt32) -> StoredRecord {
        StoredRecord(create: .none, mod: mod, version: 0, lease: 0, sub: sub, value: [], isTombstone: true)
    }

    /// Reads a row; the row must be one that `append` wrote.
    package init(_ row: RawSpan) {
        let header = RecordHeader(row)
        self.init(
            create: header.create, mod: header.mod, version: header.version, lease: header.lease, sub: header.sub,
            value: row.extracting(droppingFirst: StoredRecord.headerBytes).copyBytes(),
            isTombstone: header.isTombstone)
    }

    package func append(to bytes: inout [UInt8]) {
        bytes.append(isTombstone ? 1 : 0)
        bytes.append(bigEndian: create.rawValue)
        bytes.append(bigEndian: mod.rawValue)
        bytes.append(bigEndian: version)
        bytes.append(bigEndian: lease)
        bytes.append(bigEndian: sub)
        bytes.append(contentsOf: value)
    }

    /// The encoded row.
    package var row: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(StoredRecord.headerBytes + value.count)
        append(to: &bytes)
        return bytes
    }

    /// The version as clients see it.
    package func keyValue(_ key: [UInt8]) -> KeyValue {
        KeyValue(
            key: key, createRevision: create, modRevision: mod, version: version, lease: lease, value: value)
    }
}

/// The fixed part of a `StoredRecord`, read without touching the value.
package struct RecordHeader: Sendable {
    package var isTombstone: Bool
    package var create: Revision
    package var mod: Revision
    package var version: Int64
    package var lease: Int64
    package var sub: UInt32

    @inline(__always)
    package init(_ row: RawSpan) {
        precondition(row.byteCount >= StoredRecord.headerBytes, "a record of \(row.byteCount) bytes")
        isTombstone = row.bigEndian(at: 0, as: UInt8.self) & 1 != 0
        create = Revision(row.bigEndian(at: 1, as: Int64.self))
        mod = Revision(row.bigEndian(at: 9, as: Int64.self))
        version = row.bigEndian(at: 17, as: Int64.self)
        lease = row.bigEndian(at: 25, as: Int64.self)
        sub = row.bigEndian(at: 33, as: UInt32.self)
    }
}

/// One row of the changes keyspace: what a (revision, sub-revision) did to which key.
package struct ChangeRow: Sendable {
    package var isDelete: Bool
    package var key: [UInt8]

    package init(_ row: RawSpan) {
        isDelete = row.bigEndian(at: 0, as: UInt8.self) & 1 != 0
        key = row.extracting(droppingFirst: 1).copyBytes()
    }

    @inline(__always)
    package static func append(isDelete: Bool, key: [UInt8], to bytes: inout [UInt8]) {
        bytes.append(isDelete ? 1 : 0)
        bytes.append(contentsOf: key)
    }
}

/// The row that says where the state stands.
package struct MetaRow: Hashable, Sendable {
    private static let byteCount = 24 + StateDigest.byteCount
    /// Stands behind the rest where there are rows about authentication. An earlier version then takes the row for none,
    /// and does not serve everybody what it cannot protect.
    private static let authMark: UInt8 = 1

    package var revision: Revision
    package var compacted: Revision
    /// Keys that exist.
    package var keys: UInt64
    /// Of the current rows and of the system rows but this one.
    package var digest: StateDigest
    /// There are, or were, rows about authentication.
    package var hasAuth: Bool

    /// An empty database.
    package static let initial = MetaRow(revision: .initial, compacted: .none, keys: 0, digest: StateDigest())

    package init(revision: Revision, compacted: Revision, keys: UInt64, digest: StateDigest, hasAuth: Bool = false) {
        self.revision = revision
        self.compacted = compacted
        self.keys = keys
        self.digest = digest
        self.hasAuth = hasAuth
    }

    /// Nil when the bytes are not such a row.
    package init?(_ row: RawSpan) {
        hasAuth = row.byteCount == MetaRow.byteCount + 1
        guard row.byteCount == MetaRow.byteCount || hasAuth else { return nil }
        if hasAuth, row.bigEndian(at: MetaRow.byteCount) != MetaRow.authMark { return nil }
        revision = Revision(row.bigEndian(at: 0, as: Int64.self))
        compacted = Revision(row.bigEndian(at: 8, as: Int64.self))
        keys = row.bigEndian(at: 16)
        digest = StateDigest(row.extracting(droppingFirst: 24))
    }

    package func append(to bytes: inout [UInt8]) {
        bytes.append(bigEndian: revision.rawValue)
        bytes.append(bigEndian: compacted.rawValue)
        bytes.append(bigEndian: keys)
        bytes.append(contentsOf: digest.bytes)
        if hasAuth { bytes.append(MetaRow.authMark) }
    }
}
