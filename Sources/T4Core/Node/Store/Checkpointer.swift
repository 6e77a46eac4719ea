import Logging
import T4Protocols

/// Makes checkpoints in the background, and then removes what the local log need not keep any more.
final class Checkpointer: Sendable {
    typealias Completion = @Sendable (Result<CheckpointWriter.Written?, any Error>) -> Void

    private struct State {
        var isDue = false
        /// Objects of the log are to be joined.
        var isMergeDue = false
        var requests: [Completion] = []
        /// Rises with each checkpoint, so that an old timer means nothing.
        var generation: UInt64 = 0
        /// The last entry of the newest checkpoint.
        var covered: UInt64
        var isStopping = false
        /// Why the last one could not be made; nil after one that could.
        var failure: String?
    }

    /// What the checkpointer does, each on its own thread.
    struct Work: Sendable {
        /// Writes a checkpoint at the newest place where one may end; nil when the newest one is there already.
        /// May give up when `isEnding`.
        var write: @Sendable (_ isEnding: @escaping @Sendable () -> Bool) throws -> CheckpointWriter.Written?
        /// Joins objects of the log, and says how many there are less.
        var merge: @Sendable () throws -> Int
        /// Removes segments of the local log that a checkpoint covers, and says how many.
        var prune: @Sendable (_ covered: UInt64) throws -> Int
        /// Deletes what nobody needs any more in the store, perhaps; called after each checkpoint.
        var collect: @Sendable (_ isEnding: @escaping @Sendable () -> Bool) -> Void
    }

    /// More objects of the log than this are joined without waiting for a checkpoint.
    private static let objectsMax = 1000

    private let schedule: CheckpointSchedule
    private let timer: BackoffTimer
    private let uploader: LogUploader
    private let published: PublishedState
    private let work: Work
    private let statistics: StoreStatistics
    private let logger: Logger
    private let state: Monitor<State>

    /// - Parameter covered: The last entry of the newest checkpoint; 0 for none.
    init(
        schedule: CheckpointSchedule, timer: BackoffTimer, uploader: LogUploader, published: PublishedState,
        covered: UInt64, statistics: StoreStatistics, logger: Logger, work: Work
    ) {
        self.schedule = schedule
        self.timer = timer
        self.uploader = uploader
        self.published = published
        self.work = work
        self.statistics = statistics
        self.logger = logger
        state = Monitor(State(covered: covered))
    }

    /// The last entry of the newest checkpoint, and why the last one could not be made.
    var status: (covered: UInt64, failure: String?) { state.withLock { ($0.covered, $0.failure) } }

    /// Asks for a checkpoint of everything visible now. `completion` comes from the checkpointer's thread; with nil where
    /// nothing came since the newest one.
    func request(_ completion: @escaping Completion = { _ in }) {
        let isRefused = state.withLock { state in
            if state.isStopping { return true }
            state.requests.append(completion)
            return false
        }
        if isRefused {
            completion(.failure(DatabaseError(.stopped, "the node is stopping")))
        } else {
            state.broadcast()
        }
    }

    /// Entries up to that index have been applied.
    func applied(_ index: UInt64) {
        let hasManyObjects = index % 256 == 0 && uploader.objectCount > Checkpointer.objectsMax
        guard schedule.entries > 0 || hasManyObjects else { return }
        let isDue = state.withLock { state in
            if hasManyObjects { state.isMergeDue = true }
            guard schedule.entries > 0, !state.isDue, index >= state.covered, index - state.covered >= schedule.entries
            else { return hasManyObjects }
            state.isDue = true
            return true
        }
        if isDue { state.broadcast() }
    }

    /// Ends `run` after the checkpoint under way, and soon where that writes everything anew or garbage is being collected.
    func stop() {
        let requests = state.withLock { state in
            state.isStopping = true
            defer { state.requests = [] }
            return state.requests
        }
        state.broadcast()
        for completion in requests { completion(.failure(DatabaseError(.stopped, "the node is stopping"))) }
    }

    /// The checkpointer's thread.
    func run() {
        statistics.checkpointsBegin()
        wakeLater()
        while true {
            let next: (isCheckpoint: Bool, requests: [Completion])? = state.wait { state in
                if state.isStopping { return .some(nil) }
                let isCheckpoint = state.isDue || !state.requests.isEmpty
                guard isCheckpoint || state.isMergeDue else { return nil }
                state.isDue = false
                state.isMergeDue = false
                defer { state.requests = [] }
                return .some((isCheckpoint, state.requests))
            }
            guard let next else { return }
            guard next.isCheckpoint else {
                merge()
                continue
            }
            let stopwatch = Stopwatch()
            let result = Result { try checkpoint() }
            note(result, stopwatch)
            wakeLater()
            for completion in next.requests { completion(result) }
            if case .success(.some) = result { work.collect { [state] in state.withLock { $0.isStopping } } }
        }
    }

    private func merge() {
        do {
            _ = try work.merge()
        } catch {
            // Many objects cost requests, nothing else.
            logger.warning("objects of the log could not be joined: \(error)")
        }
    }

    private func checkpoint() throws -> CheckpointWriter.Written? {
        uploader.flush()
        guard uploader.wait(for: published.appliedIndex) else {
            throw DatabaseError(.stopped, "the log is not in the store and will not get there any more")
        }
        let written = try work.write { [state] in state.withLock { $0.isStopping } }
        let covered = state.withLock { state in
            if let written { state.covered = written.file.checkpoint.index }
            return state.covered
        }
        merge()
        let removed = try work.prune(covered)
        if let written {
            logger.info(
                "checkpoint",
                metadata: [
                    "key": "\(written.key)", "revision": "\(written.file.checkpoint.revision)",
                    "tables.new": "\(written.tableCount)", "bytes.new": "\(written.size)", "wal.removed": "\(removed)",
                ])
        }
        return written
    }

    private func note(_ result: Result<CheckpointWriter.Written?, any Error>, _ stopwatch: Stopwatch) {
        var failure: String?
        var isLasting = false
        if case .failure(let error) = result { (failure, isLasting) = ("\(error)", error is DamagedEngine) }
        let isSaid = state.withLock { state in
            defer { state.failure = failure }
            return state.isStopping || isLasting && state.failure == failure
        }
        // One that a stop has given up is no failure.
        if failure == nil || !state.withLock({ $0.isStopping }) { statistics.checkpointed(result, stopwatch) }
        if let failure, !isSaid { logger.error("no checkpoint could be made: \(failure)") }
    }

    private func wakeLater() {
        guard let interval = schedule.interval else { return }
        let generation = state.withLock { state in
            state.generation += 1
            return state.generation
        }
        let (timer, state) = (timer, state)
        Task {
            await timer.pause(interval)
            state.withLock { if $0.generation == generation { $0.isDue = true } }
            state.broadcast()
        }
    }
}
