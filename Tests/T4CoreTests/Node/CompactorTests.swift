import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: a compaction gives way to writers, and to nobody else. Method: a compactor without a node around it, on an engine
/// that moves a clock with each snapshot and lets a writer have its turn.
struct CompactorTests {
    /// An engine that tells of snapshots.
    private final class ObservedEngine: EngineWrapper {
        let base: any LocalEngine
        let onSnapshot = Mutex<@Sendable () -> Void>({})

        init(_ base: any LocalEngine) { self.base = base }

        func snapshot() throws(EngineError) -> any EngineSnapshot {
            onSnapshot.withLock { $0 }()
            return try base.snapshot()
        }
    }

    private static let stepTime = Duration.milliseconds(10)
    private static let revisions: Int64 = 1500

    private let engine: ObservedEngine
    private let stage: ApplyStage
    private let clock = ManualClock()

    /// A state with 1,500 versions of keys, all but the newest of which are compacted.
    init() throws {
        engine = ObservedEngine(
            try BackendRegistry.builtIn.makeEngine(
                "memory", settings: NoSettings(),
                context: EngineContext(directory: "/nonexistent", isReadOnly: false, logger: Logger(label: "test"))))
        var applier = Applier(meta: .initial)
        var previous: StoredRecord?
        for number in 1...Self.revisions {
            let revision = Revision(number + 1)
            let record = StoredRecord(create: Revision(2), mod: revision, version: number, lease: 0, sub: 0, value: [])
            applier.add(
                [StateChange(.put(key: Array("k".utf8), record: record), previous: previous)], revision: revision)
            previous = record
        }
        applier.add([StateChange(.compact(Revision(Self.revisions + 1)), previous: nil)], revision: .none)
        let position = LogPosition(term: 1, index: 1)
        try engine.apply(applier.finish(), at: position)
        stage = ApplyStage(
            engine: engine, meta: applier.meta, position: position, observer: PipelineTests.Observer())
    }

    /// Lets a compactor work until it is done.
    private func compact(_ timer: BackoffTimer) async {
        let compactor = Compactor(engine: engine, stage: stage, timer: timer, logger: Logger(label: "test"))
        let threads = [SystemThread(name: "apply") { stage.run() }, SystemThread(name: "compact") { compactor.run() }]
        await withCheckedContinuation { continuation in
            compactor.whenDone(Revision(Self.revisions + 1)) { continuation.resume() }
        }
        compactor.stop()
        stage.stop()
        for thread in threads { thread.join() }
    }

    private func changesLeft() throws -> Int {
        var count = 0
        try engine.base.snapshot().scan(KeyRange(prefix: [Keyspace.changes]), order: .ascending) { _, _ in
            count += 1
            return .next
        }
        return count
    }

    @Test(arguments: [true, false]) func itRestsWhileThereAreWriters(hasWriters: Bool) async throws {
        let (clock, stage) = (clock, stage)
        let writer = Writer()
        engine.onSnapshot.withLock {
            $0 = {
                clock.advance(by: Self.stepTime)
                if hasWriters { writer.pass(to: stage) }
            }
        }
        let rests = Monitor<[Duration]>([])
        await compact(BackoffTimer(clock: clock) { duration in rests.withLock { $0.append(duration) } })
        // Three batches of 512 changes, with a rest between each two.
        #expect(rests.withLock { $0 } == (hasWriters ? [Self.stepTime * 2, Self.stepTime * 2] : []))
        #expect(try changesLeft() == 1)
    }

    @Test func itStopsInTheMiddleOfARest() async throws {
        let (clock, stage) = (clock, stage)
        let writer = Writer()
        engine.onSnapshot.withLock {
            $0 = {
                clock.advance(by: Self.stepTime)
                writer.pass(to: stage)
            }
        }
        let (ending, end) = AsyncStream.makeStream(of: Void.self)
        let (resting, rests) = AsyncStream.makeStream(of: Void.self)
        let timer = BackoffTimer(clock: clock) { _ in
            rests.yield()
            for await _ in ending {}
        }
        let compactor = Compactor(engine: engine, stage: stage, timer: timer, logger: Logger(label: "test"))
        let apply = SystemThread(name: "apply") { stage.run() }
        let thread = SystemThread(name: "compact") { compactor.run() }
        for await _ in resting { break }
        compactor.stop()
        thread.join()
        stage.stop()
        apply.join()
        #expect(try changesLeft() > 1)
        end.finish()
    }

    /// A writer whose groups hold nothing.
    private final class Writer: Sendable {
        private let number = Atomic<UInt64>(0)

        func pass(to stage: ApplyStage) {
            let next = number.add(1, ordering: .relaxed).newValue
            stage.pass(CommittedGroup(number: next, decided: [], position: nil, time: 0), inline: true)
        }
    }
}
