import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: what may be repeated is repeated, with random pauses and within the deadline; what may not is not (Rule S1).
/// Method: planned failures of the store below, and time that passes only in pauses.
@Suite struct RetryingStoreTests {
    private let time = PausedTime()

    private func retrying(
        _ faults: [StoreFault], policy: RetryPolicy = RetryPolicy(), random: Double = 1
    ) async throws -> (RetryingStore, FaultyStore) {
        let faulty = FaultyStore(try await makeMemoryStore(), faults: faults)
        return (RetryingStore(faulty, policy: policy, timer: time.timer) { _ in random }, faulty)
    }

    @Test func whatChangedNothingIsTriedAgain() async throws {
        let faults = StoreFault.Operation.allCases.flatMap {
            [StoreFault($0, .beforeEffect, .nth(1)), StoreFault($0, .beforeEffect, .nth(2))]
        }
        let (store, faulty) = try await retrying(faults)
        let version = try await store.put("a", "1", when: .absent)
        try await store.put("a", "2", when: .unchanged(since: version))
        #expect(try await store.get("a", bytes: nil).bytes == Array("2".utf8))
        _ = try await store.info("a")
        #expect(try await store.list(prefix: "", after: nil, limit: 1).objects.count == 1)
        try await store.delete(["a"])
        #expect(faulty.callCount(.put) == 4)
        for operation in [.get, .info, .list, .delete] as [StoreFault.Operation] {
            #expect(faulty.callCount(operation) == 3, "\(operation)")
        }
    }

    @Test(arguments: [StoreFault.Moment.beforeEffect, .afterEffect])
    func aConditionalPutOfUnknownOutcomeIsNotRepeated(_ moment: StoreFault.Moment) async throws {
        let (store, faulty) = try await retrying([
            StoreFault(.put, prefix: "fresh", moment, .from(1), error: .outcomeUnknown),
            StoreFault(.put, prefix: "there", moment, .nth(2), error: .outcomeUnknown),
        ])
        let version = try await store.put("there", "1")
        for (key, condition) in [("fresh", .absent), ("there", .unchanged(since: version))]
            as [(ObjectKey, PutCondition)]
        {
            let calls = faulty.callCount(.put)
            let error = await #expect(throws: ObjectStoreError.self) { try await store.put(key, "x", when: condition) }
            #expect(error?.code == .outcomeUnknown)
            #expect(faulty.callCount(.put) == calls + 1)
        }
        #expect(time.pauses.isEmpty)
    }

    @Test func putsWithoutConditionAndDeletesOfUnknownOutcomeAreRepeated() async throws {
        let (store, faulty) = try await retrying([
            StoreFault(.put, .afterEffect, .nth(1), error: .outcomeUnknown),
            StoreFault(.delete, .afterEffect, .nth(1), error: .outcomeUnknown),
        ])
        try await store.put("a", "1")
        try await store.delete(["a"])
        #expect(faulty.callCount(.put) == 2)
        #expect(faulty.callCount(.delete) == 2)
    }

    @Test func anUnknownOutcomeStaysUnknownWhenALaterAttemptChangedNothing() async throws {
        let (store, _) = try await retrying([
            StoreFault(.put, .afterEffect, .nth(1), error: .outcomeUnknown), StoreFault(.put, .beforeEffect, .from(2)),
        ])
        let error = await #expect(throws: ObjectStoreError.self) { try await store.put("a", "1") }
        #expect(error?.code == .outcomeUnknown)
    }

    @Test func answersAreNotRepeated() async throws {
        let (store, faulty) = try await retrying([])
        try await store.put("a", "1")
        await #expect(throws: ObjectStoreError.self) { try await store.put("a", "2", when: .absent) }
        await #expect(throws: ObjectStoreError.self) { _ = try await store.get("b", bytes: nil) }
        #expect(faulty.callCount(.put) == 2)
        #expect(faulty.callCount(.get) == 1)
    }

    @Test func pausesGrowToALimitAndEndBeforeTheDeadline() async throws {
        let policy = RetryPolicy(deadline: .seconds(10), pauseFirst: .milliseconds(500), pauseMax: .seconds(3))
        let (store, faulty) = try await retrying([StoreFault(.get, .beforeEffect, .from(1))], policy: policy)
        let error = await #expect(throws: ObjectStoreError.self) { _ = try await store.get("a", bytes: nil) }
        #expect(error?.code == .unavailable)
        #expect(time.pauses == [.milliseconds(500), .seconds(1), .seconds(2), .seconds(3), .seconds(3)])
        #expect(faulty.callCount(.get) == 6)
    }

    @Test func pausesAreDrawnFromTheWholeRange() async throws {
        let (store, _) = try await retrying(
            [StoreFault(.get, .beforeEffect, .nth(1)), StoreFault(.get, .beforeEffect, .nth(2))], random: 0.25)
        await #expect(throws: ObjectStoreError.self) { _ = try await store.get("a", bytes: nil) }
        #expect(time.pauses == [.milliseconds(25), .milliseconds(50)])
    }

    @Test func aPauseEndsWhenItsTaskIsCancelled() async {
        let task = Task { await BackoffTimer.system.pause(.seconds(3600)) }
        task.cancel()
        await task.value
    }

    @Test func aPauseEndsByItself() async {
        let start = BootClock().now
        await BackoffTimer.system.pause(.milliseconds(20))
        #expect(BootClock().now - start >= .milliseconds(20))
    }
}
