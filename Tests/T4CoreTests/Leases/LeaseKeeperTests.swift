import Synchronization
import T4Conformance
import Testing

@testable import T4Core

// Goal: leases expire at their time, never early, once, and cannot be renewed afterwards. Method: a manual clock and
// a store that answers when told; one test with the keeper's own thread.

/// Records the proposals and answers them when told.
final class FakeLeaseStore: LeaseStore {
    typealias Completion = @Sendable (Result<Revision, DatabaseError>) -> Void

    private let waiting = Mutex<[(id: Int64, completion: Completion)]>([])
    private let total = Mutex(0)
    let onProposal = Mutex<@Sendable (Int64) -> Void>({ _ in })

    func revokeExpired(_ id: Int64, completion: @escaping Completion) {
        waiting.withLock { $0.append((id, completion)) }
        total.withLock { $0 += 1 }
        onProposal.withLock { $0 }(id)
    }

    var proposed: [Int64] { waiting.withLock { $0.map(\.id) } }
    var count: Int { total.withLock { $0 } }

    /// Answers all that wait; a success is applied first.
    func answer(_ keeper: LeaseKeeper, error: DatabaseError.Code? = nil) {
        let answered = waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for (id, completion) in answered {
            if let error {
                completion(.failure(DatabaseError(error)))
            } else {
                keeper.revoked(id)
                completion(.success(Revision(2)))
            }
        }
    }
}

@Suite struct LeaseKeeperTests {
    private let store = FakeLeaseStore()
    private let clock = ManualClock()

    private func makeKeeper(_ change: (inout LeaseSettings) -> Void = { _ in }) -> LeaseKeeper {
        var settings = LeaseSettings()
        change(&settings)
        let keeper = LeaseKeeper(store: store, settings: settings, clock: clock)
        keeper.promote()
        return keeper
    }

    /// Steps until nothing is due.
    private func run(_ keeper: LeaseKeeper) {
        while case .again = keeper.step() {}
    }

    @Test func shortTimesToLiveAreRaised() {
        let keeper = makeKeeper()
        for (wish, ttl) in [(10, 10), (2, 2), (1, 2), (0, 2), (-5, 2), (Int64.min, 2)] {
            #expect(keeper.ttl(forWish: wish) == ttl)
        }
        #expect(makeKeeper { $0.minimumTTL = 7 }.ttl(forWish: 3) == 7)
    }

    @Test func idsArePositiveAndDiffer() {
        let keeper = makeKeeper()
        let ids = (0..<1000).map { _ in keeper.makeID() }
        #expect(ids.allSatisfy { $0 > 0 })
        #expect(Set(ids).count == 1000)
    }

    @Test func expiresAtItsTimeAndNotBefore() {
        let keeper = makeKeeper()
        keeper.granted(LeaseRecord(id: 1, ttl: 10))
        clock.advance(by: .seconds(10) - .nanoseconds(1))
        run(keeper)
        #expect(store.proposed == [])
        #expect(keeper.renew(1) == 10)
        clock.advance(by: .seconds(10) - .nanoseconds(1))
        run(keeper)
        #expect(store.proposed == [])
        clock.advance(by: .nanoseconds(1))
        run(keeper)
        #expect(store.proposed == [1])
        run(keeper)
        #expect(store.proposed == [1], "proposed once")
        #expect(keeper.renew(1) == nil)
        #expect(keeper.ids == [1], "it exists until the revoke is applied")
        store.answer(keeper)
        #expect(keeper.ids == [])
        #expect(keeper.timeToLive(1) == nil)
        clock.advance(by: .seconds(100))
        run(keeper)
        #expect(store.count == 1)
    }

    @Test func timeToLiveIsRoundedDown() throws {
        let keeper = makeKeeper()
        keeper.granted(LeaseRecord(id: 1, ttl: 10))
        #expect(try #require(keeper.timeToLive(1)) == (10, 10))
        clock.advance(by: .milliseconds(1))
        #expect(try #require(keeper.timeToLive(1)) == (9, 10))
        clock.advance(by: .milliseconds(9500))
        #expect(try #require(keeper.timeToLive(1)) == (0, 10))
        clock.advance(by: .seconds(10))
        #expect(try #require(keeper.timeToLive(1)) == (0, 10))
        #expect(keeper.timeToLive(2) == nil)
        #expect(keeper.renew(2) == nil)
    }

    @Test func anExpiredLeaseIsNotRenewedEvenBeforeItsProposal() {
        let keeper = makeKeeper()
        keeper.granted(LeaseRecord(id: 1, ttl: 5))
        clock.advance(by: .seconds(5))
        #expect(keeper.renew(1) == nil)
        run(keeper)
        #expect(store.proposed == [1])
        store.answer(keeper, error: .tooManyRequests)
        #expect(keeper.renew(1) == nil)
    }

    @Test func failuresAreRepeatedWithGrowingDelay() {
        let keeper = makeKeeper()
        keeper.granted(LeaseRecord(id: 1, ttl: 5))
        clock.advance(by: .seconds(5))
        run(keeper)
        for delay in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            store.answer(keeper, error: .outcomeUnknown)
            clock.advance(by: .milliseconds(delay - 1))
            run(keeper)
            #expect(store.proposed == [], "too early for \(delay)")
            clock.advance(by: .milliseconds(1))
            run(keeper)
            #expect(store.proposed == [1], "missing after \(delay)")
        }
        store.answer(keeper, error: .leaseNotFound)
        #expect(keeper.ids == [])
        clock.advance(by: .seconds(60))
        run(keeper)
        #expect(store.proposed == [])
    }

    @Test func anIDGrantedAnewIsAnotherLease() {
        let keeper = makeKeeper()
        keeper.granted(LeaseRecord(id: 1, ttl: 5))
        keeper.revoked(1)
        keeper.revoked(1)
        keeper.granted(LeaseRecord(id: 1, ttl: 60))
        clock.advance(by: .seconds(59))
        run(keeper)
        #expect(store.proposed == [])
        clock.advance(by: .seconds(1))
        run(keeper)
        #expect(store.proposed == [1])
        keeper.revoked(1)
        keeper.granted(LeaseRecord(id: 1, ttl: 5))
        store.answer(keeper, error: .outcomeUnknown)
        #expect(keeper.renew(1) == 5, "a late answer concerns the earlier lease")
    }

    @Test func idsComeInOrderOfExpiry() {
        let keeper = makeKeeper()
        for (id, ttl) in [(1, 30), (2, 12), (3, 20)] as [(Int64, Int64)] {
            keeper.granted(LeaseRecord(id: id, ttl: ttl))
        }
        #expect(keeper.ids == [2, 3, 1])
        clock.advance(by: .seconds(9))
        _ = keeper.renew(2)
        #expect(keeper.ids == [3, 2, 1])
        #expect(keeper.count == 3)
    }

    @Test func timeStandsStillWhilePaused() {
        let keeper = makeKeeper()
        keeper.granted(LeaseRecord(id: 1, ttl: 10))
        clock.advance(by: .seconds(4))
        keeper.pause()
        keeper.pause()
        clock.advance(by: .seconds(100))
        run(keeper)
        #expect(store.proposed == [])
        #expect(keeper.timeToLive(1)?.remaining == 6)
        keeper.resume()
        keeper.resume()
        clock.advance(by: .seconds(6) - .nanoseconds(1))
        run(keeper)
        #expect(store.proposed == [])
        clock.advance(by: .nanoseconds(1))
        run(keeper)
        #expect(store.proposed == [1])
    }

    @Test func nothingExpiresBeforeThePromotionAfterARestart() {
        let keeper = LeaseKeeper(store: store, clock: clock)
        keeper.granted(LeaseRecord(id: 1, ttl: 10))
        clock.advance(by: .seconds(1000))
        run(keeper)
        #expect(store.proposed == [])
        keeper.promote()
        #expect(keeper.timeToLive(1)?.remaining == 10)
        clock.advance(by: .seconds(10) - .nanoseconds(1))
        run(keeper)
        #expect(store.proposed == [])
        clock.advance(by: .nanoseconds(1))
        run(keeper)
        #expect(store.proposed == [1])
    }

    @Test func aPromotionGivesFullTimeAndForgetsEarlierProposals() {
        let keeper = makeKeeper { $0.revocationsMax = 1 }
        keeper.granted(LeaseRecord(id: 1, ttl: 5))
        keeper.granted(LeaseRecord(id: 2, ttl: 8))
        clock.advance(by: .seconds(6))
        run(keeper)
        #expect(store.proposed == [1])
        keeper.promote()
        #expect(keeper.renew(1) == 5)
        #expect(keeper.timeToLive(2)?.remaining == 8)
        store.answer(keeper, error: .stopped)
        #expect(keeper.renew(1) == 5)
        clock.advance(by: .seconds(5))
        run(keeper)
        #expect(store.proposed == [1])
        store.answer(keeper)
        clock.advance(by: .seconds(3))
        run(keeper)
        #expect(store.proposed == [2], "the earlier answer took no place in flight")
    }

    @Test func tenThousandExpireInBoundedBatches() {
        let keeper = makeKeeper { $0.revocationsMax = 100 }
        for id in 1...10_000 { keeper.granted(LeaseRecord(id: Int64(id), ttl: Int64(2 + id % 3))) }
        clock.advance(by: .seconds(10))
        var largest = 0
        var seen: Set<Int64> = []
        for round in 0..<1000 {
            run(keeper)
            let proposed = store.proposed
            if keeper.count == 0 { break }
            if proposed.isEmpty { clock.advance(by: .seconds(1)) }
            largest = max(largest, proposed.count)
            // Every seventh batch fails once.
            if round % 7 == 3 {
                store.answer(keeper, error: .tooManyRequests)
                clock.advance(by: .milliseconds(200))
            } else {
                seen.formUnion(proposed)
                store.answer(keeper)
            }
        }
        #expect(largest == 100)
        #expect(seen.count == 10_000)
        #expect(keeper.count == 0)
    }

    @Test func longLeasesThatAreRevokedLeaveNothingBehind() {
        let keeper = makeKeeper()
        for id in 1...20_000 {
            keeper.granted(LeaseRecord(id: Int64(id), ttl: 9_000_000_000))
            keeper.revoked(Int64(id))
        }
        #expect(keeper.pendingEntries < 2000)
    }

    @Test(arguments: 0..<50) func randomLivesAgainstASimpleModel(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let keeper = makeKeeper { $0.revocationsMax = 3 }
        var deadlines: [Int64: Duration] = [:]
        var ttls: [Int64: Int64] = [:]
        for step in 0..<400 {
            let id = Int64.random(in: 1...8, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0 where deadlines[id] == nil:
                let ttl = Int64.random(in: 2...9, using: &random)
                keeper.granted(LeaseRecord(id: id, ttl: ttl))
                (deadlines[id], ttls[id]) = (clock.now + .seconds(ttl), ttl)
            case 1:
                let isAlive = deadlines[id].map { $0 > clock.now } ?? false
                #expect(keeper.renew(id) == (isAlive ? ttls[id] : nil), "step \(step)")
                if isAlive, let ttl = ttls[id] { deadlines[id] = clock.now + .seconds(ttl) }
            case 2: clock.advance(by: .milliseconds(.random(in: 1...1500, using: &random)))
            case 3:
                for id in store.proposed { deadlines[id] = nil }
                store.answer(keeper)
            case 4 where !store.proposed.contains(id):
                keeper.revoked(id)
                deadlines[id] = nil
            default: run(keeper)
            }
            for id in store.proposed { #expect(deadlines[id].map { $0 <= clock.now } ?? false, "early at \(step)") }
            #expect(keeper.ids.sorted() == deadlines.keys.sorted())
        }
        clock.advance(by: .seconds(20))
        for _ in 0..<20 {
            run(keeper)
            store.answer(keeper)
        }
        #expect(keeper.count == 0)
    }

    @Test func theThreadProposesAndStops() {
        let keeper = LeaseKeeper(store: store)
        let proposed = Gate()
        let left = Mutex(500)
        store.onProposal.withLock {
            $0 = { _ in
                let remaining = left.withLock { left in
                    left -= 1
                    return left
                }
                if remaining % 100 == 0 { proposed.open() }
            }
        }
        keeper.start()
        keeper.start()
        keeper.promote()
        // The store answers from this thread: at most 256 are in flight.
        for id in 1...500 { keeper.granted(LeaseRecord(id: Int64(id), ttl: 0)) }
        while keeper.count > 0 {
            proposed.wait()
            store.answer(keeper)
            if left.withLock({ $0 }) == 0 { store.answer(keeper) }
        }
        keeper.stop()
        keeper.stop()
        #expect(store.count == 500)
        keeper.granted(LeaseRecord(id: 1, ttl: 0))
        #expect(store.count == 500)
    }
}
