import T4Protocols

extension Inspection {
    /// Looks into a checkpoint where it lies; blocks, as does every question, see `BlockingStore`.
    package init(_ snapshot: CheckpointSnapshot, name: String) throws {
        let checkpoint = snapshot.file.checkpoint
        guard let database = DatabaseID(hex: checkpoint.database) else {
            throw CheckpointError(.corrupted, "\(name) names a database in a way that cannot be read")
        }
        self.init(
            try StateReader(snapshot), databaseID: database, lastEntry: checkpoint.position, source: .checkpoint(name)
        ) { prefix, revisions, visit in
            try snapshot.forEachChange(of: KeyRange(prefix: prefix), in: revisions) { visit($0, $1.mod) }
        }
    }

    /// Changes of the keys with a prefix between two checkpoints of a database, in key order.
    ///
    /// Tables that both have are only read for keys that others show as changed: where all rows of a key lie in tables of
    /// both, it is the same in both. What compaction removed in between is missing from the counts of changes, but not
    /// from the keys.
    package static func diff(
        prefix: [UInt8], from older: CheckpointSnapshot, to newer: CheckpointSnapshot
    ) throws -> [KeyChange] {
        let (start, end) = (older.file.checkpoint, newer.file.checkpoint)
        guard start.index <= end.index, start.revision <= end.revision else {
            throw CheckpointError(
                .invalidArgument,
                "the second checkpoint, of revision \(end.revision), is older than the first, of \(start.revision)")
        }
        let shared = Set(start.tables.map(\.id)).intersection(end.tables.map(\.id))
        let range = Keyspace.range(KeyRange(prefix: prefix), in: Keyspace.history)
        var left = NewestVersions(try older.runs.merged(from: range.lower, below: range.upper, skipping: shared))
        var right = NewestVersions(try newer.runs.merged(from: range.lower, below: range.upper, skipping: shared))
        let reader = try StateReader(older)
        var changes: [KeyChange] = []
        var (old, new) = (try left.next(), try right.next())
        while let prefix = [old, new].compactMap({ $0?.keyPrefix }).min(by: { $0.lexicographicallyPrecedes($1) }) {
            let (ofOld, ofNew) = (old?.keyPrefix == prefix ? old : nil, new?.keyPrefix == prefix ? new : nil)
            if let row = ofOld ?? ofNew, ofOld?.name != ofNew?.name {
                let key = Keyspace.parseHistory(row.name.span.bytes).key
                let before = try reader.latest(key)
                let versions = try newer.versions(of: key)
                let after = versions.first.flatMap { $0.isTombstone ? nil : $0 }
                if before?.mod != after?.mod || versions.contains(where: { $0.mod > reader.meta.revision }) {
                    let revisions = versions.map(\.mod).filter { $0 > reader.meta.revision }
                    changes.append(KeyChange(key: key, revisions: revisions, before: before, after: after))
                }
            }
            if ofOld != nil { old = try left.next() }
            if ofNew != nil { new = try right.next() }
        }
        return changes
    }
}

/// Of each key its newest row.
private struct NewestVersions {
    private var rows: BoundedRows
    private var prefix: ArraySlice<UInt8> = []

    init(_ rows: BoundedRows) { self.rows = rows }

    mutating func next() throws -> TableRow? {
        while let row = try rows.next() {
            if row.keyPrefix == prefix { continue }
            prefix = row.keyPrefix
            return row
        }
        return nil
    }
}
