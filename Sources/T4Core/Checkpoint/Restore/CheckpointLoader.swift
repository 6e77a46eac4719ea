package import T4Protocols

/// Fills an empty engine from a checkpoint.
package struct CheckpointLoader: Sendable {
    private let checkpoints: CheckpointStore
    private let file: ManifestFile
    private let key: ObjectKey
    /// Tables of a run that are read ahead.
    private static let aheadMax = 4

    package init(_ checkpoints: CheckpointStore, _ file: ManifestFile, key: ObjectKey) {
        self.checkpoints = checkpoints
        self.file = file
        self.key = key
    }

    /// Loads everything, and compares the sum of what was loaded with the digest of the checkpoint.
    ///
    /// Durable when it returns. After an error the engine is to be discarded.
    /// - Parameter progress: Hears how many of how many tables have been read.
    /// - Throws: `.corrupted` with the name of a damaged object, `.laterVersion`; of the store and of the engine.
    package func load(
        into engine: any LocalEngine, progress: @escaping (_ done: Int, _ all: Int) -> Void = { _, _ in }
    ) throws {
        guard let meta = file.checkpoint.meta else {
            throw CheckpointError.laterVersion(
                key.rawValue, has: "a digest of kind \(file.checkpoint.digest.algorithm)", known: StateDigest.algorithm)
        }
        let count = file.checkpoint.tables.count
        var rows = CheckpointRows(meta: meta) {
            RowsAhead(tablesDone: { progress($0, count) }) { try self.rows(tableDone: $0) }
        }
        do {
            try engine.bulkLoad(&rows, at: file.checkpoint.position)
        } catch {
            // What matters is which object could not be read.
            throw error.code == .ioFailed ? error.cause ?? error : error
        }
        guard rows.isVerified else {
            throw CheckpointError(.corrupted, "the rows of \(key) do not add up to its digest")
        }
    }

    /// The rows of the complete state, merged and without what is compacted.
    package func rows(tableDone: @escaping () -> Void = {}) throws -> any TableRows {
        let runs = file.checkpoint.deltas.map(\.tables) + [file.checkpoint.base]
        let ahead = AheadRows.Source(checkpoints: checkpoints, file: file, tableDone: tableDone)
        return RetainedRows(
            try MergedRows(runs.map { AheadRows($0[...], ahead, aheadMax: CheckpointLoader.aheadMax) }),
            compacted: Revision(file.checkpoint.compacted), isComplete: true)
    }
}

/// The rows of a run, whose next tables are being read meanwhile.
private struct AheadRows: TableRows {
    struct Source {
        let checkpoints: CheckpointStore
        let file: ManifestFile
        let tableDone: () -> Void
    }

    private let source: Source
    private let aheadMax: Int
    private var rest: ArraySlice<Manifest.TableEntry>
    private var ahead: [(table: Manifest.TableEntry, bytes: BlockingStore.Pending<StoredBytes>)] = []
    private var rows: TableReader.Rows?

    init(_ tables: ArraySlice<Manifest.TableEntry>, _ source: Source, aheadMax: Int) {
        rest = tables
        self.source = source
        self.aheadMax = aheadMax
    }

    mutating func next() throws -> TableRow? {
        while true {
            if let row = try rows?.next() { return row }
            while ahead.count < aheadMax, let table = rest.popFirst() {
                ahead.append((table, try source.checkpoints.fetch(table, of: source.file)))
            }
            guard let next = ahead.first else { return nil }
            ahead.removeFirst()
            let stored = try next.bytes.wait()
            let name = stored.info.key.rawValue
            rows = try TableReader(name: name, bytes: stored.bytes, id: TableID(hex: next.table.id)).rows()
            source.tableDone()
        }
    }
}
