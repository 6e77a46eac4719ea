package import T4Protocols

/// Writes one checkpoint after the other into the store: new tables, then the manifest, then the head.
///
/// Blocks. Works from the log alone; writers never wait for it.
package struct CheckpointWriter: Sendable {
    /// Who writes; stands in the envelope of each manifest.
    package struct Author: Sendable {
        package var node: String
        package var engine: String
        package var software: String

        package init(node: String, engine: String, software: String) {
            self.node = node
            self.engine = engine
            self.software = software
        }
    }

    /// What became of it.
    package struct Written: Hashable, Sendable {
        package var key: ObjectKey
        package var file: ManifestFile
        /// Tables that had not been there, and their bytes.
        package var tableCount = 0
        package var size = 0
    }

    /// Visits the entries behind a position.
    package typealias ReadLog = @Sendable (_ after: LogPosition, _ visit: (LogEntry) throws -> LogStep) throws -> Void

    private let checkpoints: CheckpointStore
    private let databaseID: DatabaseID
    private let lineage: Manifest.Lineage?
    private let author: Author
    private let clock: Clock
    private let readLog: ReadLog
    /// Rows of the log are written as a run of their own once they take this much memory.
    private static let foldSizeMax = 64 << 20
    /// Attempts while collections of garbage begin in between.
    private static let attemptsMax = 4

    /// - Parameter lineage: Where the database came from, if it began as a part of another one.
    package init(
        _ checkpoints: CheckpointStore, databaseID: DatabaseID, lineage: Manifest.Lineage? = nil, author: Author,
        clock: Clock, readLog: @escaping ReadLog
    ) {
        self.checkpoints = checkpoints
        self.databaseID = databaseID
        self.lineage = lineage
        self.author = author
        self.clock = clock
        self.readLog = readLog
    }

    /// Writes the checkpoint that ends at `mark`; nil when the newest one ends there or later.
    ///
    /// New tables carry the epoch in which the checkpoint began. When a collection of garbage begins meanwhile it is made
    /// again in the new epoch: that collection may not have seen what this one uses. Where head or manifest of the newest
    /// checkpoint are damaged it is made from an older one, and takes the place of the damaged one.
    /// - Throws: What the store says, `CheckpointError`; `.interrupted` when one collection followed the other. The head is
    ///   then as before, or as after where the outcome of the swap is unknown; nothing that was there is lost either way.
    package func write(_ mark: StateTrail.Mark) throws -> Written? {
        try write(mark, after: checkpoints.headOrStandIn) { last, uploads in
            var builder = CheckpointBuilder(
                previous: last?.checkpoint, index: mark.position.index, compacted: mark.meta.compacted,
                open: uploads.open, put: uploads.put)
            try fold(into: &builder, after: last?.checkpoint, mark)
            try builder.finish()
            return builder
        }
    }

    /// Writes the first checkpoint of a store whose log begins behind it, from the state itself.
    /// - Parameter reader: Shows the state at `mark`, and nothing changes meanwhile.
    package func seed(_ mark: StateTrail.Mark, from reader: StateReader) throws -> Written {
        let written = try write(mark, after: { nil }) { _, uploads in
            var builder = CheckpointBuilder(
                previous: nil, index: mark.position.index, compacted: mark.meta.compacted, open: uploads.open,
                put: uploads.put)
            try builder.begin(SnapshotTableRows(reader.snapshot))
            return builder
        }
        guard let written else { preconditionFailure("there is no checkpoint before the first one") }
        return written
    }

    /// The newest checkpoint as `writeAnew` finds it; nil when there is none.
    package func newest() throws -> (head: Head, file: ManifestFile)? {
        try checkpoints.headOrStandIn().map { ($0.head, try checkpoints.newest(of: $0.head).file) }
    }

    /// Writes the checkpoint that ends at `mark` anew, from the state itself and the log behind it: no table of the newest
    /// one is read or used again, as some may be damaged or lost. Everything else is as in `write`.
    /// - Parameters:
    ///   - state: Ends at `mark` or before it.
    ///   - isEnding: Asked before each table.
    /// - Throws: Also `.interrupted` when `isEnding`. No file of the state is in use then.
    package func writeAnew(
        _ mark: StateTrail.Mark, from state: StateTables, isEnding: @escaping () -> Bool = { false }
    ) throws -> Written? {
        try write(mark, after: checkpoints.headOrStandIn, files: state.files, isEnding: isEnding) { _, uploads in
            var builder = CheckpointBuilder(
                previous: nil, index: mark.position.index, compacted: mark.meta.compacted, firstCut: state.cut,
                open: uploads.open, put: uploads.put)
            builder.begin(with: state.tables)
            if state.position != mark.position {
                try fold(
                    into: &builder, after: state.position, state.meta.revision, compacted: state.meta.compacted, mark)
                try builder.finish()
            }
            try uploads.putFiles(of: builder.base)
            return builder
        }
    }

    /// Writes the first checkpoint of a branch: the tables of its parent's checkpoint where they lie, and on top what the
    /// parent's log made of them up to `mark`. `readLog` must read that log.
    /// - Parameter prefix: Of the parent.
    package func begin(_ mark: StateTrail.Mark, from parent: ManifestFile, under prefix: String) throws -> Written {
        let written = try write(mark, after: { nil }) { _, uploads in
            uploads.inherit(parent.envelope.places, from: prefix)
            var builder = CheckpointBuilder(
                previous: parent.checkpoint, index: mark.position.index, compacted: mark.meta.compacted,
                open: uploads.open, put: uploads.put)
            if mark.position != parent.checkpoint.position {
                try fold(into: &builder, after: parent.checkpoint, mark)
                try builder.finish()
            }
            return builder
        }
        guard let written else { preconditionFailure("there is no checkpoint before the first one") }
        return written
    }

    /// - Parameter files: Tables that may be used; those of the newest checkpoint are not used then.
    private func write(
        _ mark: StateTrail.Mark, after readHead: () throws -> CheckpointStore.FoundHead?, files: TableFiles? = nil,
        isEnding: @escaping () -> Bool = { false },
        build: (_ last: ManifestFile?, TableUploads) throws -> CheckpointBuilder
    ) throws -> Written? {
        for _ in 0..<CheckpointWriter.attemptsMax {
            let epoch = try checkpoints.epoch()
            let previous = try readHead()
            if let previous, previous.head.index >= mark.position.index { return nil }
            let last = try previous.map { try checkpoints.newest(of: $0.head) }
            let uploads = TableUploads(
                checkpoints, known: files == nil ? last?.file : nil, epoch: epoch, files: files, isEnding: isEnding)
            let written: Written
            do {
                written = try put(build(last?.file, uploads), uploads, mark, after: previous?.head, behind: last?.key)
            } catch {
                uploads.letGoOfFiles()
                throw error
            }
            guard try checkpoints.epoch() == epoch else { continue }
            var random = SystemRandomNumberGenerator()
            try checkpoints.swapHead(
                written.key, written.file, previous: previous.map { ($0.head, $0.version) }, random: &random)
            return written
        }
        throw CheckpointError(.interrupted, "one collection of garbage after the other began during the checkpoint")
    }

    /// Writes the manifest, once the tables are there.
    /// - Parameter previous: The checkpoint that it was made from.
    private func put(
        _ builder: CheckpointBuilder, _ uploads: TableUploads, _ mark: StateTrail.Mark, after head: Head?,
        behind previous: ObjectKey?
    ) throws -> Written {
        try uploads.finish()
        let manifest = Manifest(
            database: databaseID, lineage: lineage, position: mark.position, meta: mark.meta,
            cut: builder.cut ?? TableCut(meanRowSize: CheckpointBuilder.usualRowSize), base: builder.base,
            deltas: builder.deltas)
        let places = Dictionary(
            manifest.tables.map { ($0.id, uploads.place(of: $0)) }, uniquingKeysWith: { first, _ in first })
        let file = try ManifestFile(
            manifest,
            ManifestFile.Envelope(
                commitTime: mark.time, writtenTime: clock.wall(), node: author.node, engine: author.engine,
                software: author.software, previous: previous?.rawValue, places: places.compactMapValues { $0 }))
        let (key, stored) = try checkpoints.put(file, after: head)
        return Written(key: key, file: stored, tableCount: uploads.newCount, size: uploads.newSize)
    }

    /// Folds the log between two checkpoints.
    private func fold(
        into builder: inout CheckpointBuilder, after last: Manifest?, _ mark: StateTrail.Mark
    ) throws {
        try fold(
            into: &builder, after: last?.position ?? .zero, last.map { Revision($0.revision) } ?? .initial,
            compacted: last.map { Revision($0.compacted) } ?? .none, mark)
    }

    private func fold(
        into builder: inout CheckpointBuilder, after start: LogPosition, _ revision: Revision, compacted: Revision,
        _ mark: StateTrail.Mark
    ) throws {
        var fold = Fold(after: start, revision: revision, compacted: compacted)
        var from = start.index
        try readLog(start) { entry in
            guard entry.position.index <= mark.position.index else { return .stop }
            try fold.add(entry)
            if fold.byteCount >= CheckpointWriter.foldSizeMax {
                try builder.add(fold.takeRows(), from: from, to: fold.position.index)
                from = fold.position.index
            }
            return entry.position.index == mark.position.index ? .stop : .next
        }
        guard fold.position == mark.position, fold.revision == mark.meta.revision,
            fold.compacted == mark.meta.compacted
        else {
            // No table is to blame: whoever would write everything anew would hide it.
            throw CheckpointError(
                .invalidArgument,
                "the log leads to \(fold.position), revision \(fold.revision), compacted \(fold.compacted)"
                    + "; the state at \(mark.position) is at \(mark.meta.revision), \(mark.meta.compacted)")
        }
        try builder.add(fold.takeRows(), from: from, to: fold.position.index)
    }
}
