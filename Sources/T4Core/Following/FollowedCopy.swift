import Synchronization
import T4Protocols

/// The log and the engine of a read replica, and what it takes from the object store.
final class FollowedCopy: Sendable {
    /// The local log, or the engine, cannot be used any more.
    struct LocalFailure: Error {
        var cause: any Error
    }

    private struct State {
        /// Nil where there is no store.
        var follower: ChainFollower?
        let applier: EntryApplier
        let writer: LogWriter
        let pruner: LogPruner
        var pruneAt = Duration.zero
    }

    private static let pruneInterval = Duration.seconds(60)

    private let state: Monitor<State>
    private let checkpoints: CheckpointStore?
    private let newestTerm: Atomic<UInt64>

    /// Of the last entry.
    var term: UInt64 { newestTerm.load(ordering: .relaxed) }

    init(_ opened: OpenedReadReplica, _ stage: ApplyStage) {
        let (database, writer) = (opened.identity.database, opened.log.writer)
        let checkpoints = opened.link?.checkpoints(database)
        self.checkpoints = checkpoints
        newestTerm = Atomic(opened.end.term)
        let follower = opened.link.map { link in
            ChainFollower(
                Restorer(link.blocking, databaseID: database, foreign: { link.other($0) }), behind: opened.end)
        }
        state = Monitor(
            State(
                follower: follower, applier: EntryApplier(engine: opened.engine, stage: stage, after: 0),
                writer: writer,
                pruner: LogPruner(log: writer.entries, engine: opened.engine, stage: stage, uploader: nil)))
    }

    /// Takes what has come, and now and then removes what a checkpoint covers from the local log. Blocks.
    /// - Throws: `ChainFollower.Failure` and `LocalFailure`, after which it is of no use; else what the store answered.
    func look(at now: Duration) throws {
        try state.withLock { state in
            let (applier, writer) = (state.applier, state.writer)
            try state.follower?.look { entries in
                do {
                    // The log first: an engine is never ahead of it.
                    try writer.appendAndSync(entries)
                    try FollowedCopy.apply(entries, applier)
                    if let last = entries.last { newestTerm.store(last.position.term, ordering: .relaxed) }
                } catch {
                    throw LocalFailure(cause: error)
                }
            }
            guard let checkpoints, now >= state.pruneAt else { return }
            state.pruneAt = now + FollowedCopy.pruneInterval
            guard writer.entries.hasOlderSegments else { return }
            _ = try state.pruner.run(covered: checkpoints.headOrStandIn()?.head.position.index ?? 0)
        }
    }

    func close() { state.withLock { $0.writer.close() } }

    private static func apply(_ entries: [LogEntry], _ applier: EntryApplier) throws(EngineError) {
        while true {
            do throws(EngineError) {
                return try applier.apply(entries)
            } catch {
                guard error.code == .noSpace, applier.stage.waitForSpace() else { throw error }
            }
        }
    }
}
