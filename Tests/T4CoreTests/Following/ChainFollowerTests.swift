import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: whoever follows a chain gets each of its entries once and in order, and asks for little. Method: chains that grow, are joined
/// and have strangers behind their end, looked at now and then.
@Suite struct ChainFollowerTests {
    /// A chain of one term without a checkpoint.
    private struct Chain {
        let store: BlockingStore
        /// The last index of each object.
        var ends: [Int] = []

        var last: Int { ends.last ?? 0 }

        private func put(_ indexes: ClosedRange<Int>, term: UInt64 = 1) throws {
            let first = indexes.lowerBound
            let previous = LogPosition(term: first == 1 ? term - 1 : term, index: UInt64(first - 1))
            let bytes = LogObject.encode(
                LogFixture.entries(indexes, term: term), databaseID: LogFixture.databaseID, term: term,
                previous: previous)
            _ = try store.put(StoreLayout.log(firstIndex: UInt64(first)), bytes, when: .always)
        }

        mutating func grow(by count: Int) throws {
            try put(last + 1...last + count)
            ends.append(last + count)
        }

        /// Joins the objects from one number to another, the last one included.
        mutating func join(_ numbers: ClosedRange<Int>) throws {
            let first = numbers.lowerBound == 0 ? 1 : ends[numbers.lowerBound - 1] + 1
            try put(first...ends[numbers.upperBound])
            let removed = numbers.dropFirst().map { StoreLayout.log(firstIndex: UInt64(ends[$0 - 1] + 1)) }
            try store.start { (store) throws(ObjectStoreError) in try await store.delete(removed) }.wait()
            ends.removeSubrange(numbers.lowerBound..<numbers.upperBound)
        }

        /// What a deposed leader leaves: an object that continues another entry.
        func leaveOrphan(_ distance: Int = 1) throws { try put(last + distance...last + distance, term: 9) }
    }

    private func follower(_ store: BlockingStore, behind end: LogPosition = .zero) -> ChainFollower {
        ChainFollower(Restorer(store, databaseID: LogFixture.databaseID, foreign: { _ in store }), behind: end)
    }

    private func look(_ follower: inout ChainFollower) throws -> [LogEntry] {
        var found: [LogEntry] = []
        try follower.look { found += $0 }
        return found
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func everyEntryComesOnce(seed: UInt64) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            var random = SeededGenerator(seed: seed)
            let store = BlockingStore(base)
            var chain = Chain(store: store)
            var follower = follower(store)
            var found: [LogEntry] = []
            for _ in 0..<200 {
                switch Int.random(in: 0..<6, using: &random) {
                case 0, 1: try chain.grow(by: Int.random(in: 1...5, using: &random))
                case 2 where chain.ends.count > 1:
                    let first = Int.random(in: 0..<chain.ends.count - 1, using: &random)
                    try chain.join(first...Int.random(in: first + 1..<chain.ends.count, using: &random))
                case 3 where Bool.random(using: &random): try chain.leaveOrphan(Int.random(in: 1...9, using: &random))
                case 4:
                    // One that starts anew, in the middle of an object perhaps.
                    let end = found.last?.position ?? .zero
                    follower = self.follower(store, behind: end)
                default:
                    found += try look(&follower)
                    #expect(found.count == chain.last)
                }
            }
            found += try look(&follower)
            #expect(found == (chain.last == 0 ? [] : LogFixture.entries(1...chain.last)))
        }
    }

    @Test func aLookThatFindsNothingIsOneListing() async throws {
        let base = try await makeMemoryStore()
        let calls = Mutex(0)
        // What was read ahead and is not wanted comes at any time.
        let metered = MeteredStore(base) { call in if call.operation == .list { calls.withLock { $0 += 1 } } }
        try await onThread {
            let store = BlockingStore(metered)
            var chain = Chain(store: store)
            for _ in 0..<5 { try chain.grow(by: 3) }
            var follower = follower(store)
            #expect(try look(&follower).count == 15)
            func cost() throws -> Int {
                let before = calls.withLock { $0 }
                #expect(try look(&follower).isEmpty)
                return calls.withLock { $0 } - before
            }
            #expect(try cost() == 1)
            // What does not go on with the chain is looked into once.
            try chain.leaveOrphan()
            try chain.leaveOrphan(7)
            #expect(try cost() > 1)
            #expect(try cost() == 1)
            try chain.join(1...4)
            #expect(try cost() > 1)
            #expect(try cost() == 1)
            try chain.grow(by: 2)
            #expect(try look(&follower).count == 2)
            #expect(try cost() > 1, "the one that is left is looked into again")
            #expect(try cost() == 1)
        }
    }

    @Test func anotherHistoryIsNoticed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let store = BlockingStore(base)
            var chain = Chain(store: store)
            for _ in 0..<3 { try chain.grow(by: 4) }
            for index in [1, 6, 12] as [UInt64] {
                var follower = follower(store, behind: LogPosition(term: 7, index: index))
                #expect(throws: ChainFollower.Failure.diverged(at: index)) { try look(&follower) }
            }
            // What is not in the store yet is no other history.
            var ahead = follower(store, behind: LogPosition(term: 1, index: 14))
            #expect(try look(&ahead).isEmpty)
            try chain.grow(by: 4)
            #expect(try look(&ahead).map(\.position.index) == [15, 16])
        }
    }
}
