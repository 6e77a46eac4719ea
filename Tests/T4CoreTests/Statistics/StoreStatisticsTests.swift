import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: what a node does with its object store is counted. Method: nodes on a store in memory that fails where it is told to.
@Suite struct StoreStatisticsTests {
    private func statistics(_ test: StoreNode) throws -> StoreStatistics { try #require(test.node.storeStatistics) }

    @Test func callsAreToldApart() async throws {
        let statistics = StoreStatistics()
        let store = MeteredStore(try await makeMemoryStore()) { statistics.saw($0) }
        _ = try await store.put("a", .bytes([1, 2, 3]), when: .absent)
        await #expect(throws: ObjectStoreError.self) { _ = try await store.put("a", .bytes([1]), when: .absent) }
        let version = try await store.put("a", .bytes([1]), when: .always)
        _ = try await store.put("a", .bytes([1, 2]), when: .unchanged(since: version))
        await #expect(throws: ObjectStoreError.self) {
            _ = try await store.put("a", .bytes([1]), when: .unchanged(since: version))
        }
        _ = try await store.get("a", bytes: nil)
        await #expect(throws: ObjectStoreError.self) { _ = try await store.get("b", bytes: nil) }
        _ = try await store.info("a")
        _ = try await store.list(prefix: "", after: nil, limit: 10)
        try await store.delete(["a"])
        try await store.delete(["c"])
        try await store.delete(["a", "b"])
        let seen = StoreStatistics.Operation.allCases.map { operation in
            StoreStatistics.Outcome.allCases.map { statistics.calls(operation, $0) }
        }
        #expect(
            seen == [
                [1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0], [2, 0, 0, 0],
                [1, 0, 0, 0],
            ])
        #expect(StoreStatistics.Operation.allCases.map { statistics.times(of: $0).reading.count }.reduce(0, +) == 12)
        #expect(statistics.bytes == (2, 6))
    }

    @Test func uploadsAndTheirFailuresAreCounted() async throws {
        let outage = OutageStore(try await makeMemoryStore())
        let test = try await StoreNode(.objectStore, through: outage)
        test.settings.outageTimeout = .seconds(3600)
        try await test.start()
        let statistics = try statistics(test)
        let before = statistics.uploads.reading.count
        try await test.put("a", "1")
        #expect(statistics.uploads.reading.count == before + 1)
        #expect(statistics.uploadedBytes > 0)
        #expect(statistics.uploadFailures == 0)
        #expect(test.node.storeStatus?.backlogAge == .zero)
        outage.goAway()
        let node = try #require(test.node)
        async let put = node.put(PutRequest(key: Array("b"), value: Array("2")))
        outage.waitForRefusal()
        while statistics.uploadFailures < 2 { await Task.yield() }
        let waiting = try #require(test.node.storeStatus)
        #expect(waiting.backlogEntries == 1 && waiting.backlogAge > .zero && waiting.outage != nil)
        outage.comeBack()
        _ = try await put
        #expect(statistics.uploads.reading.count == before + 2)
        #expect(test.node.storeStatus?.backlogAge == .zero)
        #expect(StoreStatistics.Operation.allCases.contains { statistics.calls($0, .error) >= 2 })
        try await test.stop()
    }

    @Test func checkpointsTheirAgeAndFailuresAreCounted() async throws {
        let faulty = FaultyStore(
            try await makeMemoryStore(),
            faults: [StoreFault(.put, prefix: "db/checkpoint/", .beforeEffect, .nth(2), error: .permissionDenied)])
        let test = try await StoreNode(.local, through: faulty)
        try await test.start()
        let statistics = try statistics(test)
        // The one at the start, or this one in its place.
        _ = try await test.node.checkpoint()
        let (count, bytes) = (statistics.checkpoints.reading.count, statistics.checkpointBytes)
        #expect(count == 1 && statistics.checkpointFailures == 0)
        let sinceFirst = Stopwatch()
        try await test.put("a", "1")
        await #expect(throws: ObjectStoreError.self) { try await test.node.checkpoint() }
        #expect(statistics.checkpointFailures == 1)
        let least = sinceFirst.seconds
        #expect(statistics.checkpointAge >= least, "one that fails covers nothing")
        let sinceFailure = Stopwatch()
        _ = try await test.node.checkpoint()
        let age = statistics.checkpointAge
        #expect(age <= sinceFailure.seconds)
        #expect(statistics.checkpoints.reading.count == 2)
        #expect(statistics.checkpointBytes > bytes)
        // Nothing came since: everything is covered, and nothing is written.
        let sinceSecond = Stopwatch()
        _ = try await test.node.checkpoint()
        let ageOfNothing = statistics.checkpointAge
        #expect(ageOfNothing <= sinceSecond.seconds)
        #expect(statistics.checkpoints.reading.count == 2)
        try await test.stop()
    }

    @Test func collectionsAreCounted() {
        let statistics = StoreStatistics()
        statistics.collected(nil)
        var report = CollectionReport()
        (report.checkpointCount, report.tableCount, report.logObjectCount, report.deletedSize) = (1, 2, 3, 4)
        statistics.collected(report)
        statistics.collected(report)
        #expect(
            statistics.collectionCounts
                == .init(completed: 2, givenUp: 1, checkpoints: 2, tables: 4, logObjects: 6, bytes: 8))
    }
}
