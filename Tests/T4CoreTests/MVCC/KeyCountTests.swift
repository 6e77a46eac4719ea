import Synchronization
import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: counts are right and look at few rows. Method: ranges of some thousand keys, through a snapshot that counts what is
/// visited.
struct KeyCountTests {
    private final class CountingSnapshot: SnapshotWrapper {
        let base: any EngineSnapshot
        let visited = Mutex(0)

        init(_ base: any EngineSnapshot) { self.base = base }

        func scan(
            _ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep
        ) throws(EngineError) {
            try base.scan(range, order: order) { key, value in
                visited.withLock { $0 += 1 }
                return visit(key, value)
            }
        }
    }

    private static let count = 6000
    private let test: TestNode
    private let snapshot: CountingSnapshot
    private let reader: StateReader

    init() async throws {
        test = try TestNode()
        for first in stride(from: 0, to: Self.count, by: 100) {
            _ = try await test.node.txn(
                TxnRequest(
                    compares: [],
                    success: (first..<first + 100).map { .put(PutRequest(key: Self.key($0), value: [UInt8]("v"))) }))
        }
        snapshot = CountingSnapshot(try test.node.read().snapshot)
        reader = try StateReader(snapshot)
    }

    private static func key(_ number: Int) -> [UInt8] { [UInt8]("k\(number + 10_000)") }

    private func count(_ range: KeyRange) throws -> (count: Int64, visited: Int) {
        snapshot.visited.withLock { $0 = 0 }
        return (try reader.keyCount(in: range), snapshot.visited.withLock { $0 })
    }

    @Test func everyRangeHasItsKeys() throws {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<200 {
            let bounds = (0..<2).map { _ in Self.key(.random(in: -10...Self.count + 10, using: &random)) }
            let range = KeyRange(
                lower: Bool.random(using: &random) ? [] : bounds[0],
                upper: Bool.random(using: &random) ? nil : bounds[1])
            #expect(try reader.keyCount(in: range) == reader.countLatest(in: range), "\(range)")
        }
    }

    @Test func allKeysOrNearlyAllAreNotVisited() throws {
        let total = Int64(Self.count)
        for (range, expected) in [
            (KeyRange.all, total), (KeyRange(lower: [UInt8]("k"), upper: [UInt8]("l")), total),
            (KeyRange(lower: Self.key(20), upper: Self.key(Self.count - 20)), total - 40),
        ] {
            let found = try count(range)
            #expect(found.count == expected)
            #expect(found.visited < 1200)
        }
    }

    @Test func anyOtherRangeCostsLittleMoreThanItsKeys() throws {
        let half = Self.count / 2
        let found = try count(KeyRange(lower: Self.key(0), upper: Self.key(half)))
        #expect(found.count == Int64(half))
        #expect(found.visited < half * 5 / 4)
        let few = try count(KeyRange(lower: Self.key(0), upper: Self.key(3)))
        #expect(few.count == 3)
        #expect(few.visited <= 3)
    }

    @Test func aPageKnowsHowManyKeysThereAre() throws {
        snapshot.visited.withLock { $0 = 0 }
        let request = RangeRequest(key: [UInt8]("k"), rangeEnd: [UInt8]("l"), limit: 7)
        let page = try request.evaluate(on: SnapshotView(reader))
        #expect(page.kvs.map(\.key) == (0..<7).map(Self.key))
        #expect(page.count == Int64(Self.count))
        #expect(page.more)
        #expect(snapshot.visited.withLock { $0 } < 1200)

        let last = RangeRequest(key: Self.key(Self.count - 7), rangeEnd: [UInt8]("l"), limit: 7)
        let end = try last.evaluate(on: SnapshotView(reader))
        #expect(end.count == 7)
        #expect(!end.more)
    }

    /// Counts in a transaction see what it wrote and what is decided but not yet applied.
    @Test func aTransactionCountsItsOwnKeys() async throws {
        let count = RangeRequest(key: [0], rangeEnd: [0], countOnly: true)
        let response = try await test.node.txn(
            TxnRequest(
                compares: [],
                success: [
                    .put(PutRequest(key: [UInt8]("new"), value: [])), .range(count),
                    .deleteRange(DeleteRangeRequest(key: Self.key(0))), .range(count),
                ]))
        let counts = response.responses.compactMap { response -> Int64? in
            if case .range(let range) = response { range.count } else { nil }
        }
        #expect(counts == [Int64(Self.count) + 1, Int64(Self.count)])
    }
}
