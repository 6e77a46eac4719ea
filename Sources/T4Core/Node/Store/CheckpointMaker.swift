import Logging
import T4Protocols

/// Makes the checkpoints of a node: each from the one before and the log. Where tables of that are damaged or lost, and where
/// it is told to, it writes everything anew from the rows of the engine.
///
/// Used by the checkpointer's thread alone, which may block.
final class CheckpointMaker: Sendable {
    private let writer: CheckpointWriter
    private let stage: ApplyStage
    private let uploader: LogUploader
    private let trail: StateTrail
    private let joiner: ChainJoiner
    private let logger: Logger
    /// The next one is made anew.
    private let isAnewDue: Monitor<Bool>
    /// Attempts to find a place behind a state of the engine where a checkpoint may end.
    private static let attemptsMax = 64

    init(
        _ writer: CheckpointWriter, stage: ApplyStage, uploader: LogUploader, trail: StateTrail, joiner: ChainJoiner,
        beginsAnew: Bool, logger: Logger
    ) {
        self.writer = writer
        self.stage = stage
        self.uploader = uploader
        self.trail = trail
        self.joiner = joiner
        self.logger = logger
        isAnewDue = Monitor(beginsAnew)
    }

    /// Writes a checkpoint at the newest place where one may end; nil when the newest one is there already.
    func make() throws -> CheckpointWriter.Written? {
        guard let mark = trail.newest else { return nil }
        if !isAnewDue.withLock({ $0 }) {
            joiner.checkpointBegins(at: mark.position.index)
            do {
                return try writer.write(mark)
            } catch let damage where CheckpointCatalog.isDamage(damage) {
                logger.error("the newest checkpoint is damaged, so that the next one is written anew: \(damage)")
                isAnewDue.withLock { $0 = true }
            }
        }
        let written = try makeAnew()
        isAnewDue.withLock { $0 = false }
        return written
    }

    private func makeAnew() throws -> CheckpointWriter.Written? {
        let state = try stage.look()
        let mark = try mark(behind: state.position)
        joiner.checkpointBegins(at: mark.position.index)
        let written = try writer.writeAnew(mark, from: state)
        if let written {
            logger.notice(
                "a checkpoint was written anew from the rows of the engine",
                metadata: ["key": "\(written.key)", "bytes.new": "\(written.size)"])
        }
        return written
    }

    /// A place where a checkpoint may end, at that entry or behind it.
    private func mark(behind position: LogPosition) throws -> StateTrail.Mark {
        var end = position.index
        for _ in 0..<CheckpointMaker.attemptsMax {
            uploader.flush()
            guard uploader.wait(for: end) else { break }
            // Everything that was committed when this was asked for has been applied after it.
            end = try stage.look().position.index
            if let mark = trail.newest, mark.position.index >= position.index { return mark }
        }
        throw CheckpointError(
            .interrupted, "no checkpoint can end behind entry \(position) yet: the log is not in the store")
    }
}
