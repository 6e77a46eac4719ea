import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// The objects of a store in which a database lies under `db/` and a branch of it under `branch/`, of every class at least
/// one; and what the two databases are like.
struct DamageWorld: Sendable {
    enum Kind: CaseIterable, Sendable {
        /// The log reaches back to the first entry.
        case whole
        /// A collection has removed the log up to the second newest checkpoint, and died while it deleted.
        case collected
    }

    /// A database after one of its entries.
    struct State: Hashable, Sendable {
        var revision: Revision
        /// The rows of an engine, but for history that nobody can see any more.
        var rows: Set<EngineRow>

        init(_ snapshot: any EngineSnapshot) throws {
            let meta = try StateReader(snapshot).meta
            revision = meta.revision
            rows = Set(
                try dump(snapshot).filter { row in
                    let name = row.name.span.bytes
                    return switch row.name[0] {
                    case Keyspace.history: Keyspace.parseHistory(name).revision > meta.compacted
                    case Keyspace.changes: name.bigEndian(at: 1, as: Int64.self) > meta.compacted.rawValue
                    default: true
                    }
                })
        }
    }

    let kind: Kind
    private(set) var objects: [ObjectKey: [UInt8]] = [:]
    /// What a database is like at the end of its log, by its prefix.
    private(set) var ends: [String: State] = [:]
    /// What the first database was like between its two newest checkpoints.
    private(set) var middle: State
    private(set) var databases: [String: StoredObjects] = [:]

    static let prefixes = ["db/", "branch/"]

    init(_ kind: Kind) async throws {
        self.kind = kind
        let base = try await makeMemoryStore()
        let parent = try await StoreNode(.objectStore, on: base)
        try await parent.start()
        _ = try await parent.node.grantLease(id: 7, ttl: 100_000)
        try await DamageWorld.write(parent, "a", 9)
        _ = try await parent.node.compact(CompactionRequest(revision: 4))
        try await parent.node.checkpoint()
        try await DamageWorld.write(parent, "b", 5)
        try await parent.node.checkpoint()
        // A checkpoint without a revision of its own, and a later term.
        _ = try await parent.node.grantLease(id: 8, ttl: 100_000)
        try await parent.node.checkpoint()
        try await parent.restart()
        try await parent.node.checkpoint()
        let branches = Branches(store: base, prefix: "db/")
        let point = try await branches.fork("b", at: .latestCheckpoint)
        try await DamageWorld.write(parent, "c", 4)
        middle = try State(parent.node.read().snapshot)
        try await DamageWorld.write(parent, "d", 3)
        try await parent.node.checkpoint()
        try await DamageWorld.write(parent, "e", 3)
        ends["db/"] = try State(parent.node.read().snapshot)
        try await parent.stop()

        let branch = try await StoreNode(.objectStore, on: base)
        branch.settings.prefix = "branch/"
        branch.settings.branch = point
        try await branch.start()
        try await DamageWorld.write(branch, "a", 3)
        try await branch.node.checkpoint()
        try await DamageWorld.write(branch, "x", 2)
        ends["branch/"] = try State(branch.node.read().snapshot)
        try await branch.stop()

        try await onThread { try DamageWorld.pin(base) }
        if kind == .collected { try await onThread { try DamageWorld.collect(base) } }
        objects = try await onThread {
            let store = BlockingStore(base)
            var objects: [ObjectKey: [UInt8]] = [:]
            try store.list("") { objects[$0.key] = try store.get($0.key).bytes }
            return objects
        }
        for prefix in DamageWorld.prefixes { databases[prefix] = try StoredObjects(objects, prefix) }
    }

    /// New keys, changed keys, a deletion, and a key with a lease.
    private static func write(_ test: StoreNode, _ round: String, _ count: Int) async throws {
        for number in 0..<count { try await test.put("key\(number % 5)", "\(round).\(number)") }
        try await test.node.put(PutRequest(key: Array("leased-\(round)"), value: [65], lease: 7))
        _ = try await test.node.deleteRange(DeleteRangeRequest(key: Array("key0")))
    }

    private static func pin(_ base: any ObjectStore) throws {
        let store = BlockingStore(PrefixedStore(base, prefix: "db/"))
        let checkpoints = CheckpointStore(store, databaseID: try DatabaseObject.require(store).id)
        let board = PinBoard(checkpoints)
        let newest = ObjectKey(try #require(try checkpoints.head()).head.checkpoint)
        _ = try board.add(.backup, id: "k", checkpoint: newest, keepsLog: false, at: 5)
        _ = try board.add(.reader, id: "r", checkpoint: newest, keepsLog: true, at: 5)
    }

    static func collector(_ base: any ObjectStore) throws -> Collector {
        let store = BlockingStore(PrefixedStore(base, prefix: "db/"))
        return Collector(
            CheckpointStore(store, databaseID: try DatabaseObject.require(store).id),
            policy: CollectionPolicy(keep: 2, retain: .zero),
            clock: .system, logger: .silent)
    }

    /// Dies before it deletes anything of the log.
    private static func collect(_ base: any ObjectStore) throws {
        let dying = FaultyStore(base, faults: [StoreFault(.delete, prefix: "db/wal/", .beforeEffect, .from(1))])
        let error = #expect(throws: ObjectStoreError.self) { try collector(dying).collect() }
        try #require(error != nil)
    }

    /// A store of its own with these objects.
    func makeStore() async throws -> any ObjectStore {
        let store = try await makeMemoryStore()
        for (key, bytes) in objects { _ = try await store.put(key, .bytes(bytes), when: .absent) }
        return store
    }
}
