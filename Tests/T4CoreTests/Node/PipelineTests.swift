import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Core
import T4Protocols
import Testing

/// The commit pipeline on a log double that fails, and on a queue that is full.
struct PipelineTests {
    /// A log in memory that can be told to fail.
    final class FakeLog: EntryLog, @unchecked Sendable {
        // Sendable: the tests change `plan` and read `entries` only through the mutex.
        struct State {
            var entries: [LogEntry] = []
            var failsAppend = false
            var failsMeasurement = false
            var isFull = false
            var syncs = 0
            var gate: Bool?
            /// Threads that are held by the gate.
            var held = 0
            /// Called in each sync.
            var onSync: (@Sendable () -> Void)?
        }
        let state = Monitor(State())

        func appendAndSync(_ entries: [LogEntry]) throws(LogError) {
            state.withLock { $0.held += 1 }
            state.broadcast()
            let (fails, onSync) = state.wait { state -> (Bool, (@Sendable () -> Void)?)? in
                // A closed gate holds whoever commits inside the fsync.
                if state.gate == true { return nil }
                state.held -= 1
                state.syncs += 1
                if !state.failsAppend { state.entries += entries }
                return (state.failsAppend, state.onSync)
            }
            onSync?()
            if fails { throw LogError(.ioFailed, "fsync: Input/output error") }
        }

        func measureRoom() throws(LogError) {
            if state.withLock({ $0.failsMeasurement }) { throw LogError(.ioFailed, "statvfs: Input/output error") }
        }

        func hasRoom(forBytes size: Int, usingSpare: Bool) -> Bool {
            state.withLock { !$0.isFull || usingSpare }
        }

        func sealIfOlder(than age: Duration, now: UInt64) throws(LogError) -> LogSegment? { nil }
        func close() {}

        /// Waits until somebody is held by the closed gate.
        func waitUntilHeld() { _ = state.wait { $0.held > 0 ? true : nil } }

        func change(_ body: (inout State) -> Void) {
            state.withLock { body(&$0) }
            state.broadcast()
        }
    }

    final class Observer: CommitObserver {
        let failures = Mutex<[String]>([])
        let metas = Mutex<[MetaRow]>([])
        /// Each time that space ran out (false) or returned (true).
        let space = Monitor<[Bool]>([])
        /// What was committed, with what it replaced.
        let changes = Mutex<[String]>([])
        func willApply(_ groups: [CommittedGroup]) {}
        func committed(_ groups: [CommittedGroup], meta: MetaRow) {
            metas.withLock { $0.append(meta) }
            changes.withLock { $0 += groups.flatMap(\.entries).map { "\($0)" } }
        }
        func spaceRanOut(_ error: EngineError) { roomChanged(isShort: true) }
        func spaceReturned() { roomChanged(isShort: false) }
        func roomChanged(isShort: Bool) {
            space.withLock { $0.append(!isShort) }
            space.broadcast()
        }
        func failed(_ error: any Error) { failures.withLock { $0.append("\(error)") } }
    }

    /// A pipeline without a node around it.
    final class Pipeline: Sendable {
        let log = FakeLog()
        let observer = Observer()
        let queue: ProposalQueue
        let engine: any LocalEngine
        let commit: CommitThread
        let stage: ApplyStage
        private let threads: [SystemThread]

        init(
            countMax: Int = 1000, elapsed: any ElapsedClock = ManualClock(), plan: FaultPlan = .none,
            timer: BackoffTimer = .system
        ) throws {
            let memory = try CheckpointHistory.makeEngine()
            engine = FaultyEngine(memory, plan: plan)
            queue = ProposalQueue(countMax: countMax, bytesMax: 1 << 20)
            let stage = ApplyStage(
                engine: engine, meta: .initial, position: .zero, observer: observer, timer: timer)
            self.stage = stage
            let commit = try CommitThread(
                engine: engine, log: log, queue: queue, stage: stage, observer: observer, position: .zero, time: 0,
                clock: .system, elapsed: elapsed)
            self.commit = commit
            threads = [SystemThread(name: "commit") { commit.run() }, SystemThread(name: "apply") { stage.run() }]
        }

        func put(_ key: String, lease: Int64 = 0) async -> Result<ProposalResponse, DatabaseError> {
            await propose(.put(PutRequest(key: [UInt8](key), value: [1], lease: lease)))
        }

        func propose(_ kind: ProposalKind) async -> Result<ProposalResponse, DatabaseError> {
            await withCheckedContinuation { continuation in
                queue.submit(Proposal(kind) { continuation.resume(returning: $0) })
            }
        }

        func stop() {
            queue.close(DatabaseError(.stopped))
            threads[0].join()
            stage.stop()
            threads[1].join()
        }
    }

    private func code(_ result: Result<ProposalResponse, DatabaseError>) -> DatabaseError.Code? {
        if case .failure(let error) = result { error.code } else { nil }
    }

    @Test func aFailedSyncIsAnUnknownOutcomeAndEndsTheNode() async throws {
        let pipeline = try Pipeline()
        #expect(code(await pipeline.put("a")) == nil)
        pipeline.log.change { $0.failsAppend = true }
        #expect(code(await pipeline.put("b")) == .outcomeUnknown)
        // The log must not be touched again, even if it would work now.
        pipeline.log.change { $0.failsAppend = false }
        #expect(code(await pipeline.put("c")) == .stopped)
        #expect(pipeline.observer.failures.withLock { $0.count } == 1)
        #expect(pipeline.log.state.withLock { $0.syncs } == 2)
        #expect(try StateReader(pipeline.engine.snapshot()).countLatest(in: .all) == 1)
        pipeline.stop()
    }

    @Test func nothingIsVisibleBeforeItIsDurable() async throws {
        let pipeline = try Pipeline()
        pipeline.log.change { $0.gate = true }
        async let result = pipeline.put("a")
        async let failedCompare = pipeline.propose(
            .txn(
                TxnRequest(
                    compares: [Compare(key: [UInt8]("a"), result: .equal, target: .create(0))],
                    success: [.put(PutRequest(key: [UInt8]("b"), value: []))])))
        // Both wait for the sync; the engine shows nothing meanwhile.
        #expect(try StateReader(pipeline.engine.snapshot()).meta == .initial)
        #expect(pipeline.observer.metas.withLock { $0.isEmpty })
        pipeline.log.change { $0.gate = nil }
        #expect(code(await result) == nil)
        #expect(code(await failedCompare) == nil)
        pipeline.stop()
    }

    @Test func aFullDiskRefusesWritesButTakesDeletionsAndAlarms() async throws {
        let pipeline = try Pipeline()
        _ = await pipeline.put("a")
        pipeline.log.change { $0.isFull = true }
        #expect(code(await pipeline.put("b")) == .noSpace)
        #expect(code(await pipeline.propose(.deleteRange(DeleteRangeRequest(key: [UInt8]("a"))))) == nil)
        #expect(code(await pipeline.propose(.compact(2))) == nil)
        let alarm = Alarm(.noSpace, member: 1)
        #expect(code(await pipeline.propose(.raise(alarm))) == nil)
        #expect(code(await pipeline.propose(.disarm(alarm))) == nil)
        pipeline.log.change { $0.isFull = false }
        #expect(code(await pipeline.put("b")) == nil)
        pipeline.stop()
    }

    @Test func aFullQueueRefusesAtOnceAndStopAnswersEverything() async throws {
        let pipeline = try Pipeline(countMax: 8)
        pipeline.log.change { $0.gate = true }
        let results = await withTaskGroup(of: Result<ProposalResponse, DatabaseError>.self) { group in
            for count in 0..<40 { group.addTask { await pipeline.put("k\(count)") } }
            var results: [Result<ProposalResponse, DatabaseError>] = []
            // At most one group is inside the log and eight wait, so refusals come while the gate is closed.
            for await result in group {
                results.append(result)
                if results.count == 1 { pipeline.log.change { $0.gate = nil } }
            }
            return results
        }
        #expect(results.count == 40)
        #expect(results.contains { code($0) == .tooManyRequests })
        let written = results.filter { code($0) == nil }.count
        #expect(try StateReader(pipeline.engine.snapshot()).countLatest(in: .all) == Int64(written))
        pipeline.stop()
        #expect(code(await pipeline.put("late")) == .stopped)
    }

    @Test func entriesSayWhatTheEngineGot() async throws {
        let pipeline = try Pipeline()
        _ = await pipeline.propose(.grant(LeaseRecord(id: 5, ttl: 10)))
        _ = await pipeline.put("a", lease: 5)
        _ = await pipeline.put("b")
        _ = await pipeline.propose(.revoke(lease: 5))
        pipeline.stop()
        let entries = pipeline.log.state.withLock { $0.entries }
        #expect(entries.map(\.revision.rawValue) == [0, 2, 3, 4])
        #expect(entries.map(\.position.index) == [1, 2, 3, 4])
        // Replayed into an empty engine, the log gives the same rows.
        let replica = try CheckpointHistory.makeEngine()
        var replay = try LogReplay(on: replica)
        for entry in entries { try replay.add(entry) }
        try replica.apply(replay.finish(), at: replay.position)
        #expect(try dump(replica.snapshot()) == dump(pipeline.engine.snapshot()))
    }
}

/// An apply stage whose engine fails in the middle of its work.
struct ApplyStageTests {
    /// The group is in the engine and answered; the removal of compacted rows behind it fails. Nobody hears twice.
    @Test func everybodyIsAnsweredOnceWhenTheEngineFailsBehindAGroup() throws {
        let memory = try CheckpointHistory.makeEngine()
        let observer = PipelineTests.Observer()
        let stage = ApplyStage(
            engine: FaultyEngine(memory, plan: FaultPlan([.init(.apply, calls: 3...Int.max)])), meta: .initial,
            position: .zero, observer: observer)
        let answers = Answers()
        let record = StoredRecord(
            create: Revision(2), mod: Revision(2), version: 1, lease: 0, sub: 0, value: [1])
        let decision = Decision(
            result: .success(.compact(Revision(2))), changes: [StateChange(.put(key: [1], record: record))],
            revision: Revision(2))
        let proposal = Proposal(.compact(2)) { answers.add("put", $0) }
        stage.pass(
            CommittedGroup(
                number: 1, decided: [(proposal, decision)], position: LogPosition(term: 1, index: 1), time: 0),
            inline: false)
        for name in ["first", "second", "third"] {
            stage.maintain(WriteBatch()) { answers.add(name, $0) }
        }
        stage.stop()
        stage.run()
        #expect(answers.all == ["put done", "first done", "second failed", "third failed"])
        #expect(observer.failures.withLock { $0.count } == 1)
        #expect(observer.metas.withLock { $0.count } == 1)
    }

    /// Who was told what, in order.
    final class Answers: Sendable {
        private let texts = Mutex<[String]>([])
        var all: [String] { texts.withLock { $0 } }

        func add<Value, Failure>(_ name: String, _ result: Result<Value, Failure>) {
            var outcome = "done"
            if case .failure = result { outcome = "failed" }
            texts.withLock { $0.append("\(name) \(outcome)") }
        }
    }
}
