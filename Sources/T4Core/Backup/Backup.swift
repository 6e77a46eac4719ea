public import Logging
public import T4Protocols

/// A complete state of a database, with its history, users, leases and alarms, in one file.
///
/// In the file is a checkpoint of the database and, where the state lies behind that, the log up to it. So it can be restored
/// into any engine, with `RestorePoint` on a `BackupFile`.
public enum Backup {
    /// Takes the next bytes of the file. May block; never called twice at once. What it throws ends the backup.
    public typealias Output = @Sendable ([UInt8]) throws -> Void

    /// What is in a backup.
    public struct Report: Hashable, Sendable {
        /// Id of the database, 32 hexadecimal digits.
        public var databaseID: String
        /// The newest revision in it.
        public var revision: Revision
        /// The last entry of the log whose changes are in it.
        public var end: LogPosition
        /// Bytes of the file.
        public var size: Int
        /// What an operator should know, one sentence each: damaged checkpoints that were passed over, for instance.
        public var warnings: [String] = []
    }

    /// Writes the file from rows. Blocks.
    static func write(
        _ mark: StateTrail.Mark, from reader: StateReader, of database: DatabaseID, lineage: Manifest.Lineage?,
        author: CheckpointWriter.Author, clock: Clock, to output: @escaping Output
    ) throws -> Report {
        let size = try file(.whole, output) { store in
            try put(DatabaseObject(database, lineage: lineage, created: clock.wall()), in: store)
            _ = try CheckpointWriter(
                CheckpointStore(store, databaseID: database), databaseID: database, lineage: lineage, author: author,
                clock: clock, readLog: { _, _ in }
            ).seed(mark, from: reader)
        }
        return Report(databaseID: "\(database)", revision: mark.meta.revision, end: mark.position, size: size)
    }

    /// Writes what `fill` puts into a store. What `output` throws comes out as it is.
    static func file(
        _ content: BackupFormat.Content, _ output: @escaping Output, _ fill: (BlockingStore) throws -> Void
    ) throws -> Int {
        let writer = try BackupWriter(content, output)
        do {
            try fill(BlockingStore(writer))
        } catch {
            throw writer.failure ?? error
        }
        return try writer.finish()
    }

    static func put(_ object: DatabaseObject, in store: BlockingStore) throws {
        _ = try store.put(StoreLayout.database, object.encoded(), when: .absent)
    }

    /// Writes the file from what a store has. Blocks.
    static func write(
        _ course: Restorer.Course, of database: DatabaseObject, _ restorer: Restorer, to output: @escaping Output
    ) throws -> Report {
        // A table that is damaged may make way for an older checkpoint, as long as nothing is written.
        if let file = course.file, let key = course.plan.checkpoint?.key {
            do {
                for table in file.checkpoint.tables { _ = try read(table, of: file, restorer.checkpoints) }
            } catch let error where course.mayFallBack && CheckpointCatalog.isDamage(error) {
                throw Restorer.Unloadable(
                    damage: CheckpointCatalog.Damage(key: key, cause: error, manifest: file.checkpoint))
            }
        }
        let plan = course.plan
        let size = try file(plan.keepsDatabase ? .whole : .cut, output) { store in
            try put(DatabaseObject(database.id, lineage: database.lineage, created: database.created), in: store)
            var last = LogPosition.zero
            if let file = course.file {
                try copy(file, restorer.checkpoints, to: CheckpointStore(store, databaseID: database.id))
                last = file.checkpoint.position
            }
            if last != plan.end { try copyLog(restorer.chain, after: last, through: plan.end, to: store) }
        }
        return Report(
            databaseID: "\(database.id)", revision: plan.revision, end: plan.end, size: size, warnings: plan.warnings)
    }

    /// The bytes of a table, whose rows are those that the checkpoint means.
    private static func read(
        _ table: Manifest.TableEntry, of file: ManifestFile, _ source: CheckpointStore
    ) throws -> [UInt8] {
        let stored = try source.fetch(table, of: file).wait()
        var rows = try TableReader(
            name: stored.info.key.rawValue, bytes: stored.bytes, id: TableID(hex: table.id)
        ).rows()
        while try rows.next() != nil {}
        return stored.bytes
    }

    /// Copies a checkpoint, with tables that lie elsewhere, as a branch has them.
    private static func copy(
        _ file: ManifestFile, _ source: CheckpointStore, to target: CheckpointStore
    ) throws {
        var places: [String: ManifestFile.Place] = [:]
        for table in file.checkpoint.tables {
            guard places[table.id] == nil, let id = TableID(hex: table.id) else { continue }
            let bytes = try read(table, of: file, source)
            let key = StoreLayout.table(id, epoch: 0)
            _ = try target.store.put(key, bytes, when: .absent)
            places[table.id] = ManifestFile.Place(key: key, size: UInt64(bytes.count))
        }
        var envelope = file.envelope
        (envelope.previous, envelope.places) = (nil, places)
        let (key, written) = try target.put(ManifestFile(file.checkpoint, envelope), after: nil)
        var random = SystemRandomNumberGenerator()
        try target.swapHead(key, written, previous: nil, random: &random)
    }

    private static func copyLog(
        _ chain: LogChain, after start: LogPosition, through end: LogPosition, to store: BlockingStore
    ) throws {
        var piece = LogPiece(of: chain.databaseID, behind: start, in: store)
        _ = try chain.read(after: start) { entry in
            try piece.add(entry)
            return entry.position.index == end.index ? .stop : .next
        }
        try piece.finish()
        guard piece.end == end else {
            throw RestoreError(
                .damaged, "the log ends at entry \(piece.end), not at \(end): it was changed meanwhile")
        }
    }
}

extension Backup {
    /// Writes what a data directory holds into a file, also while a node runs in it. Blocks.
    /// - Parameters:
    ///   - registry: Must know the engine that the directory was last used with.
    ///   - node: Who makes it, for people.
    /// - Throws: What is wrong with the directory; of the engine; what `output` throws. The file is of no use then.
    public static func write(
        dataDirectory: String, registry: BackendRegistry, logger: Logger, by node: String, software: String,
        to output: @escaping Output
    ) throws -> Report {
        let inspection = try Inspection(dataDirectory: dataDirectory, registry: registry, logger: logger)
        guard let identity = try DataDirectory.readIdentity(dataDirectory) else {
            throw Inspection.Failure(description: "\(dataDirectory) is no data directory any more")
        }
        let mark = StateTrail.Mark(
            position: inspection.summary.lastEntry, meta: inspection.reader.meta, time: Clock.system.wall())
        return try write(
            mark, from: inspection.reader, of: identity.database, lineage: identity.lineage,
            author: CheckpointWriter.Author(node: node, engine: "", software: software), clock: .system, to: output)
    }
}

extension Node {
    /// Writes everything visible into a file, consistent as of one entry of the log. Reads and writes go on meanwhile; the engine keeps
    /// the rows of that moment until it is done.
    ///
    /// A node of a cluster gives what it has applied; `catchUp` before makes that everything that was acknowledged.
    /// - Throws: `EngineError`; what `output` throws. The file is of no use then.
    public func backup(to output: @escaping Backup.Output) async throws -> Backup.Report {
        try await SystemThread.run("t4-backup") { try self.writeBackup(to: output) }
    }

    /// The same for a thread that may block.
    package func writeBackup(to output: @escaping Backup.Output) throws -> Backup.Report {
        guard let identity = directory.identity else { preconditionFailure("a node has a directory with an identity") }
        return try longReads.hold {
            let state = try core.stage.look()
            // Not before the time of the last entry.
            let mark = StateTrail.Mark(position: state.position, meta: state.meta, time: Clock.system.wall())
            return try Backup.write(
                mark, from: StateReader(state.snapshot), of: identity.database, lineage: identity.lineage,
                author: CheckpointWriter.Author(
                    node: configuration.name, engine: configuration.engine, software: configuration.software),
                clock: .system, to: output)
        }
    }
}
