public import T4Protocols

extension LevelDBSettings {
    /// The keys for help and documents.
    public static let descriptions = [
        SettingDescription(
            "cache_size", value: "SIZE", defaultTOML: "\"128MiB\"",
            "Memory for uncompressed blocks that were read: \"1MiB\" ... \"1TiB\"."),
        SettingDescription(
            "write_buffer_size", value: "SIZE", defaultTOML: "\"32MiB\"",
            "Memory for changes before they become a table, taken twice while one is written: \"64KiB\" ... \"1GiB\". The "
                + "log of LevelDB grows to the same size."),
        SettingDescription(
            "block_size", value: "SIZE", defaultTOML: "\"4KiB\"",
            "Pieces that tables are read in, before compression: \"1KiB\" ... \"4MiB\"."),
        SettingDescription(
            "max_open_files", value: "NUMBER", defaultTOML: "1000", "Tables kept open: 74 ... 50000."),
        SettingDescription(
            "bloom_bits", value: "NUMBER", defaultTOML: "10",
            "Bits for each key of the filters that spare reads of absent keys, 0 for none: 0 ... 32."),
        SettingDescription(
            "compression", value: "NAME", defaultTOML: "\"snappy\"",
            "How tables are written: none or snappy. Both can be read at any time."),
    ]
}
