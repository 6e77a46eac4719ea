import Logging
import T4Protocols

extension Inspection {
    /// What a data directory holds: a view of its engine, and what the log makes of that.
    struct Content {
        /// Nil for an engine without rows.
        private(set) var base: (any EngineSnapshot)?
        /// Where `base` stands.
        private(set) var applied = LogPosition.zero
        /// What the entries behind that change.
        private(set) var changes = WriteBatch()
        private(set) var replayed: UInt64 = 0
        /// The position before the oldest entry of the log, and the last one.
        private(set) var logStart = LogPosition.zero
        private(set) var logEnd = LogPosition.zero
        /// The log does not reach back to the engine: a node removed the end of it after the view was taken, or files are
        /// missing. Nothing was replayed then.
        private(set) var isLogPruned = false
        /// What was not there any more when it was to be read.
        private(set) var removed: LogError?
        let engine: String
        let engineDirectory: String

        init(
            _ directory: String, _ database: DatabaseID, _ registry: BackendRegistry, _ logger: Logger
        ) throws {
            let engines = directory + "/engine"
            let state = try EngineHome.readState(engines)
            engine = state?.type ?? "none"
            engineDirectory = EngineHome.path(engines, generation: state?.generation ?? 0)
            if let state, state.isFilling {
                throw Failure(
                    description:
                        "the engine in \(directory) is being filled from the object store, or a start that did it "
                        + "was cut off: look again when the node takes requests")
            }
            if let state, DurableFile.isDirectory(engineDirectory) { try look(state.type, registry, logger) }
            try replay(LogReader(directory: directory + "/wal", databaseID: database))
        }

        private mutating func look(_ type: String, _ registry: BackendRegistry, _ logger: Logger) throws {
            do {
                let engine = try registry.makeEngine(
                    type, settings: NoSettings(),
                    context: EngineContext(directory: engineDirectory, isReadOnly: true, logger: logger))
                // A node may be writing: a view belongs to the position that stands before and after it is taken.
                while true {
                    applied = try engine.appliedPosition
                    base = try engine.snapshot()
                    if try engine.appliedPosition == applied { break }
                }
            } catch let error as EngineError where error.code == .unsupported {
                // A volatile engine leaves nothing behind: everything comes from the log.
                base = nil
            }
        }

        private mutating func replay(_ log: LogReader) throws {
            let applied = applied
            let below = try StateReader(OverlaySnapshot(base: base, changes: WriteBatch()))
            var replay = LogReplay(reader: below, position: applied)
            var count: UInt64 = 0
            do {
                let summary = try log.read(from: applied.index + 1) { entry in
                    guard entry.position.index > applied.index else { return .next }
                    if count == 0, entry.position.index > applied.index + 1 { return .stop }
                    try replay.add(entry)
                    count += 1
                    return .next
                }
                (logStart, logEnd) = (summary.start, summary.end)
                isLogPruned = summary.start.index > applied.index
                if !isLogPruned { (changes, replayed) = (replay.finish(), count) }
            } catch {
                guard error.code == .notFound else { throw error }
                (isLogPruned, removed) = (true, error)
            }
        }
    }
}
