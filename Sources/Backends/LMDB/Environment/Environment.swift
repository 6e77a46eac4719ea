import CLMDB
import Logging
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// An open data file: the owner of LMDB's environment, of its read transactions and of the directory's lock.
///
/// Engines and snapshots keep it alive; the files are let go with the last of them.
///
/// Safe to share: LMDB promises that "the library is fully thread-aware and supports concurrent read/write access from
/// multiple processes and threads". Write transactions are begun and ended within one call, as LMDB wants them on one
/// thread, and made by one thread at a time, as `LocalEngine` wants it.
final class Environment: @unchecked Sendable {
    let file: String
    let tables: Tables
    let readers: ReaderPool
    let mapSizeBytesMax: Int
    private let handle: EnvironmentHandle
    private let key: EnvironmentRegistry.Key
    private var lock: DirectoryLock?
    /// Pages that the file is known to have, so that its size is asked for only when it grows. Of the writing thread.
    private var pageCountKnown = 0

    private init(
        _ settings: LMDBSettings, file: String, key: EnvironmentRegistry.Key, lock: consuming DirectoryLock?,
        handle: EnvironmentHandle, tables: Tables
    ) {
        self.file = file
        self.key = key
        self.lock = lock
        self.handle = handle
        self.tables = tables
        mapSizeBytesMax = settings.mapSizeBytesMax
        readers = ReaderPool(environment: handle.raw)
    }

    /// Opens the files for a registry that has made sure that this process does not have them open yet.
    static func open(
        _ settings: LMDBSettings, context: EngineContext, key: EnvironmentRegistry.Key
    ) throws(EngineError) -> Environment {
        let file = "\(context.directory)/data.mdb"
        // LMDB's own lock file lets several processes write in turn; an engine has one writer.
        let lock: DirectoryLock? =
            context.isReadOnly ? try .shared(context.directory) : try .exclusive(context.directory)
        // Without the lock an inspection knows that there is a writer elsewhere. It then takes a slot in LMDB's reader
        // table, so that the writer does not reuse its pages. With the lock nothing at all needs to be written.
        let hasWriterElsewhere = lock == nil
        let access = !context.isReadOnly ? 0 : hasWriterElsewhere ? MDB_RDONLY : MDB_RDONLY | MDB_NOLOCK
        do throws(LMDBFailure) {
            let handle = try EnvironmentHandle(settings, directory: context.directory, access: access)
            do throws(LMDBFailure) {
                // A writer that is alive may be about to lengthen the file.
                if !hasWriterElsewhere { try handle.checkFile() }
                let tables = try handle.openTables(isReadOnly: context.isReadOnly)
                return Environment(settings, file: file, key: key, lock: lock, handle: handle, tables: tables)
            } catch {
                handle.close()
                throw error
            }
        } catch {
            throw EngineError(error, file: file)
        }
    }

    deinit {
        EnvironmentRegistry.shared.remove(key) {
            // Read transactions end before LMDB's environment, and that before the lock.
            readers.drain()
            handle.close()
            lock = nil
        }
    }

    /// Reads in a transaction of its own.
    func read<R>(_ body: (RowReader) throws(LMDBFailure) -> R) throws(EngineError) -> R {
        do throws(LMDBFailure) {
            let reader = try takeReader()
            defer { readers.give(reader) }
            return try body(RowReader(transaction: reader.transaction, tables: tables))
        } catch {
            throw EngineError(error, file: file)
        }
    }

    /// Starts a read transaction, after a remap where another process has grown the file.
    func takeReader() throws(LMDBFailure) -> Reader {
        do throws(LMDBFailure) {
            return try readers.take()
        } catch {
            guard error.code == MDB_MAP_RESIZED, try remap(to: 0) else { throw error }
            return try readers.take()
        }
    }

    /// Changes rows in one transaction, whole or not at all. `body` runs again from the start after the map has grown.
    func write(_ body: (RowWriter) throws(LMDBFailure) -> Void) throws(EngineError) {
        while true {
            do throws(LMDBFailure) {
                try writeOnce(body)
                padFile()
                return
            } catch {
                switch error.code {
                case MDB_MAP_FULL:
                    guard try growMap() else { throw EngineError(error, file: file) }
                case EIO where handle.isDiskFull():
                    // A disk that fills up during a write makes it short, which LMDB reports as EIO. Nothing was
                    // committed, and the engine stays usable.
                    throw EngineError(LMDBFailure(code: ENOSPC, operation: error.operation), file: file)
                default:
                    throw EngineError(error, file: file)
                }
            }
        }
    }

    /// Writes the data file to disk.
    func sync() throws(EngineError) {
        let code = mdb_env_sync(handle.raw, 1)
        if code != MDB_SUCCESS { throw EngineError(LMDBFailure(code: code, operation: "mdb_env_sync"), file: file) }
    }

    /// Bytes of the data file.
    func fileSizeBytes() throws(EngineError) -> Int {
        do throws(LMDBFailure) { return try handle.fileSizeBytes() } catch { throw EngineError(error, file: file) }
    }

    /// Bytes of the file's pages but the free ones.
    func usedSizeBytes() throws(EngineError) -> Int {
        do throws(LMDBFailure) {
            while true {
                let reader = try takeReader()
                defer { readers.give(reader) }
                // Nil when there was a commit in between.
                if let size = try handle.usedSizeBytes(reader.transaction) { return size }
            }
        } catch {
            throw EngineError(error, file: file)
        }
    }

    private func writeOnce(_ body: (RowWriter) throws(LMDBFailure) -> Void) throws(LMDBFailure) {
        var transaction: OpaquePointer?
        try check("mdb_txn_begin", mdb_txn_begin(handle.raw, nil, 0, &transaction))
        do throws(LMDBFailure) {
            try body(RowWriter(transaction: transaction!, tables: tables))
        } catch {
            mdb_txn_abort(transaction)
            throw error
        }
        try check("mdb_txn_commit", mdb_txn_commit(transaction))
    }

    /// Doubles the map.
    /// - Returns: False at the largest size.
    private func growMap() throws(EngineError) -> Bool {
        let size = handle.information().me_mapsize
        guard size < mapSizeBytesMax else { return false }
        do throws(LMDBFailure) {
            if try remap(to: min(size * 2, mapSizeBytesMax)) { return true }
        } catch {
            throw EngineError(error, file: file)
        }
        throw EngineError(
            .noSpace, "\(file) cannot grow its map of \(size) bytes while snapshots are open; raise map_size_initial")
    }

    /// LMDB allows a new map size only "if no transactions are active in this process", and does not check.
    private func remap(to size: Int) throws(LMDBFailure) -> Bool {
        try readers.withoutReaders(waitSecondsMax: 5) { () throws(LMDBFailure) in
            try check("mdb_env_set_mapsize", mdb_env_set_mapsize(handle.raw, size))
        }
    }

    /// Makes the file as long as its last page number says.
    ///
    /// A page at the end that was taken and let go within one transaction is never written. Without this a file cut short
    /// by damage could not be told at open from a sound one, and reading past its end would kill the process.
    private func padFile() {
        let pages = handle.information().me_last_pgno + 1
        guard pages > pageCountKnown else { return }
        // A failure changes nothing about what was committed; the next commit tries again.
        if handle.extendFile(toPages: pages) { pageCountKnown = pages }
    }
}
