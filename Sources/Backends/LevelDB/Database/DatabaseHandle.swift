import CLevelDB
import T4Protocols

/// LevelDB's database and what it uses, closed explicitly so that its end can be ordered among other things.
struct DatabaseHandle {
    let raw: OpaquePointer
    /// Of reads that see the newest state.
    let readOptions: OpaquePointer
    private let writeOptions: OpaquePointer
    private let syncOptions: OpaquePointer
    private let cache: OpaquePointer
    private let filter: OpaquePointer?

    /// Opens or makes a database.
    ///
    /// Paranoid checks: a log or manifest with damage in it is refused, where LevelDB would otherwise leave out what it
    /// cannot read, which makes a hole in the middle of the batches. A last record that is cut off is no damage.
    init(_ settings: LevelDBSettings, directory: String, isCreated: Bool) throws(LevelDBFailure) {
        let options = leveldb_options_create()
        defer { leveldb_options_destroy(options) }
        cache = leveldb_cache_create_lru(settings.cacheSizeBytes)
        filter = settings.bloomBits > 0 ? leveldb_filterpolicy_create_bloom(Int32(settings.bloomBits)) : nil
        leveldb_options_set_create_if_missing(options, isCreated ? 1 : 0)
        leveldb_options_set_paranoid_checks(options, 1)
        leveldb_options_set_cache(options, cache)
        if let filter { leveldb_options_set_filter_policy(options, filter) }
        leveldb_options_set_write_buffer_size(options, settings.writeBufferSizeBytes)
        leveldb_options_set_block_size(options, settings.blockSizeBytes)
        leveldb_options_set_max_open_files(options, Int32(settings.openFilesMax))
        // Large enough that a few GiB are some hundred files, small enough that rewriting a few is soon done.
        leveldb_options_set_max_file_size(options, 8 << 20)
        let compression = settings.compression == .none ? leveldb_no_compression : leveldb_snappy_compression
        leveldb_options_set_compression(options, Int32(compression))
        do throws(LevelDBFailure) {
            raw = try check("opening") { leveldb_open(options, directory, &$0) }!
        } catch {
            leveldb_cache_destroy(cache)
            if let filter { leveldb_filterpolicy_destroy(filter) }
            throw error
        }
        readOptions = DatabaseHandle.makeReadOptions()
        writeOptions = leveldb_writeoptions_create()
        syncOptions = leveldb_writeoptions_create()
        leveldb_writeoptions_set_sync(syncOptions, 1)
    }

    /// Options of reads, which check what they read. The caller destroys them.
    static func makeReadOptions() -> OpaquePointer {
        let options = leveldb_readoptions_create()!
        leveldb_readoptions_set_verify_checksums(options, 1)
        return options
    }

    /// Ends everything; no snapshot or iterator may be left.
    func close() {
        leveldb_close(raw)
        leveldb_readoptions_destroy(readOptions)
        leveldb_writeoptions_destroy(writeOptions)
        leveldb_writeoptions_destroy(syncOptions)
        leveldb_cache_destroy(cache)
        if let filter { leveldb_filterpolicy_destroy(filter) }
    }

    /// Makes a batch of changes. With `isSynced` LevelDB's newest log is on disk afterwards.
    func write(_ batch: borrowing Batch, isSynced: Bool = false) throws(LevelDBFailure) {
        let options = isSynced ? syncOptions : writeOptions
        try check("writing") { leveldb_write(raw, options, batch.raw, &$0) }
    }

    /// Makes everything written so far survive a crash of the system.
    ///
    /// A synced write alone would not do: LevelDB syncs only its newest log, and the one before, whose buffer is still
    /// being made a table, was never synced. Compacting a range in which there is nothing has the buffers written to
    /// tables, and waits for it; tables, manifest and the directory are synced by that. Only the write that follows
    /// tells of an error.
    func sync() throws(LevelDBFailure) {
        Layout.end.withUnsafeBytes { end in
            leveldb_compact_range(raw, end.characters, end.count, end.characters, end.count)
        }
        try write(Batch(), isSynced: true)
    }

    /// Writes the buffers to tables and merges these, over all keys. Only the write that follows tells of an error.
    func compact() throws(LevelDBFailure) {
        leveldb_compact_range(raw, nil, 0, nil, 0)
        try write(Batch(), isSynced: true)
    }

    /// Lends the value of a key, in LevelDB's form, to `visit`.
    /// - Returns: False when the key is absent.
    @inline(__always)
    func read(
        _ key: UnsafeRawBufferPointer, _ options: OpaquePointer, visit: (RawSpan) -> Void
    ) throws(LevelDBFailure) -> Bool {
        var count = 0
        let value = try check("reading") { leveldb_get(raw, options, key.characters, key.count, &count, &$0) }
        guard let value else { return false }
        defer { leveldb_free(value) }
        visit(UnsafeRawBufferPointer(start: value, count: count).bytes)
        return true
    }
}
