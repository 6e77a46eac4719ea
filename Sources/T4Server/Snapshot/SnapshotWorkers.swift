import Synchronization

/// The threads on which snapshots are made and sent, and the limit of how many there are at a time.
final class SnapshotWorkers: Sendable {
    /// Snapshots at a time. Each takes the disk space of a copy of the database until its client has it.
    static let countMax = 2

    private struct State {
        /// For each thread what it does.
        var jobs = [SnapshotJob?](repeating: nil, count: countMax)
        var isStopped = false
    }

    private let queues = (0..<countMax).map { _ in BackgroundQueue() }
    private let state = Mutex(State())

    /// Runs a job on a thread that has nothing else to do.
    /// - Returns: False when there is none, or after `stop`: the job is not run.
    func start(_ job: SnapshotJob) -> Bool {
        let free = state.withLock { state -> Int? in
            guard !state.isStopped, let free = state.jobs.firstIndex(where: { $0 == nil }) else { return nil }
            state.jobs[free] = job
            return free
        }
        guard let free else { return false }
        queues[free].run {
            let status = job.run()
            // First of all, so that whoever hears of the end can start the next one.
            self.state.withLock { $0.jobs[free] = nil }
            if let status { job.finish(status) }
        }
        return true
    }

    /// Cancels what runs and ends the threads. Safe twice.
    func stop() {
        let jobs = state.withLock { state in
            state.isStopped = true
            return state.jobs
        }
        for job in jobs { job?.cancel() }
        for queue in queues { queue.stop() }
    }
}
