// Goal: a checkpoint does not depend on the engine of the node that wrote it, nor on that of the node that reads it.
// Method: one script of operations and checkpoints, with a restart and a lost disk in it, on a node with each built-in
// engine, at another time each; then every engine is filled from the checkpoint of each.
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

struct EngineCheckpointTests {
    private static let checkpointCount = 8

    @Test func oneHistoryGivesOneCheckpointOnEveryEngine() async throws {
        let engines = BackendRegistry.builtIn.engineNames
        var nodes: [History] = []
        for (number, engine) in engines.enumerated() {
            nodes.append(try await History(engine, began: UInt64(number + 1) * 1_000_000_000_000))
        }
        let first = nodes[0]
        // One more for each start: of the empty database, after the restart, and after the lost disk.
        #expect(first.files.count == EngineCheckpointTests.checkpointCount + 3)
        // The comparison is of more than one table and of runs on top of each other.
        #expect(first.files.contains { $0.checkpoint.deltas.count > 1 && !$0.checkpoint.base.isEmpty })
        #expect(first.rows.count > 100 && first.hashes.count > 5 && Set(first.hashes).count == first.hashes.count)
        let last = try #require(first.files.last?.checkpoint)
        #expect(last.meta == first.meta && last.revision == first.meta.revision.rawValue)
        for node in nodes.dropFirst() {
            #expect(node.files.map(\.id) == first.files.map(\.id), "\(node.engine)")
            #expect(node.files.map(\.checkpoint) == first.files.map(\.checkpoint), "\(node.engine)")
            #expect(node.files.map(\.envelope.engine) == first.files.map { _ in node.engine })
            #expect(zip(node.files, first.files).allSatisfy { $0.envelope.commitTime != $1.envelope.commitTime })
            #expect(node.hashes == first.hashes && node.meta == first.meta, "\(node.engine)")
            #expect(node.rows == first.rows, "\(node.engine)")
        }
        for writer in nodes {
            for engine in engines {
                let restored = try await StoreNode(.objectStore, engine: engine, on: try await writer.copyOfStore())
                try await restored.start()
                let (state, names) = (try History.State(restored.node), "\(writer.engine) to \(engine)")
                #expect(state.hashes == first.hashes && state.meta == first.meta, "\(names)")
                #expect(state.rows == first.rows, "\(names)")
                try await restored.stop()
            }
        }
    }

    /// The ids tell histories apart: by a single operation, from the checkpoint on that has it.
    @Test func oneOperationMoreShows() async throws {
        let plain = try await History("memory", began: 1)
        let longer = try await History("memory", began: 1, extraBefore: EngineScript.operationCount - 1)
        let count = plain.files.count
        #expect(longer.files.count == count)
        #expect(longer.files.dropLast().map(\.id) == plain.files.dropLast().map(\.id))
        #expect(longer.files[count - 1].id != plain.files[count - 1].id)
        #expect(longer.rows != plain.rows)
    }
}

/// What a node that ran the script left behind, and what it told.
private struct History {
    /// What a node tells of its state.
    struct State {
        let meta: MetaRow
        let rows: [EngineRow]
        /// HashKV at several revisions.
        let hashes: [UInt32]

        init(_ node: Node) throws {
            let reader = try node.read()
            meta = reader.meta
            rows = try dump(reader.snapshot)
            hashes = try stride(from: meta.compacted.rawValue, through: meta.revision.rawValue, by: 15).map {
                try StateHash.hash(reader, through: Revision($0))
            }
        }
    }

    private static let database = DatabaseID(hex: "00112233445566778899aabbccddeeff")!

    let engine: String
    let store: any ObjectStore
    /// The checkpoints, the oldest first.
    let files: [ManifestFile]
    let state: State

    var meta: MetaRow { state.meta }
    var rows: [EngineRow] { state.rows }
    var hashes: [UInt32] { state.hashes }

    /// - Parameter began: Wall time of all commits, nanoseconds.
    init(_ engine: String, began: UInt64, extraBefore place: Int? = nil) async throws {
        let test = try await StoreNode(.objectStore, engine: engine)
        test.clock = Clock { began }
        // Ids of databases are random, and part of what is compared.
        let base = test.base
        try await onThread {
            let object = try DatabaseObject(History.database, created: 1)
            _ = try object.write(BlockingStore(PrefixedStore(base, prefix: "db/")))
        }
        var script = EngineScript(seed: 1)
        var files: [ManifestFile] = []
        let count = EngineScript.operationCount
        try await History.start(test, &files)
        for number in 0..<count {
            if number == place { try await test.node.put(PutRequest(key: EngineScript.keys[0], value: [])) }
            if number > 0, number % (count / 8) == 0 { try await History.checkpoint(test, &files) }
            if number == count / 3 {
                try await test.stop()
                try await History.start(test, &files)
            }
            if number == count / 2 + 10 {
                try await test.stop()
                try test.removeDisk()
                try await History.start(test, &files)
            }
            try await script.next(on: test.node)
        }
        try await script.finish(on: test.node)
        try await History.checkpoint(test, &files)
        state = try State(test.node)
        try await test.stop()
        self.engine = engine
        self.files = files
        store = test.base
    }

    /// With the checkpoint that each start makes by itself, before anything else happens.
    private static func start(_ test: StoreNode, _ files: inout [ManifestFile]) async throws {
        try await test.start()
        try await checkpoint(test, &files)
    }

    private static func checkpoint(_ test: StoreNode, _ files: inout [ManifestFile]) async throws {
        try await test.node.checkpoint()
        let base = test.base
        let file = try await onThread {
            let store = CheckpointStore(BlockingStore(PrefixedStore(base, prefix: "db/")), databaseID: database)
            return try store.head().map { try store.manifest(of: $0.head) }
        }
        files.append(try #require(file))
    }

    /// All objects as they are, in a store of their own.
    func copyOfStore() async throws -> any ObjectStore {
        let copy = try await makeMemoryStore()
        var last: ObjectKey?
        while true {
            let page = try await store.list(prefix: "", after: last, limit: 1000)
            for object in page.objects {
                let stored = try await store.get(object.key, bytes: nil)
                _ = try await copy.put(object.key, .bytes(stored.bytes), when: .absent)
            }
            last = page.objects.last?.key
            if !page.hasMore { return copy }
        }
    }
}
