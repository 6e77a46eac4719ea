import Synchronization
import T4Protocols

/// What a node does with its object store: calls, uploads of the log, checkpoints, collections. Written by any threads; what
/// is counted takes far longer than the counting.
package final class StoreStatistics: Sendable {
    /// A kind of call, as T4 tells them apart.
    package enum Operation: Int, CaseIterable, Sendable {
        case get, getVersion, put, putIfAbsent, putIfUnchanged, list, delete, deleteMany

        fileprivate init(_ observation: StoreObservation) {
            self =
                switch observation.operation {
                case .get: .get
                case .info: .getVersion
                case .put:
                    switch observation.condition {
                    case .always: .put
                    case .absent: .putIfAbsent
                    case .unchanged: .putIfUnchanged
                    }
                case .list: .list
                case .delete: observation.nameCount == 1 ? .delete : .deleteMany
                }
        }
    }

    /// What became of a call. That something is not there, or was changed by others, is an answer and no failure.
    package enum Outcome: Int, CaseIterable, Sendable {
        case success, notFound, conflict, error

        fileprivate init(_ failure: ObjectStoreError.Code?) {
            switch failure {
            case nil: self = .success
            case .notFound: self = .notFound
            case .alreadyExists, .conditionFailed: self = .conflict
            default: self = .error
            }
        }
    }

    private final class Calls: Sendable {
        private let successes = Atomic<Int>(0)
        private let absences = Atomic<Int>(0)
        private let conflicts = Atomic<Int>(0)
        private let errors = Atomic<Int>(0)
        let times = Histogram(
            seconds: [
                0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
            ], .many)

        func count(_ outcome: Outcome) {
            switch outcome {
            case .success: successes.add(1, ordering: .relaxed)
            case .notFound: absences.add(1, ordering: .relaxed)
            case .conflict: conflicts.add(1, ordering: .relaxed)
            case .error: errors.add(1, ordering: .relaxed)
            }
        }

        func number(of outcome: Outcome) -> Int {
            switch outcome {
            case .success: successes.load(ordering: .relaxed)
            case .notFound: absences.load(ordering: .relaxed)
            case .conflict: conflicts.load(ordering: .relaxed)
            case .error: errors.load(ordering: .relaxed)
            }
        }
    }

    private let calls = Operation.allCases.map { _ in Calls() }
    private let read = Atomic<Int>(0)
    private let written = Atomic<Int>(0)
    private let failedUploads = Atomic<Int>(0)
    private let uploadedSize = Atomic<Int>(0)
    private let checkpointedSize = Atomic<Int>(0)
    private let failedCheckpoints = Atomic<Int>(0)
    /// When a checkpoint covered everything last, or began to be waited for.
    private let coveredAt = Atomic<Int64>(Stopwatch.now)
    private let collections = Atomic<Int>(0)
    private let failedCollections = Atomic<Int>(0)
    private let deletedCheckpoints = Atomic<Int>(0)
    private let deletedTables = Atomic<Int>(0)
    private let deletedLogObjects = Atomic<Int>(0)
    private let deletedSize = Atomic<Int>(0)

    /// From the begin of an upload of entries of the log to its end, attempts that failed included; also counts the uploads.
    package let uploads = Histogram(seconds: [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30], .many)
    /// How long checkpoints took that were written; also counts them.
    package let checkpoints = Histogram(seconds: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600], .many)

    package init() {}

    // MARK: Counting

    func saw(_ observation: StoreObservation) {
        let call = calls[Operation(observation).rawValue]
        call.count(Outcome(observation.failure))
        call.times.observe(observation.duration)
        read.add(Int(clamping: observation.bytesRead), ordering: .relaxed)
        written.add(Int(clamping: observation.bytesWritten), ordering: .relaxed)
    }

    /// An object of the log is in the store.
    func uploaded(_ size: Int, after time: Duration) {
        uploads.observe(time)
        uploadedSize.add(size, ordering: .relaxed)
    }

    /// An attempt to put an object of the log has failed.
    func uploadFailed() { failedUploads.add(1, ordering: .relaxed) }

    /// From now on this node makes the checkpoints.
    func checkpointsBegin() { coveredAt.store(Stopwatch.now, ordering: .relaxed) }

    /// - Parameters:
    ///   - result: Nil in it where nothing came since the checkpoint before.
    ///   - stopwatch: Runs since the work on it began.
    func checkpointed(_ result: Result<CheckpointWriter.Written?, any Error>, _ stopwatch: Stopwatch) {
        switch result {
        case .success(let written):
            coveredAt.store(Stopwatch.now, ordering: .relaxed)
            guard let written else { return }
            checkpoints.observe(stopwatch.nanoseconds())
            checkpointedSize.add(written.size, ordering: .relaxed)
        case .failure: failedCheckpoints.add(1, ordering: .relaxed)
        }
    }

    /// - Parameter report: Nil where the collection was given up.
    func collected(_ report: CollectionReport?) {
        guard let report else {
            failedCollections.add(1, ordering: .relaxed)
            return
        }
        collections.add(1, ordering: .relaxed)
        deletedCheckpoints.add(report.checkpointCount, ordering: .relaxed)
        deletedTables.add(report.tableCount, ordering: .relaxed)
        deletedLogObjects.add(report.logObjectCount, ordering: .relaxed)
        deletedSize.add(Int(clamping: report.deletedSize), ordering: .relaxed)
    }

    // MARK: Reading

    /// Calls of that kind with that outcome.
    package func calls(_ operation: Operation, _ outcome: Outcome) -> Int {
        calls[operation.rawValue].number(of: outcome)
    }

    /// How long calls of that kind took, whatever became of them.
    package func times(of operation: Operation) -> Histogram { calls[operation.rawValue].times }

    /// Bytes of objects that were read, and that were written.
    package var bytes: (read: Int, written: Int) {
        (read.load(ordering: .relaxed), written.load(ordering: .relaxed))
    }

    /// Attempts to put an object of the log that failed.
    package var uploadFailures: Int { failedUploads.load(ordering: .relaxed) }
    /// Bytes of the log that were uploaded.
    package var uploadedBytes: Int { uploadedSize.load(ordering: .relaxed) }
    /// Bytes of new tables of all checkpoints.
    package var checkpointBytes: Int { checkpointedSize.load(ordering: .relaxed) }
    /// Checkpoints that could not be made.
    package var checkpointFailures: Int { failedCheckpoints.load(ordering: .relaxed) }
    /// Seconds since a checkpoint covered everything last.
    package var checkpointAge: Double {
        Double(Stopwatch.now - coveredAt.load(ordering: .relaxed)) / 1_000_000_000
    }

    /// What collections of garbage have done.
    package struct Collections: Hashable, Sendable {
        package var completed = 0
        package var givenUp = 0
        package var checkpoints = 0
        package var tables = 0
        package var logObjects = 0
        package var bytes = 0
    }

    package var collectionCounts: Collections {
        Collections(
            completed: collections.load(ordering: .relaxed), givenUp: failedCollections.load(ordering: .relaxed),
            checkpoints: deletedCheckpoints.load(ordering: .relaxed), tables: deletedTables.load(ordering: .relaxed),
            logObjects: deletedLogObjects.load(ordering: .relaxed), bytes: deletedSize.load(ordering: .relaxed))
    }
}
