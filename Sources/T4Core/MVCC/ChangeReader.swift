import T4Protocols

extension StateReader {
    /// Committed changes from `first` to `last`, whole revisions, as the watch hub replays them.
    ///
    /// Stops after the revision in which keys and values read pass `byteLimit` bytes; at least one revision is
    /// returned if there is any.
    package func changes(
        from first: Revision, through last: Revision, includePrevious: Bool, byteLimit: Int
    ) throws -> [RevisionEvents] {
        guard first >= meta.compacted else {
            throw DatabaseError(.compacted, "changes from \(first) were asked for, compacted at \(meta.compacted)")
        }
        let last = min(last, meta.revision)
        guard first <= last else { return [] }
        var groups: [RevisionEvents] = []
        var bytes = 0
        var failure: (any Error)?
        try snapshot.scan(Keyspace.changes(from: first, through: last), order: .ascending) { name, row in
            let revision = Revision(name.bigEndian(at: 1, as: Int64.self))
            if groups.last?.revision != revision {
                if bytes > byteLimit { return .stop }
                groups.append(RevisionEvents(revision: revision, events: []))
            }
            do {
                let event = try event(ChangeRow(row), at: revision, includePrevious: includePrevious)
                bytes += event.byteCount
                groups[groups.count - 1].events.append(event)
                return .next
            } catch {
                failure = error
                return .stop
            }
        }
        if let failure { throw failure }
        return groups
    }

    private func event(_ change: ChangeRow, at revision: Revision, includePrevious: Bool) throws -> Event {
        let previous = includePrevious ? try previousVersion(of: change.key, before: revision) : nil
        if change.isDelete {
            let gone = KeyValue(
                key: change.key, createRevision: .none, modRevision: revision, version: 0, lease: 0, value: [])
            return Event(kind: .delete, current: gone, previous: previous)
        }
        guard let record = try version(of: change.key, at: revision), record.mod == revision else {
            throw EngineError(.corrupted, "the version that revision \(revision) wrote is missing from the engine")
        }
        return Event(kind: .put, current: record.keyValue(change.key), previous: previous)
    }

    /// The version before a change, as long as it has not been compacted.
    private func previousVersion(of key: [UInt8], before revision: Revision) throws(EngineError) -> KeyValue? {
        let before = Revision(revision.rawValue - 1)
        guard before >= meta.compacted else { return nil }
        return try version(of: key, at: before)?.keyValue(key)
    }
}

extension Event {
    /// Bytes of keys and values.
    package var byteCount: Int {
        current.key.count + current.value.count + (previous.map { $0.key.count + $0.value.count } ?? 0)
    }
}
