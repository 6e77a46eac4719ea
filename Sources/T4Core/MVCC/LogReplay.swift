package import T4Protocols

/// Replays entries of the log into an engine.
package struct LogReplay {
    private var applier: Applier
    private var decoder: EntryDecoder

    /// The last entry added.
    package var position: LogPosition { decoder.position }

    /// Starts on top of an engine that stands at `position`.
    package init(on engine: any LocalEngine) throws(EngineError) {
        try self.init(reader: StateReader(engine.snapshot()), position: engine.appliedPosition)
    }

    package init(reader: StateReader, position: LogPosition) {
        applier = Applier(meta: reader.meta)
        decoder = EntryDecoder(reader: reader, position: position)
    }

    /// Bytes waiting to be applied.
    package var byteCount: Int { applier.batch.byteCount }

    /// Adds the entry behind the last one.
    /// - Throws: `.corrupted` when it is another one, or its body cannot be read; `EngineError`s of the engine.
    package mutating func add(_ entry: LogEntry) throws(EngineError) {
        guard let decoded = try decoder.decode(entry) else { return }
        applier.add(decoded.changes, revision: decoded.revision)
    }

    /// The rows of everything added.
    package mutating func finish() -> WriteBatch { applier.finish() }
}

/// Finds out what entries change, one behind the other: what they say, and the versions that they replace.
package struct EntryDecoder {
    private let reader: StateReader
    /// Keys changed since `reader`, with their newest version.
    private var newest: [ByteKey: StoredRecord?] = [:]
    /// The last entry.
    package private(set) var position: LogPosition

    /// - Parameter reader: Shows the state at `position`.
    package init(reader: StateReader, position: LogPosition) {
        self.reader = reader
        self.position = position
    }

    /// The entry behind the last one.
    /// - Returns: Nil for one that changes nothing.
    /// - Throws: `.corrupted` when it is another one, or its body cannot be read; `EngineError`s of the engine.
    package mutating func decode(_ entry: LogEntry) throws(EngineError) -> EntryChanges? {
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
            return nil
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
        return EntryChanges(changes: changes, revision: entry.revision)
    }

    private mutating func replace(_ key: [UInt8], with record: StoredRecord?) throws(EngineError) -> StoredRecord? {
        let key = ByteKey(key)
        let previous: StoredRecord? = if let known = newest[key] { known } else { try reader.latest(key.bytes) }
        newest[key] = .some(record)
        return previous
    }
}
