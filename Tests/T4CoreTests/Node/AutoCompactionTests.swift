import Logging
import Synchronization
import T4Conformance
import Testing

@testable import T4Core

/// Goal: history is compacted by itself at the times and to the revisions that etcd's compactor chooses. Method: a clock
/// that is set by hand, and revisions and answers that the test gives; no time passes.
@Suite struct AutoCompactionTests {
    /// What a compactor sees and asks for.
    private final class Database: Sendable {
        let newest = Mutex(Revision.initial)
        let proposals = Mutex<[(target: Int64, done: @Sendable (DatabaseError?) -> Void)]>([])
    }

    /// A compactor whose clock the test moves from one due step to the next.
    private final class World: Sendable {
        let clock = ManualClock()
        let database = Database()
        let compactor: AutoCompactor

        init(_ retention: CompactionRetention) {
            compactor = AutoCompactor(
                retention, clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                newest: { [database] in database.newest.withLock { $0 } },
                propose: { [database] target, done in
                    database.proposals.withLock { $0.append((target.rawValue, done)) }
                })
        }

        func setNewest(_ revision: Int64) { database.newest.withLock { $0 = Revision(revision) } }

        /// Steps until there is nothing to do, moves the clock to the next step, and does that.
        /// - Returns: How far it moved; nil when the compactor waits for an answer.
        @discardableResult
        func look() -> Duration? {
            guard case .after(let time) = compactor.step() else { return nil }
            clock.advance(by: time)
            _ = compactor.step()
            return time
        }

        /// What is proposed now.
        var proposed: Int64? { database.proposals.withLock { $0.last?.target } }

        func answer(_ error: DatabaseError.Code? = nil) {
            let last = database.proposals.withLock { $0.popLast() }
            last?.done(error.map { DatabaseError($0) })
        }
    }

    /// The tenth look is the first that compacts; a later one compacts what is a retention and one look old.
    @Test(arguments: [
        (Duration.seconds(1), Duration.milliseconds(100)), (.seconds(5), .milliseconds(500)),
        (.seconds(59 * 60), .seconds(354)), (.seconds(3600), .seconds(360)),
    ])
    func aTimeIsKept(_ retention: Duration, _ look: Duration) {
        let world = World(.time(retention))
        world.setNewest(1)
        for number in 1...9 {
            #expect(world.look() == look)
            #expect(world.proposed == nil, "look \(number)")
            // What look N sees is N times 100 more.
            world.setNewest(Int64(100 * number))
        }
        world.look()
        #expect(world.proposed == 1, "the revision of the beginning")
        world.answer()
        for number in 11...19 {
            #expect(world.look() == look)
            #expect(world.proposed == nil, "look \(number)")
        }
        world.look()
        #expect(world.proposed == 800, "what look 9 saw")
    }

    /// Longer retentions are compacted every hour, from when the first is over.
    @Test func aLongTimeIsCompactedEveryHour() {
        let world = World(.time(.seconds(24 * 3600)))
        for number in 1...239 {
            #expect(world.look() == .seconds(360))
            #expect(world.proposed == nil, "look \(number)")
            world.setNewest(Int64(number))
        }
        world.look()
        #expect(world.proposed == 1)
        world.answer()
        for hour in 1...3 {
            for _ in 1...9 {
                world.look()
                #expect(world.proposed == nil, "hour \(hour)")
            }
            world.look()
            // Look N saw N - 1, and the beginning 1: of 241 looks kept the oldest is that of 241 looks ago.
            #expect(world.proposed == Int64(10 * hour - 2))
            world.answer()
        }
    }

    @Test func whatFailedIsTriedAgainAtTheNextLook() {
        let world = World(.time(.seconds(100)))
        for _ in 1...10 { world.look() }
        #expect(world.proposed == 1)
        world.answer(.corrupt)
        #expect(world.look() == .seconds(10))
        #expect(world.proposed == 1)
        // What is compacted already needs no other try.
        world.answer(.compacted)
        for _ in 1...9 {
            world.look()
            #expect(world.proposed == nil)
        }
        world.look()
        #expect(world.proposed == 1)
    }

    @Test func nothingHappensWhileAnAnswerIsOut() {
        let world = World(.time(.seconds(100)))
        for _ in 1...10 { world.look() }
        world.clock.advance(by: .seconds(1000))
        #expect(world.look() == nil)
        #expect(world.database.proposals.withLock { $0.count } == 1)
        world.answer()
        // The next look is one interval after the answer, however late that was.
        #expect(world.look() == .seconds(10))
        #expect(world.proposed == nil)
    }

    @Test func revisionsAreKept() {
        let world = World(.revisions(100))
        world.setNewest(100)
        #expect(world.look() == .seconds(300))
        #expect(world.proposed == nil, "nothing is that old")
        world.setNewest(150)
        world.look()
        #expect(world.proposed == 50)
        world.answer(.noSpace)
        world.look()
        #expect(world.proposed == 50)
        world.answer()
        world.look()
        #expect(world.proposed == nil, "nothing was written")
        world.setNewest(151)
        world.look()
        #expect(world.proposed == 51)
        world.answer(.compacted)
        world.look()
        #expect(world.proposed == nil)
    }

    /// In a node, with the real thread: one second is the shortest retention that the settings allow.
    @Test func aNodeCompactsByItself() async throws {
        let test = try TestNode { $0.retention = .time(.milliseconds(10)) }
        for number in 0..<3 as Range<UInt8> { try await test.node.put(PutRequest(key: [1], value: [number])) }
        // A watch from the first revision fails once that is compacted.
        let ended = AsyncStream<Void>.makeStream()
        let stream = try #require(
            test.node.watches.openStream { ended.continuation.yield() })
        var wakes = ended.stream.makeAsyncIterator()
        var isCompacted = false
        while !isCompacted {
            _ = stream.create(WatchSpec(key: [1], startRevision: 2))
            await wakes.next()
            for delivery in stream.drain(maxBytes: 1 << 20) {
                if case .canceled(_, .compacted(let revision), _) = delivery { isCompacted = revision > Revision(2) }
            }
        }
        #expect(test.node.compactedRevision > Revision(2))
        #expect(try test.node.range(RangeRequest(key: [1])).kvs.map(\.value) == [[2]])
    }
}
