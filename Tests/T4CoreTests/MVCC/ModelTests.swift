import T4BuiltIns
import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Random operations on a node and on a model that keeps every revision whole. Everything a client can read is compared:
/// keys at any revision, counts, events, errors; across restarts and compactions.
struct ModelTests {
    @Test(arguments: BackendRegistry.builtIn.engineNames, [UInt64](1...3))
    func behavesAsTheModel(_ engine: String, _ seed: UInt64) async throws {
        let test = try TestNode(engine: engine)
        var model = StoreModel()
        var random = SeededGenerator(seed: seed)
        for step in 0..<400 {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<45: try await put(test.node, &model, &random)
            case 45..<60: try await delete(test.node, &model, &random)
            case 60..<85: try await txn(test.node, &model, &random)
            case 85..<88 where model.revision > 2:
                let target = Int64.random(in: model.compacted...model.revision, using: &random)
                if target > model.compacted {
                    try await test.node.compact(
                        CompactionRequest(revision: target, physical: Bool.random(using: &random)))
                    model.compacted = target
                }
            case 88..<90: try test.restart()
            default: try compareRange(test.node, model, &random)
            }
            #expect(test.node.revision.rawValue == model.revision, "seed \(seed), step \(step)")
        }
        try compareEverything(test.node, model)
        try test.restart()
        try compareEverything(test.node, model)
    }

    private func key(_ random: inout SeededGenerator) -> [UInt8] {
        let letters: [UInt8] = [0, 1, 97, 98, 255]
        return (0..<Int.random(in: 1...3, using: &random)).map { _ in letters.randomElement(using: &random)! }
    }

    private func put(_ node: Node, _ model: inout StoreModel, _ random: inout SeededGenerator) async throws {
        let (key, value) = (key(&random), [UInt8]("\(model.revision)"))
        let expected = model.current[key]
        let response = try await node.put(PutRequest(key: key, value: value, previous: true))
        model.write { $0.put(key, value) }
        #expect(response.previous == expected)
        #expect(response.revision.rawValue == model.revision)
    }

    private func delete(_ node: Node, _ model: inout StoreModel, _ random: inout SeededGenerator) async throws {
        let (lower, upper) = (key(&random), Bool.random(using: &random) ? key(&random) : [])
        let expected = model.select(model.current, lower, upper)
        let response = try await node.deleteRange(DeleteRangeRequest(key: lower, rangeEnd: upper, previous: true))
        if !expected.isEmpty { model.write { for kv in expected { $0.delete(kv.key) } } }
        #expect(response.previous == expected)
        #expect(response.deleted == Int64(expected.count))
    }

    private func txn(_ node: Node, _ model: inout StoreModel, _ random: inout SeededGenerator) async throws {
        let keys = Set((0..<Int.random(in: 1...4, using: &random)).map { _ in key(&random) })
        let guarded = key(&random)
        let version = model.current[guarded]?.version ?? 0
        let holds = Bool.random(using: &random)
        let compare = Compare(key: guarded, result: holds ? .equal : .notEqual, target: .version(version))
        let sorted = keys.sorted { $0.lexicographicallyPrecedes($1) }
        let deletes = Bool.random(using: &random)
        let operations: [RequestOperation] = sorted.map { key in
            deletes
                ? .deleteRange(DeleteRangeRequest(key: key))
                : .put(PutRequest(key: key, value: [UInt8]("t")))
        }
        let response = try await node.txn(
            TxnRequest(compares: [compare], success: operations, failure: [.range(RangeRequest(key: guarded))]))
        #expect(response.succeeded == holds)
        guard holds else { return }
        let before = model.current
        let effective = deletes ? sorted.filter { before[$0] != nil } : sorted
        if !effective.isEmpty {
            model.write { store in
                for key in effective { if deletes { store.delete(key) } else { store.put(key, [UInt8]("t")) } }
            }
        }
    }

    private func compareRange(_ node: Node, _ model: StoreModel, _ random: inout SeededGenerator) throws {
        let (lower, upper) = (key(&random), Bool.random(using: &random) ? key(&random) : [])
        let revision = Int64.random(in: max(1, model.compacted - 2)...model.revision + 1, using: &random)
        let limit = Int64.random(in: 0...5, using: &random)
        let request = RangeRequest(key: lower, rangeEnd: upper, limit: limit, revision: revision)
        if revision > model.revision || revision < model.compacted {
            let code: DatabaseError.Code = revision > model.revision ? .futureRevision : .compacted
            #expect(throws: DatabaseError.self) { try node.range(request) }
            do { _ = try node.range(request) } catch { #expect(error.code == code) }
            return
        }
        let expected = model.select(model.history[revision] ?? [:], lower, upper)
        let response = try node.range(request)
        #expect(response.count == Int64(expected.count))
        #expect(response.kvs == (limit > 0 ? Array(expected.prefix(Int(limit))) : expected))
        #expect(response.more == (limit > 0 && expected.count > limit))
    }

    private func compareEverything(_ node: Node, _ model: StoreModel) throws {
        for revision in max(1, model.compacted)...model.revision {
            let response = try node.range(RangeRequest(key: [0], rangeEnd: [0], revision: revision))
            #expect(response.kvs == model.select(model.history[revision] ?? [:], [0], [0]), "at \(revision)")
        }
        let first = Revision(model.compacted + 1)
        let changes = try node.published.changes(
            from: first, through: node.revision, includePrevious: true, byteLimit: .max)
        #expect(changes == model.events.filter { $0.revision >= first })
    }
}

/// The obvious implementation: one whole map per revision.
struct StoreModel {
    private(set) var revision: Int64 = 1
    var compacted: Int64 = 0
    private(set) var current: [[UInt8]: KeyValue] = [:]
    private(set) var history: [Int64: [[UInt8]: KeyValue]] = [1: [:]]
    private(set) var events: [RevisionEvents] = []
    private var pending: [Event] = []

    mutating func write(_ body: (inout StoreModel) -> Void) {
        revision += 1
        pending = []
        body(&self)
        history[revision] = current
        events.append(RevisionEvents(revision: Revision(revision), events: pending))
    }

    mutating func put(_ key: [UInt8], _ value: [UInt8]) {
        let old = current[key]
        let new = KeyValue(
            key: key, createRevision: old?.createRevision ?? Revision(revision), modRevision: Revision(revision),
            version: (old?.version ?? 0) + 1, lease: 0, value: value)
        current[key] = new
        pending.append(Event(kind: .put, current: new, previous: old))
    }

    mutating func delete(_ key: [UInt8]) {
        let old = current.removeValue(forKey: key)
        let gone = KeyValue(
            key: key, createRevision: .none, modRevision: Revision(revision), version: 0, lease: 0, value: [])
        pending.append(Event(kind: .delete, current: gone, previous: old))
    }

    func select(_ map: [[UInt8]: KeyValue], _ key: [UInt8], _ end: [UInt8]) -> [KeyValue] {
        let inside = map.values.filter { kv in
            if end.isEmpty { return kv.key == key }
            let isAbove = key == [0] && end == [0] ? true : !kv.key.lexicographicallyPrecedes(key)
            return isAbove && (end == [0] || kv.key.lexicographicallyPrecedes(end))
        }
        return inside.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    }
}
