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
        let whole = inspection.summary
        summary = Summary(
            revision: whole.revision, compacted: whole.compactedRevision, keyCount: whole.keyCount,
            lastEntry: whole.lastEntry)
        count = try inspection.count(prefix: [120])
        list = try inspection.list(prefix: [], limit: 0)
        histories = try EngineScript.keys.map { try inspection.history($0, limit: 0) }
    }
}
