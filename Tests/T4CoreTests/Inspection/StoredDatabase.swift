import T4Protocols
import Testing

@testable import T4Core

/// A made-up database in a store: the object `database`, a log, and checkpoints of many small tables. For one thread.
final class StoredDatabase {
    static let databaseID = LogFixture.databaseID

    let store: BlockingStore
    let checkpoints: CheckpointStore
    private(set) var history: CheckpointHistory
    private(set) var written: [(key: ObjectKey, file: ManifestFile)] = []
    private var fold = Fold(after: .zero, revision: .initial, compacted: .none)
    private var logEnd = LogPosition.zero

    init(_ store: any ObjectStore, seed: UInt64 = 1) throws {
        self.store = BlockingStore(store)
        checkpoints = CheckpointStore(self.store, databaseID: StoredDatabase.databaseID)
        history = try CheckpointHistory(seed: seed)
        _ = try DatabaseObject(StoredDatabase.databaseID, created: 5).write(self.store)
    }

    /// The next entries become one object of the log.
    func extend(_ count: Int) throws {
        let entries = try (0..<count).map { _ in try history.next() }
        for entry in entries { try fold.add(entry) }
        let bytes = LogObject.encode(
            entries, databaseID: StoredDatabase.databaseID, term: history.position.term, previous: logEnd)
        _ = try store.put(StoreLayout.log(firstIndex: logEnd.index + 1), bytes, when: .absent)
        logEnd = history.position
    }

    /// Writes a checkpoint and makes it the newest.
    /// - Parameter change: Makes something of it that is wrong.
    @discardableResult
    func checkpoint(_ change: (inout MetaRow) -> Void = { _ in }) throws -> (key: ObjectKey, file: ManifestFile) {
        let last = written.last?.file
        var places = last?.envelope.places ?? [:]
        // What is merged again at once never gets into the store, so that everything there is used.
        var fresh: [String: Table] = [:]
        var builder = CheckpointBuilder(
            previous: last?.checkpoint, index: fold.position.index, compacted: fold.compacted,
            firstCut: CheckpointBuilderTests.cut, tuning: CheckpointBuilderTests.tuning
        ) { entry in
            if let table = fresh[entry.id] { return try TableReader(name: "t", bytes: table.bytes, id: table.id) }
            let place = try #require(places[entry.id])
            return try TableReader(
                name: place.key, bytes: self.store.get(ObjectKey(place.key)).bytes, id: TableID(hex: entry.id))
        } put: { table in
            fresh["\(table.id)"] = table
        }
        try builder.add(fold.takeRows(), from: last?.checkpoint.index ?? 0, to: fold.position.index)
        try builder.finish()
        var meta = try StateReader(history.engine.snapshot()).meta
        change(&meta)
        let manifest = Manifest(
            database: StoredDatabase.databaseID, lineage: nil, position: fold.position, meta: meta,
            cut: CheckpointBuilderTests.cut, base: builder.base, deltas: builder.deltas)
        let used = Set(manifest.tables.map(\.id))
        for (id, table) in fresh where used.contains(id) && places[id] == nil {
            let key = StoreLayout.table(table.id, epoch: 0)
            _ = try store.put(key, table.bytes, when: .always)
            places[id] = .init(key: key, size: UInt64(table.bytes.count))
        }
        let file = try ManifestFile(
            manifest,
            .init(
                commitTime: 1, writtenTime: 2, node: "n", engine: "memory", software: "test",
                previous: written.last?.key.rawValue,
                places: places.filter { used.contains($0.key) }))
        let head = try checkpoints.head()
        let key = try checkpoints.put(file, after: head?.head).key
        var random = SystemRandomNumberGenerator()
        try checkpoints.swapHead(key, file, previous: head.map { ($0.head, $0.version) }, random: &random)
        written.append((key, file))
        return (key, file)
    }

    /// The engine that a restore of a checkpoint fills.
    func restored(_ checkpoint: (key: ObjectKey, file: ManifestFile)) throws -> any LocalEngine {
        let engine = try CheckpointHistory.makeEngine()
        try CheckpointLoader(checkpoints, checkpoint.file, key: checkpoint.key).load(into: engine)
        return engine
    }

    /// The view of a checkpoint where it lies.
    func view(_ checkpoint: (key: ObjectKey, file: ManifestFile)) throws -> CheckpointSnapshot {
        try CheckpointSnapshot(checkpoint.file, of: checkpoints)
    }

    func verify(_ depth: StoreVerifier.Depth = .objects) throws -> VerificationReport {
        try StoreVerifier(store, depth: depth) { throw CheckpointError(.unsupported, "no way to \($0)") }.run()
    }
}

extension VerificationReport {
    /// Problems and notes, a line each.
    var text: String { (problems + later + notes).map { "\($0.object): \($0.what)" }.joined(separator: "\n") }
}
