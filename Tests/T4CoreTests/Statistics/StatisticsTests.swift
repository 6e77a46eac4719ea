import Foundation
import Synchronization
import T4Protocols
import Testing

@testable import T4Core

/// Goal: a node counts what it does. Method: nodes and parts of them do known things, and their numbers are read.
@Suite struct StatisticsTests {
    // MARK: Histograms

    @Test func classesHoldWhatIsNoGreaterThanTheirBound() {
        let times = Histogram(seconds: [0.001, 0.01])
        for time in [Duration.zero, .milliseconds(1), .nanoseconds(1_000_001), .milliseconds(10), .seconds(2)] {
            times.observe(time)
        }
        let reading = times.reading
        #expect(reading.atMost.map(\.bound) == [0.001, 0.01])
        #expect(reading.atMost.map(\.count) == [2, 4])
        #expect(reading.count == 5)
        #expect(abs(reading.sum - 2.012_000_001) < 1e-12)
    }

    @Test func numbersStandAsTheyAre() {
        let numbers = Histogram(numbers: [1, 2, 4])
        for number in 0...5 { numbers.observe(Int64(number)) }
        #expect(numbers.reading.atMost.map(\.bound) == [1, 2, 4])
        #expect(numbers.reading.atMost.map(\.count) == [2, 3, 5])
        #expect(numbers.reading.sum == 15)
    }

    @Test func manyThreadsLoseNothing() async {
        let numbers = Histogram(numbers: [10], .many)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask { for number in 0..<10_000 { numbers.observe(Int64(number % 20)) } }
            }
        }
        #expect(numbers.reading.count == 80_000)
        #expect(numbers.reading.atMost.map(\.count) == [44_000])
        #expect(numbers.reading.sum == 760_000)
    }

    // MARK: Writes

    @Test func eachKindOfWriteIsCountedForItself() async throws {
        let test = try TestNode()
        try await test.node.put(PutRequest(key: Array("a"), value: [1]))
        try await test.node.put(PutRequest(key: Array("a"), value: [2]))
        try await test.node.put(PutRequest(key: Array("b"), value: [1]))
        try await test.node.deleteRange(DeleteRangeRequest(key: Array("b")))
        try await test.node.put(PutRequest(key: Array("b"), value: [1]))
        let lease = try await test.node.grantLease(ttl: 100)
        try await test.node.revokeLease(lease.id)
        try await test.node.compact(CompactionRequest(revision: 3))
        // Is refused, and so no write.
        await #expect(throws: DatabaseError.self) { try await test.node.revokeLease(lease.id) }
        let writes = test.node.statistics.writes
        func count(_ operation: WriteOperation) -> Int { writes.times(of: operation).reading.count }
        #expect(WriteOperation.allCases.map(count) == [3, 1, 1, 0, 1, 1, 1, 0, 0, 0])
        // One after the other: each is a group of its own, the refused one included.
        #expect(writes.groupSizes.reading.count == 9)
        #expect(writes.groupSizes.reading.sum == 9)
        #expect(writes.times(of: .create).reading.sum > 0)
    }

    @Test func pausesOfTheQueueAreTimed() {
        let queue = ProposalQueue(countMax: 10, bytesMax: 1000)
        #expect(queue.pauses(by: .disk) == (false, 0))
        queue.pause(DatabaseError(.noSpace), by: .disk)
        // Again, as by somebody who does not know: the first time counts.
        let stopwatch = Stopwatch()
        queue.pause(DatabaseError(.noSpace), by: .disk)
        while queue.pauses(by: .disk).nanoseconds < 1_000_000 {}
        #expect(queue.pauses(by: .disk).isPaused && !queue.pauses(by: .store).isPaused)
        queue.resume(.disk)
        let (isPaused, time) = queue.pauses(by: .disk)
        #expect(!isPaused && time >= 1_000_000 && time <= stopwatch.nanoseconds() + 1_000_000_000)
        // It stands still, and goes on.
        #expect(queue.pauses(by: .disk).nanoseconds == time)
        queue.resume(.disk)
        queue.pause(DatabaseError(.noSpace), by: .disk)
        while queue.pauses(by: .disk).nanoseconds == time {}
        #expect(queue.pauses(by: .disk).nanoseconds > time)
    }

    /// Also those of a node that follows, and of one that leads: both sync in their own way.
    @Test func syncsAreTimedWhereverTheyHappen() throws {
        let writer = try LogFixture.open(SimulatedFileSystem()).writer
        let times = Histogram(seconds: [1])
        writer.syncTimes = times
        try writer.append(LogFixture.entries(1...2))
        #expect(times.reading.count == 0)
        try writer.sync()
        try writer.sync()
        #expect(times.reading.count == 1, "nothing was new the second time")
        try writer.appendAndSync(LogFixture.entries(3...3))
        #expect(times.reading.count == 2)
        writer.close()
    }

    // MARK: Watches

    @Test func readingsOfHistoryAreCounted() {
        let fixture = HubFixture { $0.ringRevisionsMax = 2 }
        for number in 0..<20 { fixture.write(.put(number % 2 == 0 ? "a" : "b", "1")) }
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("a", from: 2))
        _ = stream.stream.create(WatchSpec("a", end: "c", from: 2))
        #expect(fixture.hub.totals == (1, 0))
        fixture.catchUp()
        let statistics = fixture.hub.statistics
        // All but the two that are still in the ring.
        #expect(statistics.changesRead == 18)
        #expect(statistics.changesChosen == 9 + 18)
        #expect(statistics.spans.reading.count == statistics.times.reading.count)
        #expect(statistics.spans.reading.sum == 18)
        #expect(fixture.hub.totals == (1, 10 + 20))
        fixture.write(.put("a", "2"))
        #expect(fixture.hub.totals == (1, 32))
        stream.stream.close()
        #expect(fixture.hub.totals == (0, 32))
    }

    // MARK: Reads

    @Test func theOldestLongReadCounts() {
        let reads = LongReads()
        #expect(reads.open == (0, 0))
        reads.hold {
            #expect(reads.open.count == 1)
            let before = reads.open.oldest
            while reads.open.oldest == before {}
            reads.hold {
                #expect(reads.open.count == 2)
                #expect(reads.open.oldest > before)
            }
            #expect(reads.open.count == 1)
            #expect(throws: CancellationError.self) { try reads.hold { throw CancellationError() } }
        }
        #expect(reads.open == (0, 0))
    }
}
