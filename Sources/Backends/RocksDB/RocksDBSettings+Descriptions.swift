public import T4Protocols

extension RocksDBSettings {
    /// The keys for help and documents.
    public static let descriptions = [
        SettingDescription(
            "block_cache_size", value: "SIZE", defaultTOML: "\"256MiB\"",
            "Memory for blocks of rows that were read: \"1MiB\" ... \"1TiB\"."),
        SettingDescription(
            "write_buffer_size", value: "SIZE", defaultTOML: "\"64MiB\"",
            "Rows gathered in memory before they are written as one file: \"1MiB\" ... \"4GiB\". What is in memory is read "
                + "from the log again after a crash."),
        SettingDescription(
            "write_buffer_count", value: "NUMBER", defaultTOML: "3",
            "Write buffers in memory at once, the one that fills and those being written: 2 ... 16."),
        SettingDescription(
            "max_background_jobs", value: "NUMBER", defaultTOML: "2",
            "Threads that write buffers to disk and merge files: 2 ... 64."),
        SettingDescription(
            "compression", value: "NAME", defaultTOML: "\"lz4\"",
            "How blocks are packed: none, snappy, lz4 or zstd. Files written before a change stay readable."),
        SettingDescription(
            "bloom_bits", value: "NUMBER", defaultTOML: "10",
            "Bits for each key of the filters that spare reads of absent keys, 0 for none: 0 ... 20."),
        SettingDescription(
            "max_open_files", value: "NUMBER", defaultTOML: "512", "Files kept open: 64 ... 1000000."),
    ]
}
