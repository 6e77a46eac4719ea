import Foundation

/// Runs an actor's jobs on a thread of its own, where they may block.
final class BlockingExecutor: SerialExecutor {
    private final class Jobs: @unchecked Sendable {
        // Unchecked: guarded by the condition.
        let condition = NSCondition()
        var waiting: [UnownedJob] = []
        var isOver = false

        func next() -> UnownedJob? {
            condition.withLock {
                while waiting.isEmpty, !isOver { condition.wait() }
                return waiting.isEmpty ? nil : waiting.removeFirst()
            }
        }
    }

    private let jobs = Jobs()

    init() {
        let jobs = jobs
        let executor = asUnownedSerialExecutor()
        Thread.detachNewThread {
            while let job = jobs.next() { job.runSynchronously(on: executor) }
        }
    }

    deinit {
        jobs.condition.withLock {
            jobs.isOver = true
            jobs.condition.signal()
        }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.condition.withLock {
            jobs.waiting.append(job)
            jobs.condition.signal()
        }
    }
}
