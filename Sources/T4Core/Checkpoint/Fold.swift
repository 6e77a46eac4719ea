package import T4Protocols

/// Rows that a stretch of the log makes, as a checkpoint holds them.
package struct Fold {
    /// The last entry taken.
    package private(set) var position: LogPosition
    /// Where the state stands after it.
    package private(set) var revision: Revision
    package private(set) var compacted: Revision
    /// Commit time of the last entry; nil before the first.
    package private(set) var time: UInt64?
    /// Bytes of the rows, about.
    package private(set) var byteCount = 0
    private var rows: [[UInt8]: TableRow] = [:]

    /// Starts behind the entry at `position`, where the state stands at `revision`.
    package init(after position: LogPosition, revision: Revision, compacted: Revision) {
        self.position = position
        self.revision = revision
        self.compacted = compacted
    }

    /// Takes the next entry.
    /// - Throws: `.invalidArgument` when it is not the next; `.corrupted` when its body cannot be read.
    package mutating func add(_ entry: LogEntry) throws(CheckpointError) {
        guard entry.position.index == position.index + 1 else {
            throw CheckpointError(.invalidArgument, "entry \(entry.position) does not follow \(position)")
        }
        position = entry.position
        time = entry.time
        if entry.revision != .none { revision = entry.revision }
        guard entry.kind == .mutations else { return }
        guard let mutations = MutationCoding.decode(entry.body, revision: entry.revision) else {
            throw CheckpointError(.corrupted, "log entry \(entry.position) has a body that cannot be read")
        }
        for mutation in mutations {
            switch mutation {
            case .put(let key, let record): add(TableRow(key: key, record: record))
            case .delete(let key, let sub): add(TableRow(key: key, record: .tombstone(mod: entry.revision, sub: sub)))
            case .grant(let lease):
                add(TableRow(name: SystemRow.lease(lease.id), value: lease.row))
            case .revoke(let lease): add(TableRow(name: SystemRow.lease(lease.id), isRemoval: true, value: []))
            case .raise(let alarm): add(TableRow(name: SystemRow.alarm(alarm), value: []))
            case .disarm(let alarm): add(TableRow(name: SystemRow.alarm(alarm), isRemoval: true, value: []))
            case .auth(let change):
                add(TableRow(name: change.name, isRemoval: change.new == nil, value: change.new ?? []))
            case .compact(let revision): compacted = max(compacted, revision)
            }
        }
    }

    /// The rows in order. The fold goes on without them.
    package mutating func takeRows() -> [TableRow] {
        let sorted = rows.values.sorted { $0.name.lexicographicallyPrecedes($1.name) }
        rows = [:]
        byteCount = 0
        return sorted
    }

    private mutating func add(_ row: TableRow) {
        byteCount += row.name.count + row.value.count + 64
        rows[row.name] = row
    }
}
