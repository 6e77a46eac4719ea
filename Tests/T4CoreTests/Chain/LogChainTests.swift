import T4Protocols
import Testing

@testable import T4Core

@Suite struct LogChainTests {
    /// A store to which objects are put one by one.
    struct Fixture: Sendable {
        let store: BlockingStore

        init() async throws { store = BlockingStore(try await makeMemoryStore()) }

        func put(
            _ indexes: ClosedRange<Int>, entryTerm: UInt64 = 1, term: UInt64 = 1, after previousTerm: UInt64 = 1,
            databaseID: DatabaseID = LogFixture.databaseID
        ) throws {
            let first = UInt64(indexes.lowerBound)
            let previous = first == 1 ? .zero : LogPosition(term: previousTerm, index: first - 1)
            _ = try store.put(
                StoreLayout.log(firstIndex: first),
                LogObject.encode(
                    LogFixture.entries(indexes, term: entryTerm), databaseID: databaseID, term: term,
                    previous: previous), when: .absent)
        }

        func read(after start: LogPosition = .zero, until last: UInt64 = .max) throws -> ([UInt64], LogChain.End) {
            var indexes: [UInt64] = []
            let end = try LogChain(store, databaseID: LogFixture.databaseID).read(after: start) { entry in
                indexes.append(entry.position.index)
                return entry.position.index == last ? .stop : .next
            }
            return (indexes, end)
        }
    }

    @Test func readsObjectAfterObject() async throws {
        let fixture = try await Fixture()
        try await onThread {
            for number in 0..<30 { try fixture.put(number * 3 + 1...number * 3 + 3) }
            let (all, end) = try fixture.read()
            #expect(all == Array(1...90))
            #expect(
                end
                    == LogChain.End(
                        position: .init(term: 1, index: 90), term: 1, time: 1090, objectCount: 30,
                        lastObject: end.lastObject))
            let (rest, _) = try fixture.read(after: LogPosition(term: 1, index: 84))
            #expect(rest == Array(85...90))
            let (none, same) = try fixture.read(after: LogPosition(term: 1, index: 90))
            #expect(none.isEmpty && same.position.index == 90 && same.objectCount == 0)
            let (some, stopped) = try fixture.read(until: 5)
            #expect(some == Array(1...5))
            #expect(stopped.position.index == 3, "the last whole object")
        }
    }

    @Test func anEmptyStoreIsAnEmptyChain() async throws {
        let fixture = try await Fixture()
        let (indexes, end) = try await onThread { try fixture.read() }
        #expect(indexes.isEmpty && end.position == .zero)
    }

    @Test func orphansEndTheChain() async throws {
        let previous = try await Fixture()
        let term = try await Fixture()
        let gap = try await Fixture()
        try await onThread {
            try previous.put(1...3, entryTerm: 2, term: 2)
            try previous.put(4...5, entryTerm: 2, term: 2, after: 1)
            #expect(try previous.read().0 == [1, 2, 3])
            // Entry 3 has term 1, but was uploaded by a node of term 4: one of term 3 was deposed.
            try term.put(1...3, term: 4)
            try term.put(4...5, entryTerm: 3, term: 3)
            let (indexes, end) = try term.read()
            #expect(indexes == [1, 2, 3])
            #expect(end.term == 4)
            try gap.put(1...3)
            try gap.put(5...6)
            #expect(try gap.read().0 == [1, 2, 3])
        }
    }

    @Test func orphansInsideTheRangeOfAnObjectArePassed() async throws {
        let fixture = try await Fixture()
        try await onThread {
            try fixture.put(1...6, term: 2)
            try fixture.put(3...4)
            try fixture.put(5...9)
            try fixture.put(7...8, entryTerm: 2, term: 2)
            #expect(try fixture.read().0 == Array(1...8))
        }
    }

    @Test func damageAndOtherDatabasesAreErrors() async throws {
        let damaged = try await Fixture()
        let foreign = try await Fixture()
        try await onThread {
            try damaged.put(1...3)
            try damaged.put(4...6)
            let key = StoreLayout.log(firstIndex: 4)
            var bytes = try damaged.store.get(key).bytes
            bytes[100] ^= 1
            _ = try damaged.store.put(key, bytes, when: .always)
            let error = #expect(throws: LogError.self) { try damaged.read() }
            #expect(error?.code == .corrupted)
            #expect(error?.description.contains(key.rawValue) == true)
            try foreign.put(1...3, databaseID: #require(DatabaseID([UInt8](repeating: 9, count: 16))))
            let refusal = #expect(throws: LogError.self) { try foreign.read() }
            #expect(refusal?.code == .wrongDatabase)
        }
    }
}
