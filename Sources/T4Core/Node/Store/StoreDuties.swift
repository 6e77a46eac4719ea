import Logging
import Synchronization
import T4Protocols

/// What a leader does with the object store: it uploads the log, makes checkpoints, removes what the local log need not keep
/// and collects garbage.
final class StoreDuties: Sendable {
    /// What it works with.
    struct Parts: Sendable {
        var link: StoreLink
        var identity: DataDirectory.Identity
        var directory: DataDirectory
        var entries: LogEntries
        var core: NodeCore
        /// What writes the checkpoints of this leadership.
        var writer: CheckpointWriter
        /// The last entry that the newest checkpoint covers.
        var covered: UInt64
        /// A checkpoint could not be loaded, and others are not to use its tables again.
        var beginsAnew: Bool
        var space: TableFiles.Space
        var clock: Clock
        var timer: BackoffTimer
        var logger: Logger
        /// Others may lead after this node, or do so already.
        var isShared = false
        /// Hears that the engine is damaged.
        var onDamage: @Sendable (DamagedEngine) -> Void
        /// Hears that the local log begins behind this entry now.
        var onPruned: @Sendable (UInt64) -> Void = { _ in }
    }

    private struct Checkpoints: Sendable {
        var checkpointer: Checkpointer
        var thread: SystemThread
    }

    let uploader: LogUploader
    private let parts: Parts
    private let term: UInt64
    private let uploading: SystemThread
    private let checkpoints = Monitor<Checkpoints?>(nil)

    /// Begins to upload what the uploader gets.
    init(_ uploader: LogUploader, term: UInt64, _ parts: Parts) {
        self.uploader = uploader
        self.term = term
        self.parts = parts
        uploading = SystemThread(name: "t4-upload") { uploader.run() }
    }

    /// Nil before `beginCheckpoints`.
    var checkpointer: Checkpointer? { checkpoints.withLock { $0?.checkpointer } }

    /// Makes checkpoints from now on, the first one at once: the first entry of the term is in the log.
    func beginCheckpoints() {
        let (parts, uploader) = (parts, uploader)
        let (link, core, logger) = (parts.link, parts.core, parts.logger)
        let pruner = LogPruner(log: parts.entries, engine: core.engine, stage: core.stage, uploader: uploader)
        let trail = link.trail
        let joiner = ChainJoiner(
            link.merger(parts.identity.database, wal: parts.directory.wal, term: term), uploader: uploader,
            trail: trail)
        let maker = CheckpointMaker(
            parts.writer, stage: core.stage, uploader: uploader, trail: trail, joiner: joiner,
            files: parts.directory.tables, space: parts.space, reads: core.longReads,
            beginsAnew: link.settings.checkpoints.beginsAnew || parts.beginsAnew, logger: logger,
            onDamage: parts.onDamage)
        // Another winner's first object must not get the name of one that was joined into others: it looks only for those that a
        // checkpoint covers.
        let joinable = Mutex(parts.isShared ? parts.covered : UInt64.max)
        let collection = link.collection(parts.identity.database, clock: parts.clock)
        let checkpointer = Checkpointer(
            schedule: link.settings.checkpoints, timer: parts.timer, uploader: uploader, published: core.published,
            covered: parts.covered, statistics: link.statistics, logger: logger,
            work: Checkpointer.Work(
                write: { try maker.make(isEnding: $0) }, merge: { try joiner.join(through: joinable.withLock { $0 }) },
                prune: { covered in
                    if parts.isShared { joinable.withLock { $0 = covered } }
                    let count = try pruner.run(covered: covered)
                    core.statistics.pruned(count)
                    if count > 0 { parts.onPruned(parts.entries.start.index) }
                    return count
                },
                collect: { collection?.run($0) }))
        core.publisher.checkpointer.withLock { $0 = checkpointer }
        let thread = SystemThread(name: "t4-checkpoint", isBackground: true) { checkpointer.run() }
        // So that the next start need not read more than what this leadership writes.
        checkpointer.request()
        checkpoints.withLock { $0 = Checkpoints(checkpointer: checkpointer, thread: thread) }
    }

    /// Makes no checkpoint any more, once the one is done that is being made.
    func stopCheckpoints() {
        parts.core.publisher.checkpointer.withLock { $0 = nil }
        checkpointer?.stop()
    }

    /// Ends its threads. What is not in the store yet is left to others.
    func stop() {
        stopCheckpoints()
        uploader.stop()
        uploading.join()
        checkpoints.withLock { $0 }?.thread.join()
    }
}
