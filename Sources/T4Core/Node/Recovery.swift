import Logging
import T4Protocols

/// Brings an engine up to the end of the log when a node starts.
struct Recovery {
    /// A log and an engine that agree.
    struct Recovered {
        var writer: LogWriter
        var end: LogPosition
        var lastTime: UInt64
        var replayed: UInt64
    }

    /// Why a log and an engine do not belong together.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Rows of replayed entries are applied once they pass this many bytes.
    private static let batchBytesMax = 8 * 1024 * 1024

    let directory: DataDirectory
    let engine: any LocalEngine
    let configuration: LogConfiguration

    /// Replays what the engine does not have.
    func run() throws -> Recovered {
        let applied = try engine.appliedPosition
        var replay = try LogReplay(on: engine)
        var replayed: UInt64 = 0
        // The entry at the engine's own position is read as well: it must be the one the engine applied.
        let opened: Log.Opened
        do {
            opened = try Log.open(
                directory: directory.wal, databaseID: directory.identity.database, configuration: configuration,
                from: max(applied.index, 1)
            ) { entry in
                if entry.position.index == applied.index {
                    guard entry.position.term == applied.term else {
                        throw Failure(
                            description: "the engine applied entry \(applied), the log has \(entry.position) there")
                    }
                    return .next
                }
                try replay.add(entry)
                replayed += 1
                if replay.byteCount >= Recovery.batchBytesMax {
                    try engine.apply(replay.finish(), at: replay.position)
                    replay = try LogReplay(on: engine)
                }
                return .next
            }
        } catch {
            // An error of the visitor is what matters, not that it stopped the reader.
            if error.code == .stopped, let cause = error.cause { throw cause }
            throw error
        }
        guard opened.end.index >= applied.index, opened.start.index <= applied.index else {
            opened.writer.close()
            throw Failure(
                description: "the log in \(directory.wal) holds entries \(opened.start.index + 1) to "
                    + "\(opened.end.index), but the engine stands at \(applied.index): files of the log are missing; "
                    + "restore the whole data directory from a copy")
        }
        if replay.position != applied { try engine.apply(replay.finish(), at: replay.position) }
        return Recovered(
            writer: opened.writer, end: opened.end, lastTime: opened.lastTime, replayed: replayed)
    }
}
