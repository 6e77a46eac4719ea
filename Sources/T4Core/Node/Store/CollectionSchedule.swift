import Logging
import T4Protocols

/// Lets the node collect garbage now and then: after the first checkpoint of its run, then at most once in a while.
final class CollectionSchedule: Sendable {
    private static let pause = Duration.seconds(5 * 60)

    private let clock: any ElapsedClock
    private let statistics: StoreStatistics
    private let logger: Logger
    private let collect: @Sendable (_ isEnding: @escaping @Sendable () -> Bool) throws -> CollectionReport
    private let last = Monitor<Duration?>(nil)

    init(
        clock: any ElapsedClock, statistics: StoreStatistics, logger: Logger,
        collect: @escaping @Sendable (_ isEnding: @escaping @Sendable () -> Bool) throws -> CollectionReport
    ) {
        self.clock = clock
        self.statistics = statistics
        self.logger = logger
        self.collect = collect
    }

    /// Collects, unless that was done a moment ago. A failure only means that what could go stays a while longer.
    /// - Parameter isEnding: Whether the collection is to be given up.
    func run(_ isEnding: @escaping @Sendable () -> Bool) {
        let now = clock.now
        let isDue = last.withLock { last in
            if let before = last, now - before < CollectionSchedule.pause { return false }
            last = now
            return true
        }
        guard isDue, !isEnding() else { return }
        do {
            let report = try collect(isEnding)
            statistics.collected(report)
            logger.info(
                "garbage collection",
                metadata: [
                    "checkpoints": "\(report.checkpointCount)", "tables": "\(report.tableCount)",
                    "wal": "\(report.logObjectCount)", "bytes": "\(report.deletedSize)",
                ])
        } catch let error as CheckpointError where error.code == .interrupted {
            statistics.collected(nil)
            logger.info("the garbage collection was given up: \(error)")
        } catch {
            statistics.collected(nil)
            logger.warning("the garbage collection was given up: \(error)")
        }
    }
}
