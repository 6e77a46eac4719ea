import Logging
import T4Protocols

/// Removes compacted rows in the background, in batches small enough not to hold writers up, with a rest after each while
/// there are writers.
final class Compactor: Sendable {
    private struct State {
        /// A compaction was applied since the thread last looked.
        var isDirty: Bool
        var isStopping = false
        var isResting = false
        /// Everything below this revision is gone.
        var done = Revision.none
        var waiters: [(revision: Revision, wake: @Sendable () -> Void)] = []
    }

    /// Changes visited in one batch.
    private static let rowsPerBatch = 512
    /// Rest after a batch while there are writers, in multiples of the time it took.
    private static let restFactor = 2

    private let engine: any LocalEngine
    private let stage: ApplyStage
    private let timer: BackoffTimer
    private let logger: Logger
    /// Starts dirty: the last run may have been stopped in the middle.
    private let state = Monitor(State(isDirty: true))

    /// - Parameter timer: For the rests.
    init(engine: any LocalEngine, stage: ApplyStage, timer: BackoffTimer, logger: Logger) {
        self.engine = engine
        self.stage = stage
        self.timer = timer
        self.logger = logger
    }

    /// A compaction has been applied.
    func wake() {
        state.withLock { $0.isDirty = true }
        state.broadcast()
    }

    /// Calls `wake` once everything below `revision` is gone, or the compactor stops.
    func whenDone(_ revision: Revision, _ wake: @escaping @Sendable () -> Void) {
        let isDone = state.withLock { state in
            if state.isStopping || state.done >= revision { return true }
            state.waiters.append((revision, wake))
            return false
        }
        if isDone { wake() }
    }

    /// Ends `run` after the batch under way.
    func stop() {
        let waiters = state.withLock { state in
            state.isStopping = true
            let waiters = state.waiters
            state.waiters = []
            return waiters
        }
        state.broadcast()
        for waiter in waiters { waiter.wake() }
    }

    /// The compactor's thread.
    func run() {
        while true {
            let goesOn: Bool = state.wait { state in
                if state.isStopping { return false }
                guard state.isDirty else { return nil }
                state.isDirty = false
                return true
            }
            guard goesOn else { return }
            do {
                try removeAll()
            } catch {
                // Compacted rows cost space, nothing else; the next compaction or start tries again.
                logger.warning("compacted rows could not be removed: \(error)")
            }
        }
    }

    private func removeAll() throws {
        var pace = BackgroundPace(restFactor: Compactor.restFactor)
        var start: [UInt8]?
        var compacted = Revision.none
        repeat {
            if state.withLock({ $0.isStopping }) { return }
            let step: Compaction.Step
            pace.begin(at: timer.clock.now, progress: Int64(stage.applied))
            do {
                let reader = try StateReader(engine.snapshot())
                compacted = reader.meta.compacted
                step = try Compaction.step(reader, from: start, rowLimit: Compactor.rowsPerBatch)
            }
            if !step.batch.isEmpty { try apply(step.batch) }
            start = step.next
            if start != nil { rest(pace.end(at: timer.clock.now, progress: Int64(stage.applied))) }
        } while start != nil
        let ready = state.withLock { state in
            state.done = max(state.done, compacted)
            let ready = state.waiters.filter { $0.revision <= state.done }
            state.waiters.removeAll { $0.revision <= state.done }
            return ready
        }
        state.broadcast()
        for waiter in ready { waiter.wake() }
    }

    /// Lets writers have the machine for a while; ends early when the compactor is stopped.
    private func rest(_ time: Duration) {
        guard time > .zero else { return }
        state.withLock { $0.isResting = true }
        Task {
            await timer.pause(time)
            state.withLock { $0.isResting = false }
            state.broadcast()
        }
        state.wait { $0.isResting && !$0.isStopping ? nil : () }
    }

    /// Hands a batch to the applying thread and waits for it.
    private func apply(_ batch: WriteBatch) throws {
        let outcome = Monitor<Result<Void, EngineError>?>(nil)
        stage.maintain(batch) { result in
            outcome.withLock { $0 = result }
            outcome.broadcast()
        }
        try outcome.wait { $0 }.get()
    }
}
