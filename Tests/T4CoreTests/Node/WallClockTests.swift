import T4Protocols
import Testing

@testable import T4Core

/// Goal: a wall clock that jumps, while a node runs and between two runs, makes no lease end early or late, brings no
/// commit time in the log behind an earlier one, and leaves every moment of the log to restore.
/// Method: nodes with a wall clock that is set by hand.
struct WallClockTests {
    private static let hour: UInt64 = 3600 * 1_000_000_000
    private static let start: UInt64 = 1_700_000_000_000_000_000

    /// A wall clock.
    private final class Hands: Sendable {
        private let time = Monitor(WallClockTests.start)

        var clock: Clock { Clock { self.time.withLock { $0 } } }

        func set(_ time: UInt64) { self.time.withLock { $0 = time } }
    }

    private struct Commit {
        var time: UInt64
        var revision: Revision
    }

    /// Of the log in the store: a checkpoint may have cut the local one.
    private func commits(_ test: StoreNode) async throws -> [Commit] {
        let chain = try await test.chain
        return try await onThread {
            var commits: [Commit] = []
            _ = try chain.read(after: .zero) { entry in
                commits.append(Commit(time: entry.time, revision: entry.revision))
                return .next
            }
            return commits
        }
    }

    @Test func timesInTheLogNeverFallAndEveryMomentCanBeRestored() async throws {
        let hands = Hands()
        let test = try await StoreNode(.local)
        test.clock = hands.clock
        test.settings.stopTimeout = .seconds(60)
        try await test.start()
        let lease = try await test.node.grantLease(ttl: 100_000)
        let (start, hour) = (Self.start, Self.hour)
        // An hour back, a day ahead, back to nearly the beginning; the second half after a start in the past.
        var expected: [UInt64] = []
        for (number, time) in [
            start + 1, start - hour, start + 5, start + 24 * hour, start + 10, start - hour, start + 25 * hour,
            start - 24 * hour, start + 26 * hour,
        ].enumerated() {
            hands.set(time)
            if number == 5 { try await test.restart() }
            try await test.put("key", "\(number)")
            expected.append(max(time, expected.last ?? start))
            let left = try #require(test.node.leases.timeToLive(lease.id))
            #expect(left.granted == 100_000 && left.remaining > 90_000)
        }
        #expect(test.node.leases.ids == [lease.id])
        #expect(test.node.leases.renew(lease.id) == 100_000)
        try await test.stop()
        let found = try await commits(test)
        #expect(found.map(\.time) == found.map(\.time).sorted())
        let writes = found.filter { $0.revision != .none }
        #expect(writes.map(\.time) == expected)

        func restored(_ time: UInt64) async throws -> Revision {
            try await RestorePoint(store: test.base, prefix: "db/", target: .time(time)).plan().revision
        }
        for write in writes {
            let here = try #require(writes.last { $0.time <= write.time })
            #expect(try await restored(write.time) == here.revision)
            let before = writes.last { $0.time < write.time }?.revision ?? .initial
            #expect(try await restored(write.time - 1) == before)
        }
        #expect(try await restored(.max) == writes.last?.revision)
        await #expect(throws: RestoreError.self) { try await restored(start - 1) }
    }

    /// What could be restored yesterday can still be, although the clock says that this was long ago.
    @Test func aJumpAheadCondemnsNothing() async throws {
        let (hands, elapsed) = (Hands(), ManualClock())
        let test = try await StoreNode(.local)
        (test.clock, test.elapsed) = (hands.clock, elapsed)
        test.settings.stopTimeout = .seconds(60)
        test.settings.collection = CollectionPolicy(keep: 1, retain: .seconds(24 * 3600))
        try await test.start()
        var time = Self.start
        var revisions: [UInt64: Revision] = [:]
        for round in 0..<6 {
            // From the third round on the clock is two days ahead.
            time += 60 * 1_000_000_000 + (round == 2 ? 48 * Self.hour : 0)
            hands.set(time)
            // Each checkpoint is followed by a collection.
            elapsed.advance(by: .seconds(360))
            try await test.put("key", "\(round)")
            revisions[time] = test.node.revision
            try await test.node.checkpoint()
        }
        try await test.stop()
        for (time, revision) in revisions {
            let plan = try await RestorePoint(store: test.base, prefix: "db/", target: .time(time)).plan()
            #expect(plan.revision == revision)
        }
    }

    @Test func timeForRetentionFollowsOnlyWhatHasPassed() {
        let (hands, elapsed) = (Hands(), ManualClock())
        let clock = hands.clock.notAhead(of: elapsed)
        #expect(clock.wall() == Self.start)
        hands.set(Self.start + Self.hour)
        #expect(clock.wall() == Self.start)
        elapsed.advance(by: .seconds(1800))
        #expect(clock.wall() == Self.start + Self.hour / 2)
        elapsed.advance(by: .seconds(7200))
        #expect(clock.wall() == Self.start + Self.hour)
        hands.set(Self.start - Self.hour)
        #expect(clock.wall() == Self.start - Self.hour)
    }
}
