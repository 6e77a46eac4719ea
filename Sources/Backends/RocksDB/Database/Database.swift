import CRocksDB
import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// An open database. Engines and snapshots keep it alive; the files are let go with the last of them.
///
/// Safe to share: RocksDB promises that a DB "is safe for concurrent access from multiple threads without any external
/// synchronization".
final class Database: @unchecked Sendable {
    /// Which rows a read sees.
    enum Tier {
        /// All that were applied.
        case all
        /// Those in files, which survive a crash.
        case files
    }

    let raw: OpaquePointer
    let directory: String
    private let options: DatabaseOptions
    /// Nil for an inspection.
    private let key: DatabaseRegistry.Key?
    private let readAll: OpaquePointer
    private let readFiles: OpaquePointer

    private init(
        raw: OpaquePointer, directory: String, options: DatabaseOptions, key: DatabaseRegistry.Key?
    ) {
        self.raw = raw
        self.directory = directory
        self.options = options
        self.key = key
        readAll = rocksdb_readoptions_create()
        readFiles = rocksdb_readoptions_create()
        let persistedTier: Int32 = 2
        rocksdb_readoptions_set_read_tier(readFiles, persistedTier)
    }

    /// Opens or makes the database of a directory.
    static func open(_ settings: RocksDBSettings, directory: String) throws(EngineError) -> Database {
        let key = try DatabaseRegistry.Key(directory)
        return try DatabaseRegistry.shared.open(key, directory: directory) { () throws(EngineError) in
            let options = DatabaseOptions(settings, isReadOnly: false)
            let opened = try takingMissingFilesAsDamage { () throws(EngineError) in
                try check("rocksdb_open", on: directory) { rocksdb_open(options.raw, directory, &$0) }
            }
            let database = Database(raw: opened!, directory: directory, options: options, key: key)
            try database.checkContent()
            // What a load that was cut off left behind.
            try TableLoad.removeFiles(directory)
            return database
        }
    }

    /// Opens the files of a directory without changing anything, or shares what this process has open there.
    ///
    /// A writer in another process may delete files between the moment its list is read and they are opened. Then all of
    /// it is tried again.
    static func inspect(_ settings: RocksDBSettings, directory: String) throws(EngineError) -> Database {
        if let writer = DatabaseRegistry.shared.writer(of: try DatabaseRegistry.Key(directory)) { return writer }
        let list = "\(directory)/CURRENT"
        guard access(list, F_OK) == 0 else { throw EngineError(system: errno, "open", file: list) }
        let attemptsMax = 10
        for _ in 1..<attemptsMax {
            do throws(EngineError) {
                return try inspectOnce(settings, directory: directory)
            } catch {
                guard error.code == .corrupted else { throw error }
            }
        }
        return try inspectOnce(settings, directory: directory)
    }

    private static func inspectOnce(
        _ settings: RocksDBSettings, directory: String
    ) throws(EngineError) -> Database {
        let options = DatabaseOptions(settings, isReadOnly: true)
        let opened = try takingMissingFilesAsDamage { () throws(EngineError) in
            try check("rocksdb_open_for_read_only", on: directory) {
                rocksdb_open_for_read_only(options.raw, directory, 0, &$0)
            }
        }
        let database = Database(raw: opened!, directory: directory, options: options, key: nil)
        try database.checkContent()
        return database
    }

    /// The directory is there, so a file that is missing is one that another file names.
    private static func takingMissingFilesAsDamage<R>(_ open: () throws(EngineError) -> R) throws(EngineError) -> R {
        do throws(EngineError) {
            return try open()
        } catch {
            guard error.code == .ioFailed, error.message.contains("No such file or directory") else { throw error }
            throw EngineError(.corrupted, error.message)
        }
    }

    deinit {
        rocksdb_close(raw)
        rocksdb_readoptions_destroy(readAll)
        rocksdb_readoptions_destroy(readFiles)
        if let key { DatabaseRegistry.shared.remove(key) }
    }

    /// The position in the newest head row; nil where there is none.
    func position(_ tier: Tier) throws(EngineError) -> LogPosition? {
        let key = Layout.headKey
        var position: LogPosition?
        let isFound = try read(key.span.bytes, tier == .all ? readAll : readFiles) { head in
            position = Layout.position(head)
        }
        if isFound, position == nil {
            throw EngineError(.corrupted, "\(directory) is not of a format that this version of the engine knows")
        }
        return position
    }

    /// Lends the value of a key to `visit`.
    /// - Returns: False when the key is absent.
    func read(
        _ key: RawSpan, _ options: OpaquePointer, visit: (UnsafeRawBufferPointer) -> Void
    ) throws(EngineError) -> Bool {
        let pinned = try lend(key) { (key, size) throws(EngineError) in
            try check("rocksdb_get_pinned", on: directory) { rocksdb_get_pinned(raw, options, key, size, &$0) }
        }
        guard let pinned else { return false }
        defer { rocksdb_pinnableslice_destroy(pinned) }
        var size = 0
        let value = rocksdb_pinnableslice_value(pinned, &size)
        visit(UnsafeRawBufferPointer(start: value, count: size))
        return true
    }

    /// Applies a batch and the position as one.
    func write(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        let changes = rocksdb_writebatch_create()
        defer { rocksdb_writebatch_destroy(changes) }
        try batch.forEach { (key, value) throws(EngineError) in
            try lend(key) { (key, keySize) throws(EngineError) in
                guard let value else { return rocksdb_writebatch_delete(changes, key, keySize) }
                try lend(value) { (value, valueSize) throws(EngineError) in
                    rocksdb_writebatch_put(changes, key, keySize, value, valueSize)
                }
            }
        }
        let (headKey, head) = (Layout.headKey, Layout.head(position))
        try lend(headKey.span.bytes) { (key, keySize) throws(EngineError) in
            try lend(head.span.bytes) { (value, valueSize) throws(EngineError) in
                rocksdb_writebatch_put(changes, key, keySize, value, valueSize)
            }
        }
        try check("rocksdb_write", on: directory) { rocksdb_write(raw, options.write, changes, &$0) }
    }

    /// Writes what is in memory to files, synced, and their names to the list of files, synced too.
    func flush() throws(EngineError) {
        try check("rocksdb_flush", on: directory) { rocksdb_flush(raw, options.flush, &$0) }
    }

    /// Merges all tables.
    func compact() throws(EngineError) {
        rocksdb_compact_range(raw, nil, 0, nil, 0)
        // It says nothing of errors; those that matter have made the database read-only.
        try flush()
    }

    /// Bytes of the tables of the newest version, and of the write buffers that are to become tables.
    func rowSizeBytes() throws(EngineError) -> Int {
        var sum = 0
        for property in ["rocksdb.live-sst-files-size", "rocksdb.cur-size-all-mem-tables"] {
            var size: UInt64 = 0
            guard rocksdb_property_int(raw, property, &size) == 0 else {
                throw EngineError(.ioFailed, "RocksDB does not tell \(property) of \(directory)")
            }
            sum += Int(size)
        }
        return sum
    }

    /// True when there never was a row or a position.
    func isEmpty() throws(EngineError) -> Bool {
        let iterator = rocksdb_create_iterator(raw, readAll)
        defer { rocksdb_iter_destroy(iterator) }
        rocksdb_iter_seek_to_first(iterator)
        try check("rocksdb_iter_seek_to_first", on: directory) { rocksdb_iter_get_error(iterator, &$0) }
        return rocksdb_iter_valid(iterator) == 0
    }

    /// Adds rows and position to an empty database as whole files, all of them or none.
    func load(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        let load = try TableLoad(directory: directory, options: options.raw)
        try load.fill(from: &rows, at: position)
        try load.ingest(into: raw)
    }

    /// Bytes that the files take on disk.
    func fileSizeBytes() throws(EngineError) -> Int {
        var total = 0
        try forEachFile(of: directory) { (path, _) throws(EngineError) in
            var status = stat()
            guard lstat(path, &status) == 0 else {
                // RocksDB deletes files at any time.
                if errno == ENOENT { return }
                throw EngineError(system: errno, "stat", file: path)
            }
            let blockSizeBytes = 512
            total += Int(status.st_blocks) * blockSizeBytes
        }
        return total
    }

    /// Refuses a database that has rows and no head row.
    private func checkContent() throws(EngineError) {
        if try position(.all) == nil, try !isEmpty() {
            throw EngineError(.corrupted, "\(directory) holds a RocksDB database that this engine did not make")
        }
    }
}
