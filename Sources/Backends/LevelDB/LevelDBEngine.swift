import Synchronization
public import T4Protocols

/// An engine on LevelDB: a log-structured merge tree, whose tables are compressed.
///
/// A batch goes to LevelDB's log and to a buffer in memory, without a sync. Full buffers become tables, and one thread,
/// shared by all engines of the process, merges those. Reads never wait for that thread, but batches do: with 8 tables
/// that are not merged each takes a millisecond more, with 12, or when a second buffer is full before the first one is
/// written, it waits until there is room, which can be seconds on a slow disk. An open snapshot makes merging keep what it
/// shows; hold one only while reading.
///
/// What a killed process applied is in the page cache and is kept. After a crash of the operating system the engine must
/// be discarded. LevelDB starts a new log with each buffer and does not sync the one before: the newer can reach the disk
/// without the older, and LevelDB then opens with a hole in the middle of the batches, under the newest position.
public final class LevelDBEngine: LocalEngine {
    /// Bytes of rows of a bulk load that go into one batch.
    private static let loadBatchSizeBytes = 1 << 20

    /// Nil once closed.
    private let database: Mutex<Database?>
    private let directory: String
    private let isReadOnly: Bool

    /// Not safe against power loss; reads may be called from an event loop, as they come from the buffers, the block
    /// cache or mapped tables.
    public let capabilities = EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: false)

    /// Opens the database in the directory, and makes it where there is none.
    ///
    /// Read-only opening shows the state at that moment, also of a directory that is being written in this or another
    /// process, and touches nothing in it: LevelDB opens a copy of its small files and logs (up to twice the write
    /// buffer) in a directory under `TMPDIR`, with links to the tables. Each table takes a file descriptor.
    /// - Throws: `.inUse` when the directory is open for writing elsewhere; `.corrupted` when something is damaged or not
    ///   ours, which LevelDB finds at open for its log and manifest only, or when damage was found since the last open;
    ///   `.noSpace`; `.ioFailed` when the directory or, read-only, the database is missing.
    public init(_ settings: LevelDBSettings = LevelDBSettings(), context: EngineContext) throws(EngineError) {
        directory = context.directory
        isReadOnly = context.isReadOnly
        database = Mutex(try Database.open(settings, context: context))
    }

    /// The position recorded by the last batch.
    public var appliedPosition: LogPosition {
        get throws(EngineError) { try current().position() }
    }

    /// The same as `appliedPosition`: before a batch is visible, LevelDB has written it to its log, and the page cache
    /// outlives the process. A log is kept until its rows are in tables on disk.
    public var durablePosition: LogPosition {
        get throws(EngineError) { try appliedPosition }
    }

    /// Marks a point in LevelDB's sequence of changes. Fails only with `.closed`.
    public func snapshot() throws(EngineError) -> any EngineSnapshot { LevelDBSnapshot(try current()) }

    /// Applies a batch with one write of LevelDB.
    ///
    /// After a failure, a full disk too, the log may end in a part of the batch. So this never throws `.noSpace`:
    /// `.ioFailed` it is, for every later batch as well, while snapshots go on. Opening again, with space, shows every
    /// batch before the failed one.
    public func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        let database = try writable("apply")
        var changes = Batch()
        try batch.forEach { (key, value) throws(EngineError) in
            try EngineLimits.check(key, value)
            if let value { changes.put(key, value) } else { changes.delete(key) }
        }
        changes.putPosition(position)
        try database.write(changes)
    }

    /// Writes the buffers to tables on disk, for a clean shutdown: closed after this, the engine survives power loss.
    public func sync() throws(EngineError) { try writable("sync").sync() }

    /// Writes the rows in batches of about 1 MiB, so that any number fits, and syncs them.
    ///
    /// A load that is cut off leaves a mark, and the next opening throws `.corrupted`.
    public func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        let database = try writable("bulkLoad")
        guard try database.position() == .zero, try database.record(Layout.loadingKey) == nil, try database.isEmpty()
        else { throw EngineError(.invalidArgument, "bulk load into \(directory), which is not empty") }
        var batch = Batch()
        batch.putRecord(Layout.loadingKey, [1])
        try database.write(batch)
        var last: [UInt8] = []
        while true {
            batch = Batch()
            try LevelDBEngine.fill(&batch, from: &rows, above: &last)
            if batch.byteCount == 0 { break }
            try database.write(batch)
        }
        // The mark goes with the position, in the log behind all rows: what a killed process leaves is either complete
        // or marked. In one batch with rows, either record would make tables overlap that LevelDB then has to merge.
        batch.deleteRecord(Layout.loadingKey)
        batch.putPosition(position)
        try database.write(batch)
        try database.sync()
    }

    /// Bytes of the files. LevelDB's logs count at least as two write buffers, which they may grow to at any time.
    ///
    /// Read-only the bytes that the directory holds now, without those of the copy.
    public func sizeOnDisk() throws(EngineError) -> Int { try current().fileSizeBytes() }

    /// The same: tables with deleted rows go when LevelDB merges them.
    public func sizeInUse() throws(EngineError) -> Int { try sizeOnDisk() }

    /// Merges all tables, so that nothing is left of deleted and overwritten rows that no snapshot shows.
    public func reclaimSpace() throws(EngineError) { try writable("reclaimSpace").compact() }

    /// Waits for LevelDB's thread to leave off and lets go of the files, or leaves that to the last open snapshot.
    public func close() throws(EngineError) {
        let closed = database.withLock { database in
            let last = database
            database = nil
            return last
        }
        // Released here, outside the lock: it may be the last reference, which closes the files.
        _ = closed
    }

    /// Adds the next rows; none at the end.
    /// - Throws: `.invalidArgument` for a row that is not above the one before, or too large.
    private static func fill(
        _ batch: inout Batch, from rows: inout some SortedRows, above last: inout [UInt8]
    ) throws(EngineError) {
        var failure: EngineError?
        while batch.byteCount < loadBatchSizeBytes {
            let isRow = try rows.next { key, value in
                do throws(EngineError) {
                    try EngineLimits.check(key, value)
                    let isAbove = key.withUnsafeBytes { key in last.withUnsafeBytes { compareBytes($0, key) } } < 0
                    guard isAbove else {
                        throw EngineError(
                            .invalidArgument,
                            "bulk load: a key of \(key.byteCount) bytes is not above the one before")
                    }
                    last.removeAll(keepingCapacity: true)
                    key.withUnsafeBytes { last.append(contentsOf: $0) }
                    batch.put(key, value)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            if !isRow { return }
        }
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
