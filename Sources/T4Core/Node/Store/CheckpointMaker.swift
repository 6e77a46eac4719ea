import Logging
import T4Protocols

/// Makes the checkpoints of a node: each from the one before and the log. Where tables of that are damaged or lost, and where
/// it is told to, it writes everything anew from the rows of the engine.
///
/// Used by the checkpointer's thread alone, which may block.
final class CheckpointMaker: Sendable {
    private struct State {
        /// The next one is made anew. Stays so until one was.
        var isAnewDue: Bool
        /// Why none can be made from the rows of the engine any more: that does not get better while the node runs.
        var damage: DamagedEngine?
    }

    private let writer: CheckpointWriter
    private let stage: ApplyStage
    private let uploader: LogUploader
    private let trail: StateTrail
    private let joiner: ChainJoiner
    /// The folder for tables that are written anew, and the room for them.
    private let files: String
    private let space: TableFiles.Space
    private let reads: LongReads
    private let logger: Logger
    private let onDamage: @Sendable (DamagedEngine) -> Void
    private let state: Monitor<State>
    /// Attempts to find a place behind a state of the engine where a checkpoint may end.
    private static let attemptsMax = 64

    /// - Parameter onDamage: Hears of damage of the engine, once.
    init(
        _ writer: CheckpointWriter, stage: ApplyStage, uploader: LogUploader, trail: StateTrail, joiner: ChainJoiner,
        files: String, space: TableFiles.Space, reads: LongReads, beginsAnew: Bool, logger: Logger,
        onDamage: @escaping @Sendable (DamagedEngine) -> Void
    ) {
        self.writer = writer
        self.stage = stage
        self.uploader = uploader
        self.trail = trail
        self.joiner = joiner
        self.logger = logger
        self.onDamage = onDamage
        self.files = files
        self.space = space
        self.reads = reads
        state = Monitor(State(isAnewDue: beginsAnew))
    }

    /// Writes a checkpoint at the newest place where one may end; nil when the newest one is there already.
    /// - Parameter isEnding: What is written anew is given up once it is true.
    /// - Throws: `DamagedEngine` when everything had to be written anew and the engine has not got it. Further ones are made
    ///   from the one before then, as long as that can be read.
    func make(isEnding: @escaping @Sendable () -> Bool) throws -> CheckpointWriter.Written? {
        guard let mark = trail.newest else { return nil }
        let (isAnewDue, engineDamage) = state.withLock { ($0.isAnewDue, $0.damage) }
        var loss: (any Error)?
        if !isAnewDue || engineDamage != nil {
            joiner.checkpointBegins(at: mark.position.index)
            do {
                return try writer.write(mark)
            } catch let damage where CheckpointCatalog.isDamage(damage) {
                loss = damage
                if let engineDamage { throw engineDamage.adding(loss) }
                logger.error("the newest checkpoint is damaged, so that the next one is written anew: \(damage)")
                state.withLock { $0.isAnewDue = true }
            }
        }
        do {
            guard let written = try makeAnew(isEnding: isEnding) else { return nil }
            state.withLock { $0.isAnewDue = false }
            return written
        } catch let damage as DamagedEngine {
            state.withLock { $0.damage = damage }
            onDamage(damage)
            throw damage.adding(loss)
        }
    }

    private func makeAnew(isEnding: @escaping @Sendable () -> Bool) throws -> CheckpointWriter.Written? {
        let newest = try writer.newest()
        let expected = newest?.file.envelope.places.values.reduce(0) { $0 + $1.size } ?? 0
        let files = try TableFiles(files, expecting: expected, space: space)
        defer {
            do {
                try files.remove()
            } catch {
                logger.warning("files of tables could not be removed; the next start does it: \(error)")
            }
        }
        let found = try reads.hold { try tables(behind: newest, in: files, isEnding: isEnding) }
        guard let state = found else { return nil }
        let mark = try mark(behind: state.position)
        joiner.checkpointBegins(at: mark.position.index)
        let written = try writer.writeAnew(mark, from: state, isEnding: isEnding)
        if let written {
            logger.notice(
                "a checkpoint was written anew from the rows of the engine",
                metadata: ["key": "\(written.key)", "bytes.new": "\(written.size)"])
        }
        return written
    }

    /// The state of the engine; nil when no checkpoint can end behind the newest one yet. The view that it was read from is gone
    /// when this returns (Rule E2).
    private func tables(
        behind newest: (head: Head, file: ManifestFile)?, in files: TableFiles, isEnding: @escaping () -> Bool
    ) throws -> StateTables? {
        let state = try stage.look()
        // The entry of a new term changes no row: a checkpoint may end behind the state.
        let end = max(state.position.index, trail.newest?.position.index ?? 0)
        if let newest, newest.head.index >= end { return nil }
        return try StateTables(
            of: state, cut: newest?.file.checkpoint.parameters.cut, in: files, isEnding: isEnding)
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
