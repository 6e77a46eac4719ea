import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: a full disk refuses writes, keeps reads, ends nothing, and is forgotten once there is space.
/// Method: the commit pipeline on an engine that has no space for chosen calls, with a timer that the test lets go.
struct FullDiskTests {
    private typealias Pipeline = PipelineTests.Pipeline

    private func code(_ result: Result<ProposalResponse, DatabaseError>) -> DatabaseError.Code? {
        if case .failure(let error) = result { error.code } else { nil }
    }

    private func keys(_ pipeline: Pipeline) throws -> Int64 {
        try StateReader(pipeline.engine.snapshot()).countLatest(in: .all)
    }

    @Test func anEngineWithoutSpaceIsTriedAgain() async throws {
        let space = FirstValue<Void>()
        let pipeline = try Pipeline(
            plan: FaultPlan([.init(.apply, calls: 2...4, code: .noSpace)]),
            timer: BackoffTimer(clock: ManualClock()) { _ in await space.wait() })
        #expect(code(await pipeline.put("a")) == nil)
        // It is in the log, so that nobody may be told that it was not made.
        #expect(code(await pipeline.put("b")) == .outcomeUnknown)
        let syncs = pipeline.log.state.withLock { $0.syncs }
        for kind in [ProposalKind.deleteRange(DeleteRangeRequest(key: [UInt8]("a"))), .compact(2)] {
            #expect(code(await pipeline.propose(kind)) == .noSpace)
        }
        #expect(code(await pipeline.put("c")) == .noSpace)
        #expect(pipeline.log.state.withLock { $0.syncs } == syncs, "what is refused is not logged")
        #expect(try keys(pipeline) == 1)
        #expect(pipeline.observer.space.withLock { $0 } == [false])

        space.give(())
        try await onThread { pipeline.observer.space.wait { $0 == [false, true] ? () : nil } }
        #expect(code(await pipeline.put("d")) == nil)
        #expect(try keys(pipeline) == 3)
        #expect(try StateReader(pipeline.engine.snapshot()).meta.revision == Revision(4))
        #expect(pipeline.observer.failures.withLock { $0.isEmpty })
        pipeline.stop()
    }

    /// A node that stops does not wait for space.
    @Test func whoStopsGivesUp() async throws {
        let never = FirstValue<Void>()
        let pipeline = try Pipeline(
            plan: FaultPlan([.init(.apply, calls: 2...Int.max, code: .noSpace)]),
            timer: BackoffTimer(clock: ManualClock()) { _ in await never.wait() })
        #expect(code(await pipeline.put("a")) == nil)
        #expect(code(await pipeline.put("b")) == .outcomeUnknown)
        pipeline.stage.stopWaitingForSpace()
        pipeline.stop()
        #expect(pipeline.observer.failures.withLock { $0.count } == 1)
        never.give(())
    }

    @Test func workBehindTheScenesWaitsForSpaceToo() async throws {
        let memory = try BackendRegistry.builtIn.makeEngine(
            "memory", settings: NoSettings(),
            context: EngineContext(directory: "/nonexistent", isReadOnly: false, logger: Logger(label: "test")))
        let observer = PipelineTests.Observer()
        let plan = FaultPlan([.init(.apply, calls: 1...3, code: .noSpace), .init(.sync, calls: 1...1, code: .noSpace)])
        let stage = ApplyStage(
            engine: FaultyEngine(memory, plan: plan), meta: .initial, position: .zero, observer: observer,
            timer: BackoffTimer(clock: ManualClock()) { _ in })
        let answers = ApplyStageTests.Answers()
        stage.maintain(WriteBatch()) { answers.add("removal", $0) }
        stage.sync { answers.add("sync", $0) }
        stage.stop()
        try await onThread { stage.run() }
        #expect(answers.all == ["removal done", "sync done"])
        #expect(observer.space.withLock { $0 } == [false, true])
        #expect(observer.failures.withLock { $0.isEmpty })
    }

    @Test func operatorsHearOfAFullDiskOnce() async throws {
        let pipeline = try Pipeline()
        pipeline.log.change { $0.isFull = true }
        for _ in 0..<3 { #expect(code(await pipeline.put("a")) == .noSpace) }
        // Says nothing of room for others.
        #expect(code(await pipeline.propose(.deleteRange(DeleteRangeRequest(key: [UInt8]("a"))))) == nil)
        #expect(pipeline.observer.space.withLock { $0 } == [false])
        pipeline.log.change { $0.isFull = false }
        for _ in 0..<3 { #expect(code(await pipeline.put("a")) == nil) }
        #expect(pipeline.observer.space.withLock { $0 } == [false, true])
        pipeline.stop()
    }

    /// A disk that cannot even say how much space it has: nobody waits for ever for an answer.
    @Test(arguments: [false, true]) func aFailedMeasurementEndsTheNode(_ takesOver: Bool) throws {
        let pipeline = try Pipeline()
        pipeline.log.change { $0.failsMeasurement = true }
        let answers = Monitor<[DatabaseError.Code?]>([])
        for count in 1...2 {
            let proposal = Proposal(.put(PutRequest(key: [1], value: []))) { result in
                answers.withLock { $0.append(code(result)) }
                answers.broadcast()
            }
            if pipeline.queue.submit(proposal, takesOver: takesOver) { pipeline.commit.commitHere(proposal) }
            answers.wait { $0.count == count ? () : nil }
        }
        #expect(answers.withLock { $0 } == [.stopped, .stopped])
        #expect(pipeline.log.state.withLock { $0.syncs } == 0)
        pipeline.stop()
        #expect(pipeline.observer.failures.withLock { $0.count } == 1)
    }
}
