public import T4Protocols

extension FilesystemStoreSettings {
    /// The keys for help and documents.
    public static let descriptions = [
        SettingDescription(
            "path", value: "DIRECTORY", defaultText: "store in the data directory",
            "The folder of the store, created when it is missing. One outside of the data directory, on another disk or a "
                + "file system that machines share, outlives it."),
        SettingDescription(
            "conditional_puts", value: "auto|on|off", defaultTOML: "\"auto\"",
            "Whether puts under a condition are offered. \"auto\": on file systems of this machine, not on those that "
                + "several machines share. \"on\" promises that locks and names of the file system are the same for all."
        ),
        SettingDescription(
            "threads", value: "NUMBER", defaultTOML: "8", "Calls that work on files at once: 1 ... 256."),
    ]
}
