import Logging
import T4BuiltIns
import T4Conformance
import T4Core
import T4Protocols
import Testing

/// A made-up log, applied to an engine as a node would.
struct CheckpointHistory {
    let engine: any LocalEngine
    private(set) var position = LogPosition(term: 1, index: 0)
    private(set) var revision = Revision.initial
    private(set) var compacted = Revision.none
    private var random: SeededGenerator
    private var current: [[UInt8]: StoredRecord] = [:]
    private var leases: Set<Int64> = []

    /// - Parameter engine: An empty one; nil for one in memory.
    init(seed: UInt64, engine: (any LocalEngine)? = nil) throws {
        random = SeededGenerator(seed: seed)
        self.engine = try engine ?? CheckpointHistory.makeEngine()
    }

    static func makeEngine() throws -> any LocalEngine {
        try BackendRegistry.builtIn.makeEngine(
            "memory", settings: NoSettings(),
            context: EngineContext(directory: "/", isReadOnly: false, logger: Logger(label: "test")))
    }

    /// The next entry; the engine has it already.
    mutating func next() throws -> LogEntry {
        position.index += 1
        if Int.random(in: 0..<50, using: &random) == 0 { position.term += 1 }
        let mutations = makeMutations()
        let writes = mutations.contains { mutation in
            switch mutation {
            case .put, .delete: true
            default: false
            }
        }
        let entry = LogEntry(
            position: position, time: position.index * 1000, revision: writes ? revision.next : .none,
            kind: .mutations, body: MutationCoding.encode(mutations))
        if writes { revision = revision.next }
        var replay = try LogReplay(on: engine)
        try replay.add(entry)
        try engine.apply(replay.finish(), at: position)
        return entry
    }

    private mutating func makeMutations() -> [Mutation] {
        switch Int.random(in: 0..<20, using: &random) {
        case 0 where revision > compacted:
            compacted = Revision(
                Int64.random(in: compacted.rawValue + 1...revision.rawValue, using: &random))
            return [.compact(compacted)]
        case 1:
            let id = Int64.random(in: 1...20, using: &random)
            return leases.insert(id).inserted ? [.grant(LeaseRecord(id: id, ttl: id * 10))] : []
        case 2:
            guard let id = leases.sorted().randomElement(using: &random) else { return [] }
            leases.remove(id)
            let keys = current.filter { $0.value.lease == id }.keys.sorted { $0.lexicographicallyPrecedes($1) }
            for key in keys { current[key] = nil }
            return keys.enumerated().map { .delete(key: $1, sub: UInt32($0)) } + [
                .revoke(LeaseRecord(id: id, ttl: id * 10))
            ]
        default:
            let keys = Set((0..<Int.random(in: 1...3, using: &random)).map { _ in makeKey() })
            return keys.sorted { $0.lexicographicallyPrecedes($1) }.enumerated().map { write($1, UInt32($0)) }
        }
    }

    private mutating func makeKey() -> [UInt8] {
        [97] + (0..<Int.random(in: 1...3, using: &random)).map { _ in [0, 1, 5, 255].randomElement(using: &random)! }
    }

    private mutating func write(_ key: [UInt8], _ sub: UInt32) -> Mutation {
        let old = current[key]
        if old != nil, Int.random(in: 0..<3, using: &random) == 0 {
            current[key] = nil
            return .delete(key: key, sub: sub)
        }
        let lease = Bool.random(using: &random) ? 0 : leases.sorted().randomElement(using: &random) ?? 0
        let size = Int.random(in: 0...40, using: &random)
        let record = StoredRecord(
            create: old?.create ?? revision.next, mod: revision.next, version: (old?.version ?? 0) + 1,
            lease: lease, sub: sub, value: (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) })
        current[key] = record
        return .put(key: key, record: record)
    }

    /// Removes what is compacted, as the background does in a node.
    func compact() throws {
        var start: [UInt8]?
        repeat {
            let step = try Compaction.step(StateReader(engine.snapshot()), from: start, rowLimit: 100)
            try engine.apply(step.batch, at: position)
            start = step.next
        } while start != nil
    }
}
