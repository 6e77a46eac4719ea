// Goal: which engine a node has is nobody's business but the disk's. Method: one script of operations, with a restart in
// the middle, on a node with each built-in engine; then everything that can be asked is compared, and all rows.
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

struct EnginesAgreeTests {
    @Test(arguments: [UInt64](1...2))
    func theSameOperationsGiveTheSame(_ seed: UInt64) async throws {
        let engines = BackendRegistry.builtIn.engineNames
        let first = try await state(engines[0], seed)
        #expect(first.list.count > 20 && first.leases.count == 2 && first.alarms.count == 1)
        #expect(first.histories.contains { $0.count > 3 } && first.histories.contains { $0.last?.isDeletion == true })
        for engine in engines.dropFirst() {
            let other = try await state(engine, seed)
            let names = "\(engines[0]) and \(engine), seed \(seed)"
            #expect(other.meta == first.meta, "\(names)")
            #expect(other.hashes == first.hashes, "\(names)")
            #expect(other.leases == first.leases && other.alarms == first.alarms, "\(names)")
            #expect(other.summary == first.summary, "\(names)")
            #expect(other.count == first.count, "\(names)")
            #expect(other.list == first.list, "\(names)")
            #expect(other.histories == first.histories, "\(names)")
            #expect(other.rows.count == first.rows.count, "\(names)")
            let difference = zip(first.rows, other.rows).first { $0 != $1 }
            #expect(difference == nil, "\(names)")
        }
    }

    /// The comparison sees a single operation, wherever in the script it comes.
    @Test(arguments: [0, 199, EngineScript.operationCount - 1])
    func oneOperationMoreShows(_ place: Int) async throws {
        let plain = try await state("memory", 1)
        let longer = try await state("memory", 1, extraBefore: place)
        #expect(longer.meta.digest != plain.meta.digest)
        #expect(longer.hashes != plain.hashes)
        #expect(longer.summary != plain.summary)
        #expect(longer.list != plain.list)
        #expect(longer.rows != plain.rows)
    }

    /// Runs the script on a node of its own and asks it for everything.
    private func state(_ engine: String, _ seed: UInt64, extraBefore place: Int? = nil) async throws -> EngineState {
        let test = try TestNode(engine: engine)
        var script = EngineScript(seed: seed)
        for number in 0..<EngineScript.operationCount {
            if number == place { try await test.node.put(PutRequest(key: EngineScript.keys[0], value: [])) }
            if number == EngineScript.operationCount / 2 { try test.restart() }
            try await script.next(on: test.node)
        }
        try await script.finish(on: test.node)
        let state = try EngineState(test)
        let (digest, keys) = digest(of: state.rows)
        #expect(state.meta.digest == digest, "\(engine)")
        #expect(state.meta.keys == keys, "\(engine)")
        return state
    }
}

/// Random operations that depend on nothing but the seed, on keys that engines might get wrong.
private struct EngineScript {
    static let operationCount = 400

    /// Zero bytes, bytes that name keyspaces or order last, and long keys that differ late.
    static let keys: [[UInt8]] = {
        let odd: [[UInt8]] = [
            [0], [0, 0], [0, 0, 0], [0, 1], [0, 255], [1], [1, 0], [2], [4, 0, 1], [5], [5, 109], [97], [97, 0],
            [97, 0, 98], [97, 0, 255], [97, 1], [97, 98], [254, 255], [255], [255, 0], [255, 255], [255, 255, 255],
        ]
        let shared = [UInt8](repeating: 120, count: 500)
        let long = [0, 1, 2, 99].flatMap { place in
            [UInt8(0), 1, 255].map { byte in
                var tail = [UInt8](repeating: 7, count: 100)
                tail[place] = byte
                return shared + tail
            }
        }
        return odd + [shared] + long
    }()

    private var random: SeededGenerator
    private var leases: Set<Int64> = []

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    mutating func next(on node: Node) async throws {
        switch Int.random(in: 0..<20, using: &random) {
        case 0:
            let id = Int64.random(in: 1...12, using: &random)
            if leases.insert(id).inserted { _ = try await node.grantLease(id: id, ttl: 100_000 + id) }
        case 1:
            guard let id = leases.sorted().randomElement(using: &random) else { return }
            leases.remove(id)
            try await node.revokeLease(id)
        case 2, 3:
            try await node.deleteRange(
                DeleteRangeRequest(key: key(), rangeEnd: Bool.random(using: &random) ? key() : []))
        case 4, 5, 6:
            try await node.txn(transaction())
        case 7 where Int.random(in: 0..<4, using: &random) == 0:
            let (old, new) = (node.compactedRevision.rawValue, node.revision.rawValue)
            guard new - old > 40 else { return }
            let revision = Int64.random(in: old + 1...new - 20, using: &random)
            try await node.compact(CompactionRequest(revision: revision, physical: Bool.random(using: &random)))
        case 8:
            let alarm = Alarm(.noSpace, member: UInt64.random(in: 0...3, using: &random))
            try await node.raise(alarm)
            await #expect(throws: DatabaseError.self) { try await node.put(put()) }
            #expect(try await node.disarm(alarm))
        default:
            try await node.put(put())
        }
    }

    /// Leaves leases, a deletion and an alarm behind, and nothing that is still to be removed.
    mutating func finish(on node: Node) async throws {
        for id in leases.sorted() { try await node.revokeLease(id) }
        for id: Int64 in [-3, .max] {
            _ = try await node.grantLease(id: id, ttl: 100_000)
            try await node.put(put(lease: id))
        }
        try await node.put(PutRequest(key: EngineScript.keys[1], value: [1]))
        try await node.deleteRange(DeleteRangeRequest(key: EngineScript.keys[1]))
        let revision = max(node.compactedRevision.rawValue + 1, node.revision.rawValue - 120)
        try await node.compact(CompactionRequest(revision: revision, physical: true))
        try await node.raise(Alarm(.corrupt, member: .max))
    }

    private mutating func key() -> [UInt8] { EngineScript.keys.randomElement(using: &random)! }

    private mutating func put(lease: Int64? = nil) -> PutRequest {
        let attached = Bool.random(using: &random) ? 0 : leases.sorted().randomElement(using: &random) ?? 0
        let size = [0, 1, 30, 5000].randomElement(using: &random)!
        let value = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
        return PutRequest(key: key(), value: value, lease: lease ?? attached)
    }

    /// On three keys: puts where the first exists, else a deletion and a put.
    private mutating func transaction() -> TxnRequest {
        let keys = EngineScript.keys.shuffled(using: &random).prefix(3)
        var puts = keys.map { PutRequest(key: $0, value: put().value) }
        puts[0].lease = leases.min() ?? 0
        return TxnRequest(
            compares: [Compare(key: keys[0], result: .greater, target: .version(0))],
            success: [.range(RangeRequest(key: keys[2])), .put(puts[1]), .put(puts[2])],
            failure: [.deleteRange(DeleteRangeRequest(key: keys[1])), .put(puts[0])])
    }
}

/// What a node and an inspection of its directory tell, whatever the engine.
private struct EngineState {
    struct Summary: Hashable {
        var revision: Revision
        var compacted: Revision
        var keyCount: Int64
        var lastEntry: LogPosition
    }

    let rows: [EngineRow]
    let meta: MetaRow
    let hashes: [UInt32]
    let leases: [LeaseRecord]
    let alarms: [Alarm]
    let summary: Summary
    let count: Int64
    let list: [Inspection.Version]
    let histories: [[Inspection.Version]]

    /// Stops the node.
    init(_ test: TestNode) throws {
        let reader = try test.node.read()
        rows = try dump(reader.snapshot)
        meta = reader.meta
        hashes = try stride(from: reader.meta.compacted.rawValue, through: reader.meta.revision.rawValue, by: 15).map {
            try StateHash.hash(reader, through: Revision($0))
        }
        leases = try reader.leases()
        alarms = try reader.alarms()
        try test.node.stopAndWait()
        let inspection = try Inspection(dataDirectory: test.directory, registry: .builtIn, logger: quietLogger)
        let whole = try inspection.summary()
        summary = Summary(
            revision: whole.revision, compacted: whole.compactedRevision, keyCount: whole.keyCount,
            lastEntry: whole.lastEntry)
        count = try inspection.count(prefix: [120])
        list = try inspection.list(prefix: [], limit: 0)
        histories = try EngineScript.keys.map { try inspection.history($0, limit: 0) }
    }
}
