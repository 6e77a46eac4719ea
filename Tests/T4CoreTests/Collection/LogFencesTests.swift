import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct LogFencesTests {
    /// A chain of objects with terms, and what deposed leaders left beside it.
    struct Chain {
        var objects: [UInt64: [UInt8]] = [:]
        var ends: [UInt64] = []
        /// First indexes of the first object of each term.
        var fences: [(first: UInt64, term: UInt64)] = []

        init(seed: UInt64, count: Int, orphans: Int, valueSize: Int) {
            var random = SeededGenerator(seed: seed)
            var (term, previous) = (UInt64(1), LogPosition.zero)
            var all: [LogEntry] = []
            for _ in 0..<count {
                if Int.random(in: 0..<max(2, count / 10), using: &random) == 0 {
                    term += UInt64.random(in: 1...2, using: &random)
                }
                if fences.last?.term != term { fences.append((previous.index + 1, term)) }
                // A new leader uploads what the one before left on its disk.
                let entryTerm = fences.last?.first == previous.index + 1 ? max(previous.term, 1) : term
                let entries = (0..<Int.random(in: 1...4, using: &random)).map { number in
                    LogEntry(
                        position: LogPosition(term: entryTerm, index: previous.index + 1 + UInt64(number)), time: 1,
                        revision: .none, kind: .mutations,
                        body: Array(repeating: 7, count: Int.random(in: 0...valueSize, using: &random)))
                }
                objects[previous.index + 1] = LogObject.encode(
                    entries, databaseID: LogFixture.databaseID, term: term, previous: previous)
                previous = entries.last!.position
                ends.append(previous.index)
                all += entries
            }
            for _ in 0..<orphans {
                let first = UInt64.random(in: 2...previous.index, using: &random)
                guard objects[first] == nil else { continue }
                let before = all[Int(first) - 2].position
                let length = UInt64.random(in: 1...9, using: &random)
                let term = UInt64.random(in: max(before.term, 1)...term + 1, using: &random)
                let entries = (first..<first + length).map {
                    LogEntry(
                        position: LogPosition(term: term, index: $0), time: 2, revision: .none, kind: .mutations,
                        body: [1])
                }
                objects[first] = LogObject.encode(
                    entries, databaseID: LogFixture.databaseID, term: term, previous: before)
            }
        }

        func listing(_ store: any ObjectStore, _ floor: CollectionFloor, cut: UInt64) throws -> LogListing {
            try LogListing(BlockingStore(store), databaseID: LogFixture.databaseID, floor: floor, cut: cut)
        }

        func store() throws -> SteppedStore {
            let store = SteppedStore(SteppedStorage())
            for (first, bytes) in objects {
                _ = try BlockingStore(store).put(StoreLayout.log(firstIndex: first), bytes, when: .absent)
            }
            return store
        }
    }

    /// In one go or in steps, with orphans or without: exactly the first objects of terms are found.
    @Test(arguments: 1...60 as ClosedRange<UInt64>)
    func theFirstObjectOfEachTermIsFound(_ seed: UInt64) async throws {
        try await onThread {
            var random = SeededGenerator(seed: seed)
            let count = [3, 20, 60, 200].randomElement(using: &random)!
            let chain = Chain(
                seed: seed, count: count, orphans: [0, 3, count].randomElement(using: &random)!,
                valueSize: [0, 20, 2000].randomElement(using: &random)!)
            let store = try chain.store()
            var floor = CollectionFloor()
            var cuts = chain.ends.filter { _ in Int.random(in: 0..<40, using: &random) == 0 }
            cuts.append(chain.ends.randomElement(using: &random)!)
            for cut in cuts.sorted() {
                var listing = try chain.listing(store, floor, cut: cut)
                floor = try listing.cut(floor, at: cut)
                let expected = chain.fences.filter { $0.first <= cut }
                #expect(floor.fences == expected.map(\.first))
                #expect(floor.logIndex == cut && floor.logTerm == expected.last?.term)
                let garbage = listing.garbage(under: floor).map(\.key)
                #expect(
                    garbage.count == chain.objects.keys.filter { $0 <= cut }.count - expected.count || cut != cuts.min()
                )
                try BlockingStore(store).delete(garbage)
            }
        }
    }

    @Test func fewObjectsAreRead() async throws {
        try await onThread {
            let chain = Chain(seed: 5, count: 4000, orphans: 20, valueSize: 200)
            let counting = FaultyStore(try chain.store())
            let cut = chain.ends.last!
            var listing = try chain.listing(counting, CollectionFloor(), cut: cut)
            let floor = try listing.cut(CollectionFloor(), at: cut)
            #expect(floor.fences == chain.fences.map(\.first) && floor.fences.count > 2)
            #expect(counting.callCount(.get) < 150 * floor.fences.count)
            #expect(counting.callCount(.list) == (chain.objects.count + 999) / 1000)
        }
    }

    @Test func aGapAndACutInsideAnObjectAreErrors() async throws {
        try await onThread {
            var chain = Chain(seed: 2, count: 30, orphans: 0, valueSize: 10)
            let cut = chain.ends[20]
            let inside = try #require((1...cut).first { !chain.ends.contains($0) })
            var listing = try chain.listing(chain.store(), CollectionFloor(), cut: cut)
            #expect(throws: CheckpointError.self) { try listing.cut(CollectionFloor(), at: inside) }
            let (missing, store) = (chain.ends[10] + 1, try chain.store())
            chain.objects[missing] = nil
            try BlockingStore(store).delete([StoreLayout.log(firstIndex: missing)])
            var holed = try chain.listing(store, CollectionFloor(), cut: cut)
            let error = #expect(throws: CheckpointError.self) { try holed.cut(CollectionFloor(), at: cut) }
            #expect(error?.code == .corrupted)
        }
    }
}
