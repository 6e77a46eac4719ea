import CRocksDB

/// RocksDB's options, made from the settings. They serve the database and the tables of a bulk load.
///
/// Safe to share: nothing changes them after `init`.
final class DatabaseOptions: @unchecked Sendable {
    let raw: OpaquePointer
    /// Writes without RocksDB's own log: t4's is the durable one.
    let write: OpaquePointer
    /// Flushes that return when the files are on disk.
    let flush: OpaquePointer

    init(_ settings: RocksDBSettings, isReadOnly: Bool) {
        raw = rocksdb_options_create()
        write = rocksdb_writeoptions_create()
        rocksdb_writeoptions_disable_WAL(write, 1)
        flush = rocksdb_flushoptions_create()
        rocksdb_flushoptions_set_wait(flush, 1)
        rocksdb_options_set_create_if_missing(raw, isReadOnly ? 0 : 1)
        setFiles(settings, isReadOnly: isReadOnly)
        setTables(settings)
        setInformationLog()
    }

    deinit {
        rocksdb_flushoptions_destroy(flush)
        rocksdb_writeoptions_destroy(write)
        rocksdb_options_destroy(raw)
    }

    private func setFiles(_ settings: RocksDBSettings, isReadOnly: Bool) {
        rocksdb_options_set_write_buffer_size(raw, settings.writeBufferSizeBytes)
        rocksdb_options_set_max_write_buffer_number(raw, Int32(settings.writeBufferCount))
        rocksdb_options_set_max_background_jobs(raw, Int32(settings.backgroundJobsMax))
        // An inspection opens all files at once and keeps them: the writer beside it may delete them at any time.
        rocksdb_options_set_max_open_files(raw, isReadOnly ? -1 : Int32(settings.openFilesMax))
        // Levels sized from the last one up: at most about a tenth of the disk goes to overwritten rows.
        rocksdb_options_set_level_compaction_dynamic_level_bytes(raw, 1)
        // Files go to the disk while they are written. In one go at their end they would hold up the log's fsyncs.
        rocksdb_options_set_bytes_per_sync(raw, 1 << 20)
        // Deletes files on a background thread instead of the one that lets go of the last iterator on them.
        rocksdb_options_set_avoid_unnecessary_blocking_io(raw, 1)
        // Opens without reading each file's statistics.
        rocksdb_options_set_skip_stats_update_on_db_open(raw, 1)
    }

    private func setTables(_ settings: RocksDBSettings) {
        rocksdb_options_set_compression(raw, settings.compression.number)
        let tables = rocksdb_block_based_options_create()
        defer { rocksdb_block_based_options_destroy(tables) }
        let cache = rocksdb_cache_create_lru(settings.blockCacheSizeBytes)
        rocksdb_block_based_options_set_block_cache(tables, cache)
        rocksdb_cache_destroy(cache)
        // Indexes and filters count against the cache too, so that its size bounds the memory of all reads.
        rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables, 1)
        rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(tables, 1)
        rocksdb_block_based_options_set_format_version(tables, 5)
        if settings.bloomBits > 0 {
            let filter = rocksdb_filterpolicy_create_bloom_full(Double(settings.bloomBits))
            rocksdb_block_based_options_set_filter_policy(tables, filter)
        }
        rocksdb_options_set_block_based_table_factory(raw, tables)
    }

    /// Keeps RocksDB's file `LOG` small: warnings and errors, at most two files of 1 MiB, no statistics.
    private func setInformationLog() {
        let warnings: Int32 = 2
        rocksdb_options_set_info_log_level(raw, warnings)
        rocksdb_options_set_keep_log_file_num(raw, 2)
        rocksdb_options_set_max_log_file_size(raw, 1 << 20)
        rocksdb_options_set_stats_dump_period_sec(raw, 0)
        rocksdb_options_set_stats_persist_period_sec(raw, 0)
    }
}

extension RocksDBSettings.Compression {
    /// What RocksDB calls it.
    fileprivate var number: Int32 {
        switch self {
        case .none: Int32(rocksdb_no_compression)
        case .snappy: Int32(rocksdb_snappy_compression)
        case .lz4: Int32(rocksdb_lz4_compression)
        case .zstd: Int32(rocksdb_zstd_compression)
        }
    }
}
