import Logging
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
    private let directory: DataDirectory
    private let logger: Logger
    private let checkpoints: CheckpointStore?
    private let newestTerm: Atomic<UInt64>

    /// Of the last entry.
    var term: UInt64 { newestTerm.load(ordering: .relaxed) }

    init(_ opened: OpenedReadReplica, _ stage: ApplyStage, _ logger: Logger) {
        directory = opened.directory
        self.logger = logger
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
    /// - Returns: Whether all that came is visible.
    /// - Throws: `ChainFollower.Failure` and `LocalFailure`, after which it is of no use; else what the store answered, or that the disk
    ///   has no room for more.
    func look(at now: Duration) throws -> Bool {
        try state.withLock { state in
            let (applier, writer) = (state.applier, state.writer)
            try state.follower?.look { entries in
                let size = entries.reduce(0) { $0 + LogFormat.frameSize($1) }
                do throws(LogError) { try writer.measureRoom() } catch { throw LocalFailure(cause: error) }
                guard writer.hasRoom(forBytes: size) else {
                    throw DatabaseError(.noSpace, "the disk of the local log is nearly full")
                }
                do {
                    // The log first: an engine is never ahead of it.
                    try writer.appendAndSync(entries)
                    try applier.applyOnceThereIsSpace(entries)
                    if let last = entries.last { newestTerm.store(last.position.term, ordering: .relaxed) }
                } catch {
                    throw LocalFailure(cause: error)
                }
            }
            let isShown = !applier.stage.isFull && applier.stage.applied >= applier.number
            guard let checkpoints, now >= state.pruneAt else { return isShown }
            state.pruneAt = now + FollowedCopy.pruneInterval
            note(state.follower)
            guard writer.entries.hasOlderSegments else { return isShown }
            _ = try state.pruner.run(covered: checkpoints.headOrStandIn()?.head.position.index ?? 0)
            return isShown
        }
    }

    func close() {
        state.withLock { state in
            note(state.follower)
            state.writer.close()
        }
    }

    /// A node that serves the directory later, and finds more in the store, can then tell that this one lacks nothing.
    private func note(_ follower: ChainFollower?) {
        guard let follower, follower.isInStore else { return }
        do {
            try directory.setUploadedMark(follower.end)
        } catch {
            logger.warning("what is in the object store could not be noted: \(error)")
        }
    }
}
