public import T4Protocols

extension LMDBSettings {
    /// The keys for help and documents.
    public static let descriptions = [
        SettingDescription(
            "map_size_max", value: "SIZE", defaultTOML: "\"64GiB\"",
            "Most that the data file can grow to: \"1MiB\" ... \"64TiB\". Takes address space, neither memory nor disk."
        ),
        SettingDescription(
            "map_size_initial", value: "SIZE", defaultText: "map_size_max",
            "Address space taken at the start. Set it lower only where address space is scarce: growing waits for open "
                + "snapshots and holds new ones up."),
        SettingDescription(
            "max_readers", value: "NUMBER", defaultTOML: "1024",
            "Snapshots that may be open at once, over all processes: 1 ... 100000. Each takes 64 bytes of the lock file."
        ),
        SettingDescription(
            "write_buffer_size", value: "SIZE", defaultTOML: "\"4MiB\"",
            "Memory for changes before they are written to the file in one go: 0 ... \"1GiB\". Up to three times as much is in "
                + "use while the file is slower than the writers. 0 writes each group of changes at once."),
    ]
}
