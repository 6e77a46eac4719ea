package import T4Protocols

/// Turns decided changes into rows of the five keyspaces. Used while serving and, with `previous` looked up, at replay.
package struct Applier {
    /// The rows so far.
    package private(set) var batch = WriteBatch()
    /// Where the state stands after them.
    package private(set) var meta: MetaRow

    package init(meta: MetaRow) { self.meta = meta }

    /// Adds the changes of one entry.
    /// - Parameter revision: The entry's; `.none` when it makes none.
    package mutating func add(_ changes: [StateChange], revision: Revision) {
        for change in changes {
            switch change.mutation {
            case .put(let key, let record): put(key, record, previous: change.previous)
            case .delete(let key, let sub): delete(key, sub, revision, previous: change.previous)
            case .grant(let lease): addSystem(SystemRow.lease(lease.id), lease.row)
            case .revoke(let lease): removeSystem(SystemRow.lease(lease.id), lease.row)
            case .compact(let revision): meta.compacted = max(meta.compacted, revision)
            case .raise(let alarm): addSystem(SystemRow.alarm(alarm), [])
            case .disarm(let alarm): removeSystem(SystemRow.alarm(alarm), [])
            case .auth(let change): apply(change)
            }
        }
        if revision != .none { meta.revision = revision }
    }

    /// The batch with the row that says where it leads.
    package mutating func finish() -> WriteBatch {
        batch.put(key: { $0.append(contentsOf: SystemRow.meta) }, value: { meta.append(to: &$0) })
        return batch
    }

    /// A system row that does not exist yet.
    private mutating func addSystem(_ name: [UInt8], _ row: [UInt8]) {
        batch.put(name, row)
        meta.digest.add(name: name, value: row)
    }

    /// A system row that exists with that content.
    private mutating func removeSystem(_ name: [UInt8], _ row: [UInt8]) {
        batch.delete(name)
        meta.digest.remove(name: name, value: row)
    }

    private mutating func apply(_ change: AuthChange) {
        if let old = change.old { removeSystem(change.name, old) }
        if let new = change.new { addSystem(change.name, new) }
        meta.hasAuth = true
    }

    private mutating func put(_ key: [UInt8], _ record: StoredRecord, previous: StoredRecord?) {
        let name = Keyspace.currentKey(key)
        let row = record.row
        if let previous {
            replace(key, name, previous)
        } else {
            meta.keys += 1
        }
        meta.digest.add(name: name, value: row)
        batch.put(name, row)
        addChange(key, record.mod, record.sub, isDelete: false)
        let leaseBefore = previous?.lease ?? 0
        if leaseBefore != record.lease {
            if leaseBefore != 0 { batch.delete(Keyspace.leasedKey(leaseBefore, key)) }
            if record.lease != 0 { batch.put(Keyspace.leasedKey(record.lease, key), []) }
        }
    }

    private mutating func delete(_ key: [UInt8], _ sub: UInt32, _ revision: Revision, previous: StoredRecord?) {
        let name = Keyspace.currentKey(key)
        if let previous {
            replace(key, name, previous)
            if previous.lease != 0 { batch.delete(Keyspace.leasedKey(previous.lease, key)) }
            meta.keys -= 1
        }
        batch.delete(name)
        keep(key, revision, StoredRecord.tombstone(mod: revision, sub: sub).row)
        addChange(key, revision, sub, isDelete: true)
    }

    /// Moves the current version of a key into history.
    private mutating func replace(_ key: [UInt8], _ name: [UInt8], _ previous: StoredRecord) {
        let row = previous.row
        keep(key, previous.mod, row)
        meta.digest.remove(name: name, value: row)
    }

    /// Puts a version into history.
    private mutating func keep(_ key: [UInt8], _ mod: Revision, _ row: [UInt8]) {
        batch.put(key: { Keyspace.appendHistory(key, mod, to: &$0) }, value: { $0 += row })
    }

    private mutating func addChange(_ key: [UInt8], _ revision: Revision, _ sub: UInt32, isDelete: Bool) {
        batch.put(
            key: { Keyspace.appendChange(revision, sub: sub, to: &$0) },
            value: { ChangeRow.append(isDelete: isDelete, key: key, to: &$0) })
    }
}
