import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct LogUploaderTests {
    static let second = StoreLayout.log(firstIndex: 3)

    @Test func batchesAreReleasedInOrderWhicheverUploadEndsFirst() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let store = HeldStore(base)
            let run = UploadRun(store)
            for number in 0..<4 {
                run.add(number * 2 + 1...number * 2 + 2)
                store.waitForHeld(number + 1)
            }
            run.add(9...9)
            run.add(10...12)
            for first in [7, 5, 3] as [UInt64] { store.letThrough(StoreLayout.log(firstIndex: first)) }
            #expect(run.released.isEmpty)
            #expect(run.uploader.status.backlogCount == 12)
            store.open()
            run.waitForRelease(of: 12)
            #expect(run.released == [2, 4, 6, 8, 9, 12])
            let end = LogPosition(term: 1, index: 12)
            #expect(run.uploader.status == .init(end: end, last: end))
            try expect(base, holds: ["1-2 of 1", "3-4 of 1", "5-6 of 1", "7-8 of 1", "9-12 of 1"])
            run.stop()
        }
    }

    @Test(arguments: [StoreFault.Moment.beforeEffect, .afterEffect])
    func anUnknownOutcomeIsSettled(_ moment: StoreFault.Moment) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let run = UploadRun(FaultyStore(base, faults: [StoreFault(.put, moment, error: .outcomeUnknown)]))
            run.add(1...3)
            run.waitForRelease(of: 3)
            run.add(4...4)
            run.waitForRelease(of: 4)
            try expect(base, holds: ["1-3 of 1", "4-4 of 1"])
            #expect(run.uploader.status.outage == nil)
            run.stop()
        }
    }

    /// The retry of a lost answer finds its own object.
    @Test func aLostAnswerIsSettled() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let run = UploadRun(FaultyStore(base, faults: [StoreFault(.put, .afterEffect), StoreFault(.get)]))
            run.add(1...3)
            run.waitForRelease(of: 3)
            try expect(base, holds: ["1-3 of 1"])
            run.stop()
        }
    }

    @Test func anOutageIsNotedAndEnds() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let store = HeldStore(FaultyStore(base, faults: [StoreFault(.put)]))
            let run = UploadRun(store)
            run.add(1...2)
            store.waitForHeld(1)
            #expect(run.uploader.status.outage == nil)
            store.letThrough(0)
            store.waitForHeld(1)
            let status = run.uploader.status
            #expect(status.outage?.contains("a planned failure of put") == true)
            #expect(status.backlogCount == 2 && status.backlogSize == 162)
            store.open()
            run.waitForRelease(of: 2)
            #expect(run.uploader.status.outage == nil)
            run.stop()
        }
    }

    // MARK: - A backlog that does not fit into memory

    /// Goal: each reading looks for its beginning in the log, so that a backlog of many batches is read in one go. Method: a
    /// node stops: what waits is flushed; the readings are counted.
    @Test func aSpilledBacklogIsReadBackInOneGo() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let size = LogFormat.frameSize(LogFixture.entries(1...1)[0])
            let run = UploadRun(base, isSynchronous: false, memoryMax: 10 * size)
            for index in 1...400 { run.add(index...index) }
            run.uploader.flush()
            run.waitForRelease(of: 400)
            #expect(run.events.withLock { $0.readBack } == [11...400])
            try expect(base, holds: ["1-400 of 1"])
            let entries = try chain(BlockingStore(base)).entries
            #expect(entries == LogFixture.entries(1...400))
            run.stop()
        }
    }

    /// As many readings as objects where it does not fit into one.
    @Test func aLargeSpilledBacklogIsReadOncePerObject() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let size = LogFormat.frameSize(LogFixture.entries(1...1)[0])
            let store = HeldStore(base)
            let run = UploadRun(store, isSynchronous: false, sizeMax: 100 * size, memoryMax: 0)
            run.add(1...1)
            run.uploader.flush()
            store.waitForHeld(1)
            for index in 2...301 { run.add(index...index) }
            run.uploader.flush()
            store.open()
            run.waitForRelease(of: 301)
            #expect(run.events.withLock { $0.readBack } == [1...1, 2...101, 102...201, 202...301])
            run.stop()
        }
    }

    // MARK: - Objects that are there already

    func put(
        _ indexes: ClosedRange<Int>, entryTerm: UInt64 = 1, term: UInt64, after previousTerm: UInt64 = 1,
        in store: any ObjectStore
    ) async throws {
        let first = UInt64(indexes.lowerBound)
        let bytes = LogObject.encode(
            LogFixture.entries(indexes, term: entryTerm), databaseID: LogFixture.databaseID, term: term,
            previous: first == 1 ? .zero : LogPosition(term: previousTerm, index: first - 1))
        _ = try await store.put(StoreLayout.log(firstIndex: first), .bytes(bytes), when: .absent)
    }

    @Test func anEarlierRunsObjectIsAdopted() async throws {
        let base = try await makeMemoryStore()
        try await put(1...2, term: 2, in: base)
        try await onThread {
            let run = UploadRun(base, term: 3)
            run.add(1...5)
            run.waitForRelease(of: 5)
            try expect(base, holds: ["1-2 of 2", "3-5 of 3"])
            let entries = try chain(BlockingStore(base)).entries
            #expect(entries == LogFixture.entries(1...5))
            run.stop()
        }
    }

    @Test func otherEntriesThatContinueTheChainAreAFailureAndStay() async throws {
        for (entryTerm, last) in [(2, 2), (1, 7)] as [(UInt64, Int)] {
            let base = try await makeMemoryStore()
            try await put(1...last, entryTerm: entryTerm, term: 2, in: base)
            try await onThread {
                let run = UploadRun(base, term: 3)
                run.add(1...5)
                #expect(run.waitForFailure().contains("entries 1 to \(last) which this node does not have"))
                #expect(run.events.withLock { $0.refused } == [5])
                #expect(run.released.isEmpty)
                #expect(!run.uploader.wait(for: 1))
                run.add(6...6)
                #expect(run.events.withLock { $0.refused } == [5, 6])
                #expect(run.events.withLock { $0.failures.count } == 1)
                try expect(base, holds: ["1-\(last) of 2"])
                run.stop()
            }
        }
    }

    @Test func anOrphanIsReplaced() async throws {
        let base = try await makeMemoryStore()
        try await put(1...2, term: 2, in: base)
        try await put(3...6, term: 1, after: 0, in: base)
        try await onThread {
            let run = UploadRun(base, term: 3, end: LogPosition(term: 1, index: 2), endTerm: 2)
            run.add(3...4)
            run.waitForRelease(of: 4)
            try expect(base, holds: ["1-2 of 2", "3-4 of 3"])
            run.stop()
        }
    }

    /// A reader ends where header terms fall, so an object of a lower term is none of the chain even with the same entries.
    @Test func theSameEntriesOfALowerTermAreReplaced() async throws {
        let base = try await makeMemoryStore()
        try await put(3...4, term: 2, in: base)
        try await onThread {
            let run = UploadRun(base, term: 3)
            run.add(1...2)
            run.waitForRelease(of: 2)
            run.add(3...4)
            run.waitForRelease(of: 4)
            let entries = try chain(BlockingStore(base)).entries
            #expect(entries == LogFixture.entries(1...4))
            run.stop()
        }
    }

    /// Two objects of a deposed leader landed, and both may be promised: the second must not be taken for an orphan
    /// because the first is not known yet.
    @Test func nothingIsReplacedBeforeWhatIsBeforeItIsSettled() async throws {
        let base = try await makeMemoryStore()
        try await put(3...4, entryTerm: 2, term: 2, after: 2, in: base)
        try await put(1...2, entryTerm: 2, term: 2, in: base)
        try await onThread {
            let store = HeldStore(base)
            let run = UploadRun(store, term: 3)
            run.add(1...2)
            store.waitForHeld(1)
            run.add(3...4)
            for _ in 0..<2 {
                store.waitForHeld(2)
                store.letThrough(LogUploaderTests.second)
            }
            store.open()
            #expect(run.waitForFailure().contains("entries 1 to 2"))
            try expect(base, holds: ["1-2 of 2", "3-4 of 2"])
            run.stop()
        }
    }

    @Test func anOrphanThatIsDeletedMeanwhileIsNoObstacle() async throws {
        let base = try await makeMemoryStore()
        try await put(3...3, term: 1, in: base)
        try await onThread {
            let store = HeldStore(base)
            let run = UploadRun(store, term: 3, end: LogPosition(term: 1, index: 2), endTerm: 2)
            run.add(3...4)
            store.waitForHeld(1)
            store.letThrough(0)
            store.waitForHeld(1)
            try BlockingStore(base).delete([LogUploaderTests.second])
            store.open()
            run.waitForRelease(of: 4)
            try expect(base, holds: ["3-4 of 3"])
            run.stop()
        }
    }

    @Test func aHigherTermIsAFailure() async throws {
        let base = try await makeMemoryStore()
        try await put(1...2, term: 4, in: base)
        try await onThread {
            let run = UploadRun(base, term: 3)
            run.add(1...2)
            #expect(run.waitForFailure().contains("a node with term 4"))
            try expect(base, holds: ["1-2 of 4"])
            run.stop()
        }
    }

    @Test func whatIsNoObjectOfThisDatabaseIsAFailure() async throws {
        let base = try await makeMemoryStore()
        try await base.put(StoreLayout.log(firstIndex: 1), "something else")
        try await onThread {
            let run = UploadRun(base)
            run.add(1...2)
            #expect(run.waitForFailure().contains(StoreLayout.log(firstIndex: 1).rawValue))
            run.stop()
        }
    }

    // MARK: - In the background

    @Test func oldBatchesAreUploadedTogether() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let run = UploadRun(base, isSynchronous: false)
            run.add(1...2)
            run.add(3...4)
            run.passAge()
            run.waitForRelease(of: 4)
            run.add(5...5)
            run.passAge()
            #expect(run.uploader.wait(for: 5))
            try expect(base, holds: ["1-4 of 1", "5-5 of 1"])
            run.stop()
        }
    }

    @Test func manyBytesAreUploadedAtOnce() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            // Two frames have 162 bytes.
            let run = UploadRun(base, isSynchronous: false, sizeMax: 330)
            run.add(1...2)
            run.add(3...4)
            run.add(5...6)
            run.add(7...20)
            #expect(run.uploader.wait(for: 20))
            try expect(base, holds: ["1-4 of 1", "5-6 of 1", "7-20 of 1"])
            run.stop()
        }
    }

    @Test func flushDoesNotWait() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let run = UploadRun(base, isSynchronous: false)
            run.uploader.flush()
            run.add(1...2)
            #expect(run.uploader.status.backlogCount == 2)
            run.uploader.flush()
            #expect(run.uploader.wait(for: 2))
            run.stop()
            #expect(!run.uploader.wait(for: 3))
        }
    }

    // MARK: - Stop

    /// It is stopped while one batch is being released and the next is in the store already.
    @Test func afterStopNothingIsReleased() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let store = HeldStore(base)
            let run = UploadRun(store)
            let gate = Monitor((isEntered: false, isOpen: false))
            run.uploader.add(LogFixture.entries(1...2)) { _ in
                gate.withLock { $0.isEntered = true }
                gate.broadcast()
                gate.wait { $0.isOpen ? () : nil }
            }
            store.waitForHeld(1)
            run.add(3...4)
            store.waitForHeld(2)
            store.open()
            gate.wait { $0.isEntered ? () : nil }
            #expect(run.uploader.wait(for: 4))
            run.uploader.stop()
            gate.withLock { $0.isOpen = true }
            gate.broadcast()
            run.stop()
            #expect(run.released.isEmpty)
        }
    }
}
