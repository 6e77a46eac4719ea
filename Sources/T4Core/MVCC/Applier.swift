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

/// Replays entries of the log into an engine.
package struct LogReplay {
    private var applier: Applier
    private let reader: StateReader
    /// Keys changed since `reader`, with their newest version.
    private var newest: [ByteKey: StoredRecord?] = [:]
    /// The last entry added.
    package private(set) var position: LogPosition

    /// Starts on top of an engine that stands at `position`.
    package init(on engine: any LocalEngine) throws(EngineError) {
        try self.init(reader: StateReader(engine.snapshot()), position: engine.appliedPosition)
    }

    package init(reader: StateReader, position: LogPosition) {
        self.reader = reader
        applier = Applier(meta: reader.meta)
        self.position = position
    }

    /// Bytes waiting to be applied.
    package var byteCount: Int { applier.batch.byteCount }

    /// Adds the entry behind the last one.
    /// - Throws: `.corrupted` when it is another one, or its body cannot be read; `EngineError`s of the engine.
    package mutating func add(_ entry: LogEntry) throws(EngineError) {
        guard entry.position.index == position.index + 1 else {
            throw EngineError(
                .corrupted, "log entry \(entry.position) cannot follow entry \(position): entries between are missing")
        }
        position = entry.position
        guard entry.kind == .mutations else {
            guard entry.kind == .term else {
                throw EngineError(
                    .corrupted, "log entry \(entry.position) has kind \(entry.kind.rawValue), which is not known here")
            }
            return
        }
        guard let mutations = MutationCoding.decode(entry.body, revision: entry.revision) else {
            throw EngineError(.corrupted, "log entry \(entry.position) has a body that cannot be read")
        }
        var changes: [StateChange] = []
        changes.reserveCapacity(mutations.count)
        for mutation in mutations {
            var previous: StoredRecord?
            switch mutation {
            case .put(let key, let record): previous = try replace(key, with: record)
            case .delete(let key, _): previous = try replace(key, with: nil)
            case .grant, .revoke, .compact, .raise, .disarm, .auth: break
            }
            changes.append(StateChange(mutation, previous: previous))
        }
        applier.add(changes, revision: entry.revision)
    }

    private mutating func replace(_ key: [UInt8], with record: StoredRecord?) throws(EngineError) -> StoredRecord? {
        let key = ByteKey(key)
        let previous: StoredRecord? = if let known = newest[key] { known } else { try reader.latest(key.bytes) }
        newest[key] = .some(record)
        return previous
    }

    /// The rows of everything added.
    package mutating func finish() -> WriteBatch { applier.finish() }
}
