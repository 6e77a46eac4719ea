import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: a node that only applies what another decided has the same rows, and tells watches the same, with the versions replaced.
/// Method: random proposals through a commit pipeline; its log through an `EntryApplier` in pieces of any size.
@Suite struct EntryApplierTests {
    private final class Follower {
        let engine: any LocalEngine
        let observer = PipelineTests.Observer()
        let stage: ApplyStage
        private let thread: SystemThread

        init(plan: FaultPlan = .none) throws {
            let memory = try CheckpointHistory.makeEngine()
            engine = FaultyEngine(memory, plan: plan)
            let stage = ApplyStage(engine: engine, meta: .initial, position: .zero, observer: observer)
            self.stage = stage
            thread = SystemThread(name: "apply") { stage.run() }
        }

        func stop() {
            stage.stop()
            thread.join()
        }
    }

    private func history(_ random: inout SeededGenerator) async throws -> PipelineTests.Pipeline {
        let pipeline = try PipelineTests.Pipeline()
        _ = await pipeline.propose(.grant(LeaseRecord(id: 7, ttl: 100)))
        for count in 0..<120 {
            let key = [UInt8]("key-\(Int.random(in: 0..<6, using: &random))")
            let put = PutRequest(
                key: key, value: [UInt8]("\(count)"), lease: Bool.random(using: &random) ? 7 : 0)
            switch Int.random(in: 0..<10, using: &random) {
            case 0, 1: _ = await pipeline.propose(.deleteRange(DeleteRangeRequest(key: key)))
            case 2: _ = await pipeline.propose(.deleteRange(DeleteRangeRequest(key: [0], rangeEnd: [0])))
            case 3:
                _ = await pipeline.propose(
                    .txn(
                        TxnRequest(
                            compares: [],
                            success: [.put(put), .deleteRange(DeleteRangeRequest(key: [UInt8]("key-0x")))])))
            case 4: _ = await pipeline.propose(.compact(Int64(count / 2)))
            case 5 where count % 7 == 0:
                _ = await pipeline.propose(.revoke(lease: 7))
                _ = await pipeline.propose(.grant(LeaseRecord(id: 7, ttl: 100)))
            default: _ = await pipeline.propose(.put(put))
            }
        }
        pipeline.stop()
        return pipeline
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func aFollowerSeesWhatTheLeaderDid(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let leader = try await history(&random)
        var entries = leader.log.state.withLock { $0.entries }[...]
        let follower = try Follower()
        let applier = EntryApplier(engine: follower.engine, stage: follower.stage, after: 0)
        while !entries.isEmpty {
            let piece = entries.prefix(Int.random(in: 1...9, using: &random))
            entries = entries.dropFirst(piece.count)
            try applier.apply(Array(piece))
        }
        #expect(follower.stage.waitUntilApplied(applier.number))
        follower.stop()
        #expect(follower.observer.changes.withLock { $0 } == leader.observer.changes.withLock { $0 })
        #expect(follower.observer.metas.withLock { $0.last } == leader.observer.metas.withLock { $0.last })
        #expect(try dump(follower.engine.snapshot()) == dump(leader.engine.snapshot()))
        #expect(try follower.engine.appliedPosition == leader.engine.appliedPosition)
    }

    @Test func anEntryThatCannotFollowIsRefused() async throws {
        var random = SeededGenerator(seed: 1)
        let entries = try await history(&random).log.state.withLock { $0.entries }
        let follower = try Follower()
        let applier = EntryApplier(engine: follower.engine, stage: follower.stage, after: 0)
        #expect(throws: EngineError.self) { try applier.apply([entries[0], entries[2]]) }
        #expect(try follower.engine.appliedPosition == .zero, "nor what came before it")
        follower.stop()
    }

    /// The entry that begins a term changes nothing, and counts as applied.
    @Test func theEntryOfATermIsApplied() throws {
        let follower = try Follower()
        let applier = EntryApplier(engine: follower.engine, stage: follower.stage, after: 0)
        let position = LogPosition(term: 3, index: 1)
        try applier.apply([LogEntry(position: position, time: 5, revision: .none, kind: .term, body: [])])
        #expect(follower.stage.waitUntilApplied(1))
        #expect(try follower.engine.appliedPosition == position)
        follower.stop()
    }

    @Test func anEngineThatFailsRefusesWhatComesAfter() throws {
        let follower = try Follower(plan: FaultPlan([.init(.apply, calls: 1...Int.max)]))
        let applier = EntryApplier(engine: follower.engine, stage: follower.stage, after: 0)
        let entries = (1...2 as ClosedRange<UInt64>).map {
            LogEntry(
                position: LogPosition(term: 1, index: $0), time: 5, revision: .none, kind: .term, body: [])
        }
        try applier.apply([entries[0]])
        #expect(throws: EngineError.self) { try applier.apply([entries[1]]) }
        #expect(follower.observer.failures.withLock { $0.count } == 1)
        follower.stop()
    }
}
