public import T4Protocols

/// A piece of the log in one file: what was written behind some revision, for a copy of the database that is to follow. A `ShipmentReplay` takes
/// it.
public enum Shipment {
    /// What is in a piece of the log.
    public struct Report: Hashable, Sendable {
        /// Id of the database, 32 hexadecimal digits.
        public var databaseID: String
        /// The entry that made the revision behind which it begins, or the one before the log.
        public var after: LogPosition
        /// The last entry; `after` where there is none.
        public var end: LogPosition
        /// The revision of the database after that entry.
        public var revision: Revision
        /// How many entries there are behind that.
        public var entryCount: UInt64
        /// Bytes of the file.
        public var size: Int
    }

    /// Why there is no piece of the log that begins behind a revision.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What is missing, and what to do about it.
        public var description: String
        /// The log is not kept so far back there; it may be elsewhere.
        public var isTooFarBack = false
    }

    /// Where entries come from.
    private struct Source {
        var database: DatabaseObject
        /// The entry that made the revision, where the log has it: it is taken too, so that who has another one there is noticed. Zero
        /// or the entry before the log where all of that is wanted.
        var start: LogPosition
        var revision: Revision
        /// Visits the entries from `start` on, or those behind it, each with the one before it.
        var visit: (_ visit: (LogEntry, _ previous: LogPosition) throws -> LogStep) throws -> Void
    }

    /// Writes what the local log of a data directory holds behind a revision, also while a node runs in it. Blocks.
    /// - Parameter revision: Nil for all of the log.
    /// - Throws: `Failure`, `LogError`, what `output` throws; the file is of no use then.
    public static func write(
        dataDirectory: String, after revision: Revision?, to output: @escaping Backup.Output
    ) throws -> Report {
        try write(dataDirectory: dataDirectory, after: revision, through: .max, to: output)
    }

    /// - Parameter last: Nothing behind that entry is taken.
    fileprivate static func write(
        dataDirectory: String, after revision: Revision?, through last: UInt64, to output: @escaping Backup.Output
    ) throws -> Report {
        guard DurableFile.isDirectory(dataDirectory), let identity = try DataDirectory.readIdentity(dataDirectory)
        else {
            throw Failure(description: "\(dataDirectory) is not a data directory of t4: it has no file named database")
        }
        let reader = LogReader(directory: dataDirectory + "/wal", databaseID: identity.database)
        let object = try DatabaseObject(identity.database, lineage: identity.lineage, created: 0)
        let search = try whilePruned {
            guard let first = try reader.segments().first?.header.previous else {
                throw Failure(description: "\(dataDirectory) has no log", isTooFarBack: true)
            }
            return try Search(revision, behind: first) { try read(reader, from: 0, through: last, $0) }
        }
        guard let start = search.start else { throw search.failure(dataDirectory) }
        return try write(
            Source(database: object, start: start, revision: search.revision) { visit in
                var previous = search.previous
                try read(reader, from: max(start.index, previous.index + 1), through: last) { entry in
                    defer { previous = entry.position }
                    return try visit(entry, previous)
                }
            }, to: output)
    }

    /// A node may remove the oldest segments meanwhile.
    private static func whilePruned<Result>(_ body: () throws -> Result) throws -> Result {
        for _ in 0..<16 {
            do { return try body() } catch let error as LogError where error.code == .notFound {}
        }
        return try body()
    }

    private static func read(
        _ reader: LogReader, from index: UInt64, through last: UInt64, _ visit: (LogEntry) throws -> LogStep
    ) throws {
        try reader.visit(from: index) { $0.position.index > last ? .stop : try visit($0) }
    }

    /// Writes what the store holds behind a revision.
    static func write(
        _ restorer: Restorer, of database: DatabaseObject, after revision: Revision?, to output: @escaping Backup.Output
    ) throws -> Report {
        let (base, start, revision) = try restorer.beginning(after: revision)
        let known = try restorer.knownEnd()
        let report = try write(
            Source(database: database, start: start, revision: revision) { visit in
                var previous = base
                _ = try restorer.chain.read(after: base) { entry in
                    defer { previous = entry.position }
                    return entry.position.index >= start.index ? try visit(entry, previous) : .next
                }
            }, to: output)
        // Checkpoints may be kept whose log is not.
        guard report.end.index >= known else {
            throw Failure(
                description:
                    "the store does not keep the log behind revision \(report.revision) any more: begin with a new backup",
                isTooFarBack: true)
        }
        return report
    }

    private static func write(_ source: Source, to output: @escaping Backup.Output) throws -> Report {
        let (id, start) = (source.database.id, source.start)
        var report = Report(
            databaseID: "\(id)", after: start, end: start, revision: source.revision, entryCount: 0, size: 0)
        report.size = try Backup.file(.log, output) { store in
            try Backup.put(
                DatabaseObject(id, lineage: source.database.lineage, created: source.database.created), in: store)
            var piece: LogPiece?
            try source.visit { entry, previous in
                let begun = piece == nil && entry.position == start
                guard begun || entry.position.index == report.end.index + 1 else {
                    throw Failure(
                        description: "the log was shortened while it was read, up to entry \(report.end.index)")
                }
                if piece == nil { piece = LogPiece(of: id, behind: previous, in: store) }
                try piece?.add(entry)
                guard !begun else { return .next }
                report.end = entry.position
                report.entryCount += 1
                if entry.revision != .none { report.revision = entry.revision }
                return .next
            }
            try piece?.finish()
        }
        return report
    }

    /// Looks for the entry that made a revision.
    private struct Search {
        private var wanted: Revision?
        /// That entry; the one before the log where all of it is wanted.
        private(set) var start: LogPosition?
        /// The one before that.
        private(set) var previous: LogPosition
        /// The newest revision that was met.
        private(set) var revision = Revision.initial
        /// The first one.
        private var oldest: Revision?

        init(
            _ wanted: Revision?, behind first: LogPosition, _ read: ((LogEntry) throws -> LogStep) throws -> Void
        ) throws {
            self.wanted = wanted
            previous = first
            guard let wanted, wanted > .initial || first != .zero else {
                start = first
                return
            }
            var search = self
            try read { entry in
                if entry.revision != .none {
                    if search.oldest == nil { search.oldest = entry.revision }
                    search.revision = entry.revision
                    if entry.revision == wanted { search.start = entry.position }
                    if entry.revision >= wanted { return .stop }
                }
                search.previous = entry.position
                return .next
            }
            self = search
        }

        func failure(_ directory: String) -> Failure {
            guard let oldest, let wanted, oldest <= wanted else {
                return Failure(
                    description:
                        "the log in \(directory)/wal does not reach back to revision \(wanted ?? .none): name the object "
                        + "store, which keeps more of it, or begin with a new backup", isTooFarBack: true)
            }
            return Failure(
                description:
                    "the log in \(directory)/wal ends with revision \(revision), and nothing is behind revision "
                    + "\(wanted) yet")
        }
    }
}

extension Node {
    /// Writes what is visible and came behind a revision into a file, as far as the local log reaches back. Reads and writes go on.
    /// - Parameter revision: Nil for all of the log.
    /// - Throws: `Shipment.Failure`, with `isTooFarBack` where the store may have it; what `output` throws. The file is of no use then.
    public func ship(after revision: Revision?, to output: @escaping Backup.Output) async throws -> Shipment.Report {
        try await SystemThread.run("t4-ship") {
            try Shipment.write(
                dataDirectory: self.directory.path, after: revision, through: self.published.appliedIndex, to: output)
        }
    }
}

extension RestorePoint {
    /// Writes what the store holds of the log behind a revision into a file: as `Shipment` does for a data directory. The store is only
    /// read; nodes may use it meanwhile.
    /// - Parameter revision: Nil for everything that is kept.
    /// - Throws: `Shipment.Failure`, a description of a damaged object, what the store answered, and what `output` throws; the file is
    ///   of no use then.
    public func ship(after revision: Revision?, to output: @escaping Backup.Output) async throws -> Shipment.Report {
        try await SystemThread.run("t4-ship") {
            let (restorer, database) = try open()
            return try Shipment.write(restorer, of: database, after: revision, to: output)
        }
    }
}

extension Restorer {
    /// Where a reading of the log begins that is to visit what follows a revision.
    /// - Parameter revision: Nil for everything that is kept.
    /// - Returns: Where the chain can be read from, the entry that made the revision, and the revision there.
    func beginning(after revision: Revision?) throws -> (base: LogPosition, start: LogPosition, revision: Revision) {
        guard let revision, revision > .initial else {
            var catalog = try CheckpointCatalog(checkpoints)
            if try hasBeginning(catalog) { return (.zero, .zero, .initial) }
            var place = 0
            var oldest: ManifestFile?
            while revision == nil, oldest == nil, let next = try catalog.oldest(from: place) {
                if next.file.checkpoint.index >= catalog.collectedIndex { oldest = next.file }
                place = next.place + 1
            }
            guard let start = oldest?.start else {
                throw Shipment.Failure(
                    description:
                        "the store does not keep the log from its beginning: begin with a backup, and name its revision"
                )
            }
            return (start.position, start.position, start.revision)
        }
        do {
            let course = try course(to: .revision(revision))
            return (course.file?.checkpoint.position ?? .zero, course.plan.end, revision)
        } catch let error as RestoreError where error.code == .notKept {
            throw Shipment.Failure(
                description: "there is nothing behind revision \(revision) to take: \(error.message)")
        }
    }

    /// The log led so far for certain.
    func knownEnd() throws -> UInt64 {
        let catalog = try CheckpointCatalog(checkpoints)
        return max(catalog.head?.index ?? 0, catalog.collectedIndex)
    }

    /// The newest place, up to the last entry of a copy, from which the log can be read; nil where none is kept.
    /// - Parameter revision: Of the copy, if it is known: then fewer manifests are read.
    func base(upTo end: LogPosition, revision: Revision? = nil) throws -> LogPosition? {
        var catalog = try CheckpointCatalog(checkpoints)
        var count =
            revision.map { revision in catalog.names.prefix { $0.revision <= revision }.count } ?? catalog.names.count
        while let newest = try catalog.newest(ofFirst: count) {
            let position = newest.file.checkpoint.position
            if position.index <= end.index { return position }
            count = newest.place
        }
        return try hasBeginning(catalog) ? .zero : nil
    }

    /// Visits the entries behind one that a copy of the database ends with.
    /// - Parameter revision: Of the copy.
    /// - Returns: False where the store does not keep the log so far back.
    func visit(after end: LogPosition, revision: Revision, _ visit: (LogEntry) throws -> LogStep) throws -> Bool {
        guard let base = try base(upTo: end, revision: revision) else { return false }
        var isKnown = base == end
        guard base.index < end.index || isKnown else { throw ShipmentReplay.diverged(at: end.index) }
        _ = try chain.read(after: base) { entry in
            if entry.position.index < end.index { return .next }
            if entry.position.index == end.index {
                guard entry.position == end else { throw ShipmentReplay.diverged(at: end.index) }
                isKnown = true
                return .next
            }
            guard isKnown else { throw ShipmentReplay.diverged(at: end.index) }
            return try visit(entry)
        }
        return isKnown
    }
}
