package import T4Protocols

/// Finds the rows that a compaction makes unreachable, a bounded batch at a time.
///
/// Everything needed stands in the engine: the compacted revision C in the meta row, and the `changes` rows below C,
/// which are only removed together with the versions they lead to. So the work resumes after a restart, and costs in
/// proportion to what was written since the last compaction.
package struct Compaction: Sendable {
    /// Rows that may go, and where to go on.
    package struct Step {
        package var batch: WriteBatch
        /// Where the next step goes on; nil when nothing below the compacted revision is left after this batch.
        package var next: [UInt8]?
    }

    /// The next batch, from about `rowLimit` changes. After a restart the work starts at the beginning again.
    package static func step(
        _ reader: StateReader, from start: [UInt8]?, rowLimit: Int
    ) throws(EngineError) -> Step {
        var step = Step(batch: WriteBatch(), next: nil)
        let compacted = reader.meta.compacted
        guard compacted > .none else { return step }
        var range = Keyspace.changes(from: .none, through: compacted)
        if let start { range.lower = start }
        var rows: [(name: [UInt8], revision: Revision, key: [UInt8])] = []
        try reader.snapshot.scan(range, order: .ascending) { name, row in
            if rows.count == rowLimit {
                step.next = name.copyBytes()
                return .stop
            }
            rows.append((name.copyBytes(), Revision(name.bigEndian(at: 1, as: Int64.self)), ChangeRow(row).key))
            return .next
        }
        var seen: Set<ByteKey> = []
        for row in rows {
            if seen.insert(ByteKey(row.key)).inserted {
                try dropVersions(of: row.key, compacted, reader, into: &step.batch)
            }
            // Rows of the compacted revision itself stay, as a watch may start there.
            if row.revision < compacted { step.batch.delete(row.name) }
        }
        return step
    }

    /// Drops every version of a key that the compaction does not leave.
    private static func dropVersions(
        of key: [UInt8], _ compacted: Revision, _ reader: StateReader, into batch: inout WriteBatch
    ) throws(EngineError) {
        var left = VersionsLeft(compacted: compacted)
        if let latest = try reader.latest(key) { _ = left.contains(latest.mod, isTombstone: false) }
        let range = KeyRange(
            lower: Keyspace.historyKey(key, compacted), upper: KeyRange.end(ofPrefix: Keyspace.historyPrefix(key)))
        var names: [[UInt8]] = []
        try reader.snapshot.scan(range, order: .ascending) { name, row in
            let header = RecordHeader(row)
            if !left.contains(header.mod, isTombstone: header.isTombstone) { names.append(name.copyBytes()) }
            return .next
        }
        for name in names { batch.delete(name) }
    }
}

/// Which versions of one key a compaction leaves: all after the compacted revision, and the one that is visible at it,
/// unless that is a tombstone older than it. To be asked about each version, the newest first.
package struct VersionsLeft {
    private let compacted: Revision
    private var visibleFound = false

    package init(compacted: Revision) { self.compacted = compacted }

    package mutating func contains(_ mod: Revision, isTombstone: Bool) -> Bool {
        guard mod <= compacted else { return true }
        defer { visibleFound = true }
        return !visibleFound && !(isTombstone && mod < compacted)
    }
}
