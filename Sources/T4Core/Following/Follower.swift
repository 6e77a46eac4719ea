import Logging
import T4Protocols

/// A data directory that takes entries of its database.
struct Follower {
    private static let pieceMax = 1024
    private static let pieceBytesMax = 1 << 20

    private let database: DatabaseID
    private let home: EngineHome
    private let logger: Logger
    private let engine: any LocalEngine
    private let writer: LogWriter
    private let terms: TermLog
    private var replay: EngineReplay
    private var piece: [LogEntry] = []
    private var pieceBytes = 0
    private var report: ShipmentReplay.Report
    /// Commit time of the last entry that was there before; 0 where that is not known.
    private let begunAt: UInt64

    /// Brings the engine up to the end of the log.
    init(_ directory: DataDirectory, _ identity: DataDirectory.Identity, _ home: EngineHome, _ logger: Logger) throws {
        let recovery = try Recovery(
            directory: directory, identity: identity, home: home, files: POSIXFileSystem(),
            configuration: LogConfiguration(), logger: logger)
        let recovered = try recovery.run(nil)
        (database, self.home, self.logger) = (identity.database, home, logger)
        (engine, writer, terms) = (recovered.engine, recovered.writer, recovery.log.terms)
        replay = try EngineReplay(on: engine)
        begunAt = recovered.lastTime
        let revision = try StateReader(engine.snapshot()).meta.revision
        report = ShipmentReplay.Report(
            databaseID: "\(database)", revision: revision, end: recovered.end, shippedRevision: revision)
    }

    mutating func take(
        _ file: BlockingStore, to limit: ShipmentReplay.Limit, healingFrom source: RestorePoint?
    ) throws -> ShipmentReplay.Report {
        var names: [ObjectKey] = []
        try file.list(StoreLayout.log, after: nil) { names.append($0.key) }
        var last: LogPosition?
        var isDone = hasReached(limit)
        for name in names {
            guard let stored = try file.find(name) else { continue }
            let object = try LogObject(stored.bytes, key: name, databaseID: database)
            if let last, object.header.previous != last {
                throw BackupError(.damaged, "entries are missing in the file behind \(last)")
            }
            try compare(object.entries)
            if last == nil, !isDone { isDone = try begin(behind: object.header.previous, limit, source) }
            for entry in object.entries {
                if entry.revision != .none { report.shippedRevision = max(report.shippedRevision, entry.revision) }
                if !isDone { isDone = try add(entry, limit) == .stop }
            }
            last = object.end
        }
        try flush()
        return report
    }

    /// Makes what was taken durable, in the log and in the engine.
    mutating func close() throws {
        try flush()
        try replay.apply()
        try engine.sync()
        writer.close()
        try engine.close()
        try home.markClean()
    }

    /// Lets go of everything, after an error: what was taken before it stays, and the engine outlives a restart of the machine.
    func abandon() {
        writer.close()
        do {
            try engine.sync()
            try engine.close()
            try home.markClean()
        } catch {
            logger.warning("the engine did not close: \(error)")
        }
    }

    private func hasReached(_ limit: ShipmentReplay.Limit) -> Bool {
        switch limit {
        case .end: false
        case .revision(let revision): report.revision >= revision
        case .time(let time): begunAt > time
        }
    }

    /// The first entry of a piece is the one behind `previous`.
    /// - Returns: Whether the limit was reached on the way there.
    private mutating func begin(
        behind previous: LogPosition, _ limit: ShipmentReplay.Limit, _ source: RestorePoint?
    ) throws -> Bool {
        if previous.index <= report.end.index {
            try check(previous)
            return false
        }
        if let source, try heal(through: previous, limit, source) { return hasReached(limit) || report.end != previous }
        // What the store had is as good as what comes in a file.
        try flush()
        throw ReplayError(
            .gap,
            "entries \(report.end.index + 1) to \(previous.index) are missing: the directory ends with revision \(report.revision), and "
                + "the piece of the log begins later" + (source == nil ? "" : ", as does what the store keeps")
                + "; take one that begins at revision \(report.revision), "
                + (source == nil ? "name the object store, " : "") + "or begin anew with a restored backup")
    }

    /// Takes what is missing from the store.
    private mutating func heal(
        through last: LogPosition, _ limit: ShipmentReplay.Limit, _ source: RestorePoint
    ) throws -> Bool {
        let (restorer, found) = try source.open()
        guard found.id == database else {
            throw ReplayError(.wrongDatabase, "the store holds database \(found.id), and not \(database)")
        }
        let before = report.entryCount
        var isDone = false
        let isKept = try restorer.visit(after: report.end, revision: report.revision) { entry in
            guard entry.position.index <= last.index else { return .stop }
            isDone = try add(entry, limit) == .stop
            return isDone || entry.position.index == last.index ? .stop : .next
        }
        report.healedCount = report.entryCount - before
        guard isKept, isDone || report.end.index == last.index else { return false }
        guard isDone || report.end == last else { throw ShipmentReplay.diverged(at: last.index) }
        return true
    }

    /// Looks whether the directory has the entry before a piece; it is not known of what the log does not reach back to.
    private func check(_ position: LogPosition) throws {
        if let term = terms.term(at: position.index), term != position.term {
            throw ShipmentReplay.diverged(at: position.index)
        }
    }

    /// Looks whether the directory has those of the entries that it has at all: copies that went on by themselves may have given the same
    /// positions to other entries.
    private func compare(_ entries: [LogEntry]) throws {
        if let first = entries.first(where: { $0.position.index == terms.base.index }), first.position != terms.base {
            throw ShipmentReplay.diverged(at: first.position.index)
        }
        var rest = entries.drop { $0.position.index <= terms.base.index }.prefix {
            $0.position.index <= terms.last.index
        }
        while let first = rest.first, let last = rest.last {
            guard
                case .entries(let found) = try writer.entries.entries(
                    from: first.position.index, through: last.position.index, maxBytes: Follower.pieceBytesMax),
                !found.isEmpty
            else { throw LogError(.corrupted, "the log has no entry \(first.position.index), which it had") }
            for (mine, other) in zip(found, rest) where mine != other {
                throw ShipmentReplay.diverged(at: other.position.index)
            }
            rest = rest.dropFirst(found.count)
        }
    }

    private mutating func add(_ entry: LogEntry, _ limit: ShipmentReplay.Limit) throws -> LogStep {
        guard entry.position.index > report.end.index else { return .next }
        let goesOn = entry.revision == .none || entry.revision == report.revision.next
        guard goesOn, entry.position.term >= report.end.term else {
            throw ShipmentReplay.diverged(at: entry.position.index)
        }
        if case .time(let time) = limit, entry.time > time { return .stop }
        piece.append(entry)
        pieceBytes += LogFormat.frameSize(entry)
        report.end = entry.position
        report.entryCount += 1
        if entry.revision != .none { report.revision = entry.revision }
        if piece.count >= Follower.pieceMax || pieceBytes >= Follower.pieceBytesMax { try flush() }
        return hasReached(limit) ? .stop : .next
    }

    /// The log first: an engine is never ahead of it.
    private mutating func flush() throws {
        guard !piece.isEmpty else { return }
        try writer.appendAndSync(piece)
        for entry in piece { try replay.add(entry) }
        (piece, pieceBytes) = ([], 0)
    }
}
