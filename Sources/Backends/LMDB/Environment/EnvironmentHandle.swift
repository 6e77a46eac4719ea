import CLMDB
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// LMDB's environment, closed explicitly so that its end can be ordered among other things.
struct EnvironmentHandle {
    let raw: OpaquePointer

    /// Opens or makes the data file.
    ///
    /// `MDB_NOSYNC`: the log makes writes durable; the page cache keeps what a killed process wrote, and after a crash
    /// of the system the engine is rebuilt. `MDB_NOTLS`: snapshots move between threads. Readahead stays on, it makes
    /// the first scans after a start fast and t4's data fits in memory; `MDB_WRITEMAP` stays off, as a stray pointer
    /// could then damage the file; `MDB_NOMEMINIT` stays off, as heap content would then end up in the file.
    init(_ settings: LMDBSettings, directory: String, access: Int32) throws(LMDBFailure) {
        var environment: OpaquePointer?
        try check("mdb_env_create", mdb_env_create(&environment))
        raw = environment!
        do throws(LMDBFailure) {
            let page = sysconf(Int32(_SC_PAGESIZE))
            let mapSize = min(settings.mapSizeBytesInitial ?? .max, settings.mapSizeBytesMax) / page * page
            try check("mdb_env_set_mapsize", mdb_env_set_mapsize(raw, mapSize))
            try check("mdb_env_set_maxreaders", mdb_env_set_maxreaders(raw, UInt32(settings.maxReaders)))
            try check("mdb_env_set_maxdbs", mdb_env_set_maxdbs(raw, 2))
            try check("mdb_env_open", mdb_env_open(raw, directory, UInt32(MDB_NOSYNC | MDB_NOTLS | access), 0o600))
            guard mdb_env_get_maxkeysize(raw) >= Layout.headSizeBytes else {
                throw LMDBFailure(code: MDB_INCOMPATIBLE, operation: "mdb_env_get_maxkeysize")
            }
            if access & MDB_NOLOCK == 0 {
                var freed: Int32 = 0
                try check("mdb_reader_check", mdb_reader_check(raw, &freed))
            }
        } catch {
            mdb_env_close(raw)
            throw error
        }
    }

    /// Ends everything; no transaction may be left.
    func close() { mdb_env_close(raw) }

    /// Finds the databases in the file, and makes them where there are none.
    func openTables(isReadOnly: Bool) throws(LMDBFailure) -> Tables {
        var tables = Tables()
        var transaction: OpaquePointer?
        let access = UInt32(isReadOnly ? MDB_RDONLY : 0)
        try check("mdb_txn_begin", mdb_txn_begin(raw, nil, access, &transaction))
        do throws(LMDBFailure) {
            try check("mdb_dbi_open", mdb_dbi_open(transaction, nil, 0, &tables.main))
            var statistics = MDB_stat()
            try check("mdb_stat", mdb_stat(transaction, tables.main, &statistics))
            let isNew = statistics.ms_entries == 0 && !isReadOnly
            for (name, table) in [(Layout.rowsName, \Tables.rows), (Layout.tailsName, \Tables.tails)] {
                let flags = UInt32(isNew ? MDB_CREATE : 0)
                var code = mdb_dbi_open(transaction, name, flags, &tables[keyPath: table])
                // A file of LMDB that is not ours.
                if code == MDB_NOTFOUND { code = MDB_INVALID }
                try check("mdb_dbi_open", code)
            }
            if isNew {
                let writer = RowWriter(transaction: transaction!, tables: tables)
                try writer.putRecord(Layout.formatKey, Layout.format)
            }
            try checkContent(RowReader(transaction: transaction!, tables: tables))
        } catch {
            mdb_txn_abort(transaction)
            throw error
        }
        try check("mdb_txn_commit", mdb_txn_commit(transaction))
        return tables
    }

    private func checkContent(_ rows: RowReader) throws(LMDBFailure) {
        let format = try rows.record(Layout.formatKey)
        guard let format, Layout.format.withUnsafeBytes({ compareBytes($0, format) }) == 0 else {
            throw LMDBFailure(code: MDB_VERSION_MISMATCH, operation: "reading the format of the rows")
        }
        if try rows.record(Layout.loadingKey) != nil {
            throw LMDBFailure(code: MDB_CORRUPTED, operation: "a bulk load was cut off: reading its mark")
        }
    }

    /// Refuses a file that is shorter than its own last page number: reading past its end would kill the process.
    func checkFile() throws(LMDBFailure) {
        if try fileSizeBytes() < (information().me_last_pgno + 1) * pageSizeBytes() {
            throw LMDBFailure(code: MDB_CORRUPTED, operation: "the file is cut off: comparing size and page count")
        }
    }

    /// Map size and last page number of the newest commit.
    func information() -> MDB_envinfo {
        var information = MDB_envinfo()
        let code = mdb_env_info(raw, &information)
        precondition(code == MDB_SUCCESS, "mdb_env_info takes any open environment")
        return information
    }

    /// Bytes of the data file.
    func fileSizeBytes() throws(LMDBFailure) -> Int {
        var status = stat()
        guard fstat(descriptor(), &status) == 0 else { throw LMDBFailure(code: errno, operation: "fstat") }
        return Int(status.st_size)
    }

    /// Bytes of all pages up to the last one, without those that are in the list of free pages.
    ///
    /// LMDB keeps the list in its database 0: a row for each transaction that freed pages, whose value begins with their
    /// number.
    /// - Returns: Nil when the transaction does not read the newest commit, whose last page is the only one known.
    func usedSizeBytes(_ transaction: OpaquePointer) throws(LMDBFailure) -> Int? {
        let newest = information()
        guard newest.me_last_txnid == mdb_txn_id(transaction) else { return nil }
        let lastPage = newest.me_last_pgno
        var cursor: OpaquePointer?
        try check("mdb_cursor_open", mdb_cursor_open(transaction, 0, &cursor))
        defer { mdb_cursor_close(cursor) }
        var free = 0
        var (key, value) = (MDB_val(), MDB_val())
        var code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)
        while code == MDB_SUCCESS {
            if value.mv_size >= MemoryLayout<Int>.size, let pages = value.mv_data {
                free += pages.loadUnaligned(as: Int.self)
            }
            code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
        }
        guard code == MDB_NOTFOUND else { throw LMDBFailure(code: code, operation: "mdb_cursor_get") }
        return max(1, lastPage + 1 - free) * pageSizeBytes()
    }

    /// True when less than 1 MiB is left to us on the file system: the rest of a write that did not fit.
    func isDiskFull() -> Bool {
        var status = statvfs()
        return fstatvfs(descriptor(), &status) == 0 && UInt64(status.f_bavail) * UInt64(status.f_frsize) < 1 << 20
    }

    /// Lengthens the data file by a hole where it is shorter.
    /// - Returns: False when the system refused.
    func extendFile(toPages pages: Int) -> Bool {
        let size = pages * pageSizeBytes()
        var status = stat()
        guard fstat(descriptor(), &status) == 0 else { return false }
        return status.st_size >= size || ftruncate(descriptor(), size) == 0
    }

    private func pageSizeBytes() -> Int {
        var statistics = MDB_stat()
        let code = mdb_env_stat(raw, &statistics)
        precondition(code == MDB_SUCCESS, "mdb_env_stat takes any open environment")
        return Int(statistics.ms_psize)
    }

    private func descriptor() -> Int32 {
        var descriptor: Int32 = -1
        let code = mdb_env_get_fd(raw, &descriptor)
        precondition(code == MDB_SUCCESS, "mdb_env_get_fd takes any open environment")
        return descriptor
    }
}
