import Synchronization
public import T4Protocols

/// An engine on RocksDB: a log-structured merge tree of compressed files, for data beyond the memory of the machine.
///
/// Batches go to a write buffer in memory; full buffers are written to files in the background, and files are merged
/// there. RocksDB's own log is off, since t4's log holds every entry: a killed process loses the buffers.
///
/// After power loss the engine opens at an earlier batch, whole. A batch lies in one buffer. Buffers become files in the
/// order they were filled, a file is synced before its name is appended to the list of files, and that list is synced
/// before the buffer is dropped. So the files on the list always hold the batches up to one of them; its position, which
/// is a row of the batch, is the newest among them. This needs a single column family, as there is.
public final class RocksDBEngine: LocalEngine {
    /// Nil once closed.
    private let database: Mutex<Database?>
    private let directory: String
    private let isReadOnly: Bool

    /// Safe against power loss. Reads are not for an event loop: this engine is for data that does not fit into memory,
    /// so they wait for the disk as a rule, not as an exception.
    public let capabilities = EngineCapabilities(isPowerLossSafe: true, readsAreInline: false, isVolatile: false)

    /// Opens the database in the directory, and makes it where there is none.
    ///
    /// Read-only opening works beside a writer, and on a directory that cannot be written. In the writer's process it
    /// shows what the writer shows; elsewhere what is in files at the moment of opening, and nothing later.
    /// - Throws: `.inUse` when the directory is open for writing elsewhere; `.corrupted` when files are damaged, missing or
    ///   not ours; `.unsupported` when this build of RocksDB lacks the compression; `.ioFailed` when the directory or,
    ///   read-only, the database is missing.
    public init(_ settings: RocksDBSettings = RocksDBSettings(), context: EngineContext) throws(EngineError) {
        directory = context.directory
        isReadOnly = context.isReadOnly
        let opened =
            isReadOnly
            ? try Database.inspect(settings, directory: directory)
            : try Database.open(settings, directory: directory)
        database = Mutex(opened)
    }

    /// The position recorded by the last batch.
    public var appliedPosition: LogPosition {
        get throws(EngineError) { try current().position(.all) ?? .zero }
    }

    /// The position of the newest batch that is in a file.
    ///
    /// It is read from the files, so it follows the background writes. Without `sync` it stays behind `appliedPosition`
    /// by at most the write buffers: `write_buffer_count` times `write_buffer_size` bytes of changes.
    public var durablePosition: LogPosition {
        get throws(EngineError) { try current().position(.files) ?? .zero }
    }

    /// Takes a snapshot. Keeps overwritten rows from being dropped when files are merged.
    public func snapshot() throws(EngineError) -> any EngineSnapshot { RocksDBSnapshot(try current()) }

    /// Applies a batch to the write buffer.
    ///
    /// Waits while all write buffers are full or merging is far behind. After `.noSpace`, writes are refused until there
    /// is space again, which RocksDB looks for every few seconds.
    public func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        let database = try writable("apply")
        try batch.forEach { (key, value) throws(EngineError) in try EngineLimits.check(key, value) }
        try database.write(batch, at: position)
    }

    /// Writes the write buffers to files.
    public func sync() throws(EngineError) { try writable("sync").flush() }

    /// Writes the rows to files of the last level, which become part of the database in one step.
    ///
    /// A load that fails or is cut off leaves an empty engine.
    public func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        let database = try writable("bulkLoad")
        guard try database.isEmpty() else {
            throw EngineError(.invalidArgument, "bulk load into \(directory), which is not empty")
        }
        try database.load(&rows, at: position)
    }

    /// Bytes that the files take on disk. Rows in the write buffers are not in it.
    public func sizeOnDisk() throws(EngineError) -> Int { try current().fileSizeBytes() }

    /// Bytes of the tables that are in use, and of the write buffers.
    public func sizeInUse() throws(EngineError) -> Int { try current().rowSizeBytes() }

    /// Merges all tables, so that nothing is left of deleted and overwritten rows that no snapshot shows.
    public func reclaimSpace() throws(EngineError) { try writable("reclaimSpace").compact() }

    /// Writes the write buffers to files, then lets go of them or leaves that to the last open snapshot.
    /// - Throws: What kept the buffers from being written; the engine is closed all the same.
    public func close() throws(EngineError) {
        let closed = database.withLock { database in
            let last = database
            database = nil
            return last
        }
        // The last reference may go here, outside the lock: closing waits for background work.
        if !isReadOnly { try closed?.flush() }
    }

    private func current() throws(EngineError) -> Database {
        guard let database = database.withLock({ $0 }) else {
            throw EngineError(.closed, "the engine in \(directory) is closed")
        }
        return database
    }

    private func writable(_ operation: StaticString) throws(EngineError) -> Database {
        let database = try current()
        if isReadOnly { throw EngineError(.unsupported, "\(operation): \(directory) was opened read-only") }
        return database
    }
}
