import T4Conformance
import T4Core
import Testing

/// Random operations that depend on nothing but the seed, on keys that engines might get wrong.
struct EngineScript {
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
