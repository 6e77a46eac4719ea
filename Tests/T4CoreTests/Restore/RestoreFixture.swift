import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// A made-up history whose log lies in a store, with checkpoints of it at various places. For one thread.
final class RestoreFixture {
    private(set) var history: RestoreHistory
    /// Written so far, the oldest first.
    private(set) var checkpoints: [CheckpointWriter.Written] = []
    /// First indexes of the log's objects.
    private(set) var objects: [UInt64] = []
    let store: BlockingStore
    private var random: SeededGenerator
    private var uploaded = LogPosition.zero

    init(_ store: any ObjectStore, seed: UInt64 = 1) {
        self.store = BlockingStore(store)
        history = RestoreHistory(seed: seed)
        random = SeededGenerator(seed: seed + 1000)
    }

    /// Goes on to a revision, with a checkpoint about every `interval` revisions; none behind the last one.
    convenience init(
        _ store: any ObjectStore, seed: UInt64 = 1, revisions: Int64, checkpointInterval interval: Int64
    ) throws {
        self.init(store, seed: seed)
        while history.last.revision.rawValue < revisions {
            try extend(Int.random(in: 1...12, using: &random))
            let last = checkpoints.last?.file.checkpoint.revision ?? 1
            if history.last.revision.rawValue >= last + interval,
                history.last.revision.rawValue < revisions - interval / 3
            {
                try checkpoint()
            }
        }
    }

    /// The next entries become one object of the chain.
    func extend(_ count: Int) throws {
        let entries = (0..<count).map { _ in history.next() }
        let bytes = LogObject.encode(
            entries, databaseID: LogFixture.databaseID, term: history.last.position.term, previous: uploaded)
        _ = try store.put(StoreLayout.log(firstIndex: uploaded.index + 1), bytes, when: .absent)
        objects.append(uploaded.index + 1)
        uploaded = history.last.position
    }

    /// Writes a checkpoint of what there is.
    @discardableResult
    func checkpoint(meta: MetaRow? = nil) throws -> CheckpointWriter.Written {
        let last = history.last
        let mark = StateTrail.Mark(position: last.position, meta: meta ?? last.meta, time: last.time)
        let written = try #require(try CheckpointFixture.writer(on: store.store, log: store).write(mark))
        checkpoints.append(written)
        return written
    }

    /// Goes on until the last entry makes a revision, or none.
    func extend(untilRevisionIsMade makes: Bool) throws {
        repeat { try extend(1) } while (history.entries.last?.revision != Revision.none) != makes
    }

    // MARK: - Restoring

    /// What a restore gave.
    struct Restored {
        var plan: RestorePlan
        var engine: any LocalEngine
        var progress: [RestoreProgress]
    }

    var restorer: Restorer { restorer(on: store.store) }

    func restorer(on other: any ObjectStore) -> Restorer {
        Restorer(BlockingStore(other), databaseID: LogFixture.databaseID) { prefix in
            throw CheckpointError(.unsupported, "\(prefix) is not there")
        }
    }

    func restore(_ target: RestorePoint.Target, bumpsRevision: Bool = false) throws -> Restored {
        try restorer.restore(to: target, bumpsRevision: bumpsRevision) { course in
            let engine = try CheckpointHistory.makeEngine()
            var progress: [RestoreProgress] = []
            let meta = try restorer.fill(engine, course) { progress.append($0) }
            #expect(try StateReader(engine.snapshot()).meta == meta)
            return Restored(plan: course.plan, engine: engine, progress: progress)
        }
    }

    /// Restores, and compares with what the history says.
    @discardableResult
    func expect(
        _ target: RestorePoint.Target, gives state: RestoreHistory.State?,
        at location: SourceLocation = #_sourceLocation
    ) throws -> Restored {
        let restored = try restore(target)
        let state = try #require(state, sourceLocation: location)
        #expect(restored.plan.end == state.position, sourceLocation: location)
        #expect(restored.plan.revision == state.revision && restored.plan.time == state.time, sourceLocation: location)
        try expectState(restored.engine, state, at: location)
        return restored
    }

    func expectState(
        _ engine: any LocalEngine, _ state: RestoreHistory.State, at location: SourceLocation = #_sourceLocation
    ) throws {
        let position = try engine.appliedPosition
        #expect(position == state.position, sourceLocation: location)
        let rows = try dump(engine.snapshot()).filter {
            ![Keyspace.history, Keyspace.changes].contains($0.name[0]) && $0.name != SystemRow.meta
        }
        #expect(Set(rows) == state.rows && rows.count == state.rows.count, sourceLocation: location)
        #expect(try StateReader(engine.snapshot()).meta == state.meta, sourceLocation: location)
    }

    /// Restoring fails. Gives what it says.
    func expectFailure<Failure: Error>(
        _ target: RestorePoint.Target, bumpsRevision: Bool = false, as type: Failure.Type = RestoreError.self,
        at location: SourceLocation = #_sourceLocation
    ) throws -> Failure {
        let error = #expect(throws: type, sourceLocation: location) {
            _ = try restore(target, bumpsRevision: bumpsRevision)
        }
        return try #require(error, sourceLocation: location)
    }

    // MARK: - Damage

    /// Flips a bit in the middle of an object.
    func damage(_ key: ObjectKey) throws {
        var bytes = try store.get(key).bytes
        bytes[bytes.count / 2] ^= 4
        _ = try store.put(key, bytes, when: .always)
    }

    func tables(of written: CheckpointWriter.Written) -> Set<ObjectKey> {
        Set(written.file.envelope.places.values.map { ObjectKey($0.key) })
    }

    /// A table of that checkpoint which is in none of the earlier ones.
    func ownTable(of number: Int) throws -> ObjectKey {
        let earlier = checkpoints[..<number].map(tables).reduce(into: Set()) { $0.formUnion($1) }
        return try #require(tables(of: checkpoints[number]).subtracting(earlier).min())
    }

    /// Removes the log objects that begin in that range, as a collection would. Gives the first of them.
    @discardableResult
    func prune(_ indexes: Range<UInt64>) throws -> ObjectKey {
        let keys = objects.filter(indexes.contains).map { StoreLayout.log(firstIndex: $0) }
        try store.delete(keys)
        return try #require(keys.first)
    }
}
