import Synchronization
public import T4Protocols

/// An engine on LMDB: a B+ tree in one memory-mapped file.
///
/// Reads come straight from the page cache and never wait for a batch. A batch is one write transaction. The file is not
/// synced with each batch: what a killed process applied is in the page cache and is kept, what a crashed operating
/// system leaves behind must be discarded.
public final class LMDBEngine: LocalEngine {
    /// Nil once closed.
    private let environment: Mutex<Environment?>
    private let directory: String
    private let isReadOnly: Bool

    /// Not safe against power loss; reads may be called from an event loop.
    public let capabilities = EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: false)

    /// Opens the data file in the directory, and makes it where there is none.
    ///
    /// Read-only opening works beside a writer, in this or another process, and on a directory that cannot be written.
    /// - Throws: `.inUse` when the directory is open for writing, or for an inspection, elsewhere; `.corrupted`, with the
    ///   file's name, when it is damaged or not ours; `.ioFailed` when the directory or, read-only, the file is missing.
    public init(_ settings: LMDBSettings = LMDBSettings(), context: EngineContext) throws(EngineError) {
        directory = context.directory
        isReadOnly = context.isReadOnly
        environment = Mutex(try EnvironmentRegistry.shared.open(settings, context: context))
    }

    /// The position recorded by the last batch.
    public var appliedPosition: LogPosition {
        get throws(EngineError) {
            try current().read { (rows) throws(LMDBFailure) in try rows.position() }
        }
    }

    /// The same as `appliedPosition`: what is committed is in the page cache, which outlives the process.
    public var durablePosition: LogPosition {
        get throws(EngineError) { try appliedPosition }
    }

    /// Starts a read transaction, mostly by renewing an old one.
    ///
    /// Waits only while the map grows, which it does not with the default settings.
    public func snapshot() throws(EngineError) -> any EngineSnapshot { try LMDBSnapshot(current()) }

    /// Applies a batch in one write transaction.
    ///
    /// `.noSpace` also tells of a batch that does not fit one transaction (about 512 MiB).
    public func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        let environment = try writable("apply")
        try batch.forEach { (key, value) throws(EngineError) in try EngineLimits.check(key, value) }
        try environment.write { (rows) throws(LMDBFailure) in
            try batch.forEach { (key, value) throws(LMDBFailure) in
                try key.withUnsafeBytes { (key) throws(LMDBFailure) in
                    guard let value else { return try rows.delete(key) }
                    try value.withUnsafeBytes { (value) throws(LMDBFailure) in
                        try rows.put(key, value, isAppended: false)
                    }
                }
            }
            try rows.putPosition(position)
        }
    }

    /// Writes the data file to disk, for a clean shutdown.
    public func sync() throws(EngineError) { try writable("sync").sync() }

    /// Appends the rows in transactions of a few MiB, so that any number fits.
    ///
    /// A load that is cut off leaves a mark, and the next opening throws `.corrupted`.
    public func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        let environment = try writable("bulkLoad")
        let isEmpty = try environment.read { (rows) throws(LMDBFailure) in
            guard try rows.isEmpty(), try rows.position() == .zero else { return false }
            return try rows.record(Layout.loadingKey) == nil
        }
        guard isEmpty else { throw EngineError(.invalidArgument, "bulk load into \(directory), which is not empty") }
        try environment.write { (rows) throws(LMDBFailure) in try rows.putRecord(Layout.loadingKey, [1]) }
        var chunk = RowChunk()
        while try chunk.fill(from: &rows) {
            try environment.write { (rows) throws(LMDBFailure) in
                try chunk.forEach { (key, value) throws(LMDBFailure) in try rows.put(key, value, isAppended: true) }
            }
        }
        // The rows reach the disk before the transaction that says that they are complete.
        try environment.sync()
        try environment.write { (rows) throws(LMDBFailure) in
            try rows.deleteRecord(Layout.loadingKey)
            try rows.putPosition(position)
        }
        try environment.sync()
    }

    /// Bytes of the data file, which never shrinks; free pages in it are used again.
    public func sizeOnDisk() throws(EngineError) -> Int { try current().fileSizeBytes() }

    /// Bytes of the pages that hold something. Walks LMDB's list of free pages.
    public func sizeInUse() throws(EngineError) -> Int { try current().usedSizeBytes() }

    /// There is nothing to reclaim: pages are free as soon as nothing needs them.
    public func reclaimSpace() throws(EngineError) { _ = try current() }

    /// Lets go of the files, or leaves that to the last open snapshot.
    public func close() throws(EngineError) {
        let closed = environment.withLock { environment in
            let last = environment
            environment = nil
            return last
        }
        // Released here, outside the lock: it may be the last reference, which closes the files.
        _ = closed
    }

    private func current() throws(EngineError) -> Environment {
        guard let environment = environment.withLock({ $0 }) else {
            throw EngineError(.closed, "the engine in \(directory) is closed")
        }
        return environment
    }

    private func writable(_ operation: StaticString) throws(EngineError) -> Environment {
        let environment = try current()
        if isReadOnly { throw EngineError(.unsupported, "\(operation): \(directory) was opened read-only") }
        return environment
    }
}
