import CLevelDB
import Logging
import Synchronization
import T4Protocols

/// An open database: the owner of LevelDB's, of the lock on the directory and of an inspection's copy.
///
/// Engines and snapshots keep it alive; the files are let go with the last of them.
///
/// Safe to share: LevelDB promises that "the same leveldb::DB object may be safely shared by multiple concurrent
/// threads".
final class Database: @unchecked Sendable {
    let handle: DatabaseHandle
    private let context: EngineContext
    /// Room that LevelDB's logs are taken to need.
    private let logSizeBytesMax: Int
    private var lock: DirectoryLock?
    private var copy: PrivateCopy?
    /// Why nothing is written any more.
    private let writeFailure = Mutex<EngineError?>(nil)

    private init(
        _ handle: DatabaseHandle, context: EngineContext, logSizeBytesMax: Int, lock: consuming DirectoryLock?,
        copy: consuming PrivateCopy?
    ) {
        self.handle = handle
        self.context = context
        self.logSizeBytesMax = logSizeBytesMax
        self.lock = lock
        self.copy = copy
    }

    deinit {
        handle.close()
        copy = nil
        lock = nil
    }

    /// Opens the database in the directory for writing, and makes it where there is none; or a copy, for an inspection.
    static func open(_ settings: LevelDBSettings, context: EngineContext) throws(EngineError) -> Database {
        let directory = context.directory
        // LevelDB's own lock is not enough: it knows an open directory by its path alone, and a second opening within one
        // process, though refused, drops the first one's lock on the file.
        let lock: DirectoryLock? = context.isReadOnly ? nil : try .exclusive(directory)
        if try Files.size(of: "\(directory)/\(Layout.damageName)") != nil {
            throw EngineError(
                .corrupted,
                "damage was found in \(directory) when it was open before; the engine must be rebuilt from checkpoint "
                    + "and log")
        }
        let database: Database
        if context.isReadOnly {
            let copy = try PrivateCopy.make(of: directory, logger: context.logger)
            let handle = try open(settings, directory: copy.directory, of: context)
            copy.endCompaction()
            database = Database(handle, context: context, logSizeBytesMax: 0, lock: nil, copy: copy)
        } else {
            let handle = try open(settings, directory: directory, of: context)
            database = Database(
                handle, context: context, logSizeBytesMax: 2 * settings.writeBufferSizeBytes, lock: lock, copy: nil)
        }
        try database.prepare()
        return database
    }

    private static func open(
        _ settings: LevelDBSettings, directory: String, of context: EngineContext
    ) throws(EngineError) -> DatabaseHandle {
        do throws(LevelDBFailure) {
            return try DatabaseHandle(settings, directory: directory, isCreated: !context.isReadOnly)
        } catch {
            throw EngineError(error, directory: context.directory)
        }
    }

    /// Reads a record of our own; nil when it is absent.
    func record(_ key: [UInt8]) throws(EngineError) -> [UInt8]? {
        var record: [UInt8]?
        do throws(LevelDBFailure) {
            _ = try key.span.bytes.withUnsafeBytes { (key) throws(LevelDBFailure) in
                try handle.read(key, handle.readOptions) { value in record = value.withUnsafeBytes { Array($0) } }
            }
        } catch {
            throw engineError(error)
        }
        return record
    }

    /// The position of the last batch.
    func position() throws(EngineError) -> LogPosition {
        guard let record = try record(Layout.positionKey) else { return .zero }
        guard record.count == 16 else { throw damage("the position has \(record.count) bytes") }
        let numbers = record.withUnsafeBytes { bytes in
            (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        }
        return LogPosition(term: UInt64(bigEndian: numbers.0), index: UInt64(bigEndian: numbers.1))
    }

    /// True when there is no row.
    func isEmpty() throws(EngineError) -> Bool {
        do throws(LevelDBFailure) {
            return try RowIterator(handle.raw, handle.readOptions).isEmpty()
        } catch {
            throw engineError(error)
        }
    }

    /// Makes a batch of changes, whole or not at all. After a failure nothing is written any more.
    func write(_ batch: borrowing Batch) throws(EngineError) {
        try writing { (handle) throws(LevelDBFailure) in try handle.write(batch) }
    }

    /// Makes everything written so far survive a crash of the system.
    func sync() throws(EngineError) {
        try writing { (handle) throws(LevelDBFailure) in try handle.sync() }
    }

    /// Merges all tables.
    func compact() throws(EngineError) {
        try writing { (handle) throws(LevelDBFailure) in try handle.compact() }
    }

    /// Bytes of the files in the directory. LevelDB's logs count at least as what they may grow to.
    func fileSizeBytes() throws(EngineError) -> Int {
        var logs = 0
        var others = 0
        for name in try Files.names(in: context.directory) {
            // A table or log may be removed any time.
            guard let size = try Files.size(of: "\(context.directory)/\(name)") else { continue }
            if name.hasSuffix(".log") { logs += size } else { others += size }
        }
        return max(logs, logSizeBytesMax) + others
    }

    /// Says what a caller can do about a failed read, and sees to it that damage is not forgotten.
    func engineError(_ failure: LevelDBFailure) -> EngineError {
        let error = EngineError(failure, directory: context.directory)
        if error.code == .corrupted { rememberDamage() }
        return error
    }

    /// Looks at what a new or an earlier engine holds.
    private func prepare() throws(EngineError) {
        let format = try record(Layout.formatKey)
        if format == nil, try isEmpty() {
            if context.isReadOnly { return }
            var batch = Batch()
            batch.putRecord(Layout.formatKey, Layout.format)
            return try write(batch)
        }
        guard format == Layout.format else { throw damage("its rows have a format that is not ours") }
        if try record(Layout.loadingKey) != nil { throw damage("a bulk load was cut off") }
    }

    /// Runs what changes the database.
    ///
    /// A write that failed, for want of space or otherwise, may have left a part of a record at the end of LevelDB's
    /// log. LevelDB would go on behind it, and a later start would stop reading there and lose what follows. Without
    /// more writes the part is at the end of the log, where it does no harm, and opening again shows every batch that
    /// was made. Some errors are such that LevelDB itself refuses all later writes.
    private func writing(_ body: (DatabaseHandle) throws(LevelDBFailure) -> Void) throws(EngineError) {
        if let failure = writeFailure.withLock({ $0 }) { throw failure }
        do throws(LevelDBFailure) {
            try body(handle)
        } catch {
            var failure = engineError(error)
            if failure.code == .noSpace { failure.code = .ioFailed }
            failure.message += "; nothing more is written before the engine is opened again"
            writeFailure.withLock { $0 = failure }
            throw failure
        }
    }

    private func damage(_ what: String) -> EngineError {
        engineError(LevelDBFailure(message: "Corruption: \(what)", operation: "reading our records"))
    }

    /// Leaves a mark that the next opening finds: LevelDB's own opening reads no table.
    private func rememberDamage() {
        if context.isReadOnly { return }
        let mark = "\(context.directory)/\(Layout.damageName)"
        do throws(EngineError) {
            try Files.make(mark, [])
        } catch {
            context.logger.error("the engine's files are damaged, but this cannot be marked: \(error)")
        }
    }
}
