import T4Core

/// The database as a file of etcd's own engine, as `etcdutl snapshot restore` and etcd itself read it.
///
/// The rows are those that etcd would have for the same history. Nothing in it says which members there were: a
/// restored etcd gets new ones.
enum SnapshotFile {
    /// The version of the schema, as etcd 3.6 names it; older ones do not look for it.
    static let storageVersion = "3.6.0"

    /// Where the database stood in its log.
    struct Position {
        var term: UInt64
        var index: UInt64
    }

    /// Writes the file.
    ///
    /// Memory is bounded: beside what `ChangeSorter` and the largest rows need, it holds a few pages.
    /// - Parameters:
    ///   - directory: Where temporary files go.
    ///   - checkCancellation: Called before each row; what it throws ends the work.
    /// - Throws: `LogError` of the temporary files, `EngineError`.
    static func write(
        _ reader: StateReader, position: Position, directory: String, checkCancellation: () throws -> Void
    ) throws -> TemporaryFile {
        var writer = try BoltFileWriter(TemporaryFile(in: directory))
        try writer.endBucket("alarm")
        try addAccounts(try AuthState(reader).accounts, to: &writer)
        try writer.endBucket("cluster")
        try addVersions(reader, to: &writer, directory: directory, checkCancellation)
        try writer.endBucket("key")
        for lease in try reader.leases() { try writer.add(lease) }
        try writer.endBucket("lease")
        for empty in ["members", "members_removed"] { try writer.endBucket(empty) }
        for (name, value) in meta(reader.meta, position) {
            try writer.add(key: Array(name.utf8).span.bytes, value: value.span.bytes)
        }
        try writer.endBucket("meta")
        return try writer.finish()
    }

    /// Adds every version that a read or a watch can still get, in the order of writing.
    private static func addVersions(
        _ reader: StateReader, to writer: inout BoltFileWriter, directory: String,
        _ checkCancellation: () throws -> Void
    ) throws {
        var sorter = ChangeSorter(directory: directory)
        try reader.forEachCompactedVersion { key, header in
            try checkCancellation()
            try sorter.add(key, at: ChangeSorter.Place(revision: header.mod, sub: header.sub))
        }
        try sorter.forEach { place, key in
            try checkCancellation()
            try reader.withVersion(of: key, writtenAt: place.revision) { try writer.add(key, $0) }
        }
        try reader.forEachChangeAfterCompaction { revision, sub, change in
            try checkCancellation()
            if change.isDelete {
                try writer.add(change.key, StoredRecord.tombstone(mod: revision, sub: sub).row.span.bytes)
            } else {
                try reader.withVersion(of: change.key, writtenAt: revision) { try writer.add(change.key, $0) }
            }
        }
    }

    /// The rows of the bucket `meta`, by name.
    private static func meta(_ meta: MetaRow, _ position: Position) -> [(String, [UInt8])] {
        var index: [UInt8] = []
        index.append(bigEndian: position.index)
        var term: [UInt8] = []
        term.append(bigEndian: position.term)
        var rows = [("consistent_index", index)]
        if meta.compacted > .none {
            // What it drops is left out here, so it is not only ordered, but done.
            let compacted = revisionKey(meta.compacted, sub: 0, isTombstone: false)
            rows += [("finishedCompactRev", compacted), ("scheduledCompactRev", compacted)]
        }
        return rows + [("storageVersion", Array(storageVersion.utf8)), ("term", term)]
    }

    /// etcd's name of a version: revision, `_`, sub-revision, and `t` for a deletion.
    fileprivate static func revisionKey(_ revision: Revision, sub: UInt32, isTombstone: Bool) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(18)
        bytes.append(bigEndian: revision.rawValue)
        bytes.append(UInt8(ascii: "_"))
        bytes.append(bigEndian: UInt64(sub))
        if isTombstone { bytes.append(UInt8(ascii: "t")) }
        return bytes
    }
}

extension BoltFileWriter {
    /// Adds a version of a key, from its `StoredRecord`, to the bucket `key`.
    fileprivate mutating func add(_ key: [UInt8], _ row: RawSpan) throws {
        let header = RecordHeader(row)
        let name = SnapshotFile.revisionKey(header.mod, sub: header.sub, isTombstone: header.isTombstone)
        // Of a deletion etcd keeps the key alone.
        let numbers = KeyValueCoding.Numbers(
            createRevision: header.create.rawValue, modRevision: header.isTombstone ? 0 : header.mod.rawValue,
            version: header.version, lease: header.lease)
        let value = row.extracting(droppingFirst: StoredRecord.headerBytes)
        let size = KeyValueCoding.size(keyCount: key.count, numbers, valueCount: value.byteCount)
        // The coder writes a message inside another; what makes it one is taken off again.
        var message: [UInt8] = []
        message.appendMessage(size: ProtoSize.message(size)) { output in
            KeyValueCoding.put(key: key.span.bytes, numbers, value: value, size: size, field: 1, to: &output)
        }
        try add(key: name.span.bytes, value: message.span.bytes.extracting(droppingFirst: message.count - size))
    }

    /// Adds a lease, as `leasepb.Lease`, to the bucket `lease`. The time that remains is left out, as etcd does
    /// unless told otherwise: the lease gets its whole time again.
    fileprivate mutating func add(_ lease: LeaseRecord) throws {
        var key: [UInt8] = []
        key.append(bigEndian: lease.id)
        var message: [UInt8] = []
        message.appendMessage(size: ProtoSize.field(lease.id) + ProtoSize.field(lease.ttl)) { output in
            output.put(lease.id, field: 1)
            output.put(lease.ttl, field: 2)
        }
        try add(key: key.span.bytes, value: message.span.bytes)
    }
}
