import T4Core
import T4Protocols

/// What the log, its copy in the object store and checkpoints are set up with.
extension SettingDefinition {
    static let store = [
        SettingDefinition(
            "store.type", flag: "store-type", \.store.type, placeholder: "NAME", check: isText,
            "The object store that keeps log and checkpoints. \"filesystem\" without a path lies in the data directory, "
                + "\"none\" is none at all. Its own settings stand in a table of its name, [store.s3] for instance."),
        SettingDefinition(
            "store.prefix", flag: "store-prefix", \.store.prefix, placeholder: "PREFIX",
            aliases: [
                Alias(
                    flag: "s3-prefix", isSwitch: false, summary: "As --store-prefix, for a store of type s3.",
                    translate: { text throws(Refusal) in text })
            ], adjust: withSlash, check: isPrefix,
            "What the names of all objects of the database begin with, \"t4/\" for instance. A slash is added where the "
                + "end has none."),
    ]

    static let wal = [
        SettingDefinition(
            "wal.durability", flag: "wal-durability", \.wal.durability,
            machineDefault: (
                "replicated in a cluster, object-store with a store outside the data directory, else local",
                quoted("local")
            ),
            aliases: [
                Alias(
                    flag: "wal-sync-upload", isSwitch: true,
                    summary: "true for --wal-durability object-store, false for --wal-durability local.",
                    translate: { text throws(Refusal) in
                        try Bool(text: text) ? "object-store" : "local"
                    })
            ],
            "When a write is acknowledged. \"local\": once it is synced to this machine's disk. \"object-store\": once it is "
                + "in the object store as well. \"replicated\", in a cluster: once it is synced to the disks of all nodes that "
                + "are in sync, and also in the object store where that is one node. A memory store never counts as one "
                + "outside."),
        SettingDefinition(
            "wal.segment_max_size", flag: "segment-max-size-mb", \.wal.segmentSizeMax, unitOfPlainNumber: "MiB",
            check: within(.mebibytes(1)...(.mebibytes(4096))), "Size at which a log segment is sealed."),
        SettingDefinition(
            "wal.segment_max_age", flag: "segment-max-age-sec", \.wal.segmentAgeMax, unitOfPlainNumber: "s",
            check: within(.milliseconds(100)...(.seconds(86_400))),
            "Age of its first entry at which a log segment is sealed by the next one. With \"local\" durability also the "
                + "age at which entries are uploaded."),
        SettingDefinition(
            "wal.uploads_in_flight", flag: "wal-uploads-in-flight", \.wal.uploadsInFlightMax, check: within(1...64),
            "Most uploads of the log that are under way at once."),
    ]

    static let checkpoint = [
        SettingDefinition(
            "checkpoint.interval", flag: "checkpoint-interval-min", \.checkpoint.interval, unitOfPlainNumber: "m",
            check: withinOrZero(.seconds(1)...(.seconds(30 * 86_400))),
            "How often a checkpoint is made, if anything was written; \"0s\" makes none because of the time."),
        SettingDefinition(
            "checkpoint.entries", flag: "checkpoint-entries", \.checkpoint.entries,
            check: withinOrZero(1...1_000_000_000),
            "A checkpoint is made after so many log entries as well; 0 makes none because of their number."),
        SettingDefinition(
            "checkpoint.keep", flag: "checkpoint-keep", \.checkpoint.keepCount, check: within(1...100_000),
            "How many of the newest checkpoints stay."),
        SettingDefinition(
            "checkpoint.retain", flag: "checkpoint-retain", \.checkpoint.retention,
            check: withinOrZero(.seconds(1)...(.seconds(3650 * 86_400))),
            "How far back the database can be restored to any moment: younger checkpoints and the log behind the oldest "
                + "of them stay, however many there are."),
        SettingDefinition(
            "checkpoint.collect", flag: "checkpoint-collect", \.checkpoint.collects,
            "Whether the node itself deletes what does not stay any more, after a checkpoint and at most once in five "
                + "minutes. With false somebody has to run `t4 gc` now and then."),
        SettingDefinition(
            "checkpoint.anew", flag: "checkpoint-anew", \.checkpoint.beginsAnew,
            "Writes the first checkpoint of a run anew, all of it, from the rows of the engine. For one start, when `t4 "
                + "verify` has found tables of the newest checkpoint damaged or missing."),
    ]

    static let branch = [
        SettingDefinition(
            "branch.prefix", flag: "branch-prefix", \.branch.prefix, placeholder: "PREFIX", adjust: withSlash,
            check: isPrefix,
            "Starts a new database as a branch: prefix of the database it comes from, in the same object store. Counts at "
                + "the first start only, with branch.checkpoint."),
        SettingDefinition(
            "branch.checkpoint", flag: "branch-checkpoint", \.branch.checkpoint, placeholder: "NAME",
            isNeverEmpty: true, check: isCheckpoint,
            "The checkpoint below branch.prefix with which the branch begins, as `t4 branch fork` prints it."),
    ]

    static let restore = [
        SettingDefinition(
            "restore.point_time", flag: "restore-point-time", \.restore.pointTime, isNeverEmpty: true,
            "Starts a new data directory with what the database below store.prefix held at that moment, written as RFC "
                + "3339 has it: 2024-06-01T12:00:00Z. Counts at the first start only.")
    ]
}

@Sendable private func withSlash(_ prefix: String) -> String {
    prefix.isEmpty || prefix.hasSuffix("/") ? prefix : prefix + "/"
}

@Sendable private func isPrefix(_ prefix: String) -> Refusal? {
    if prefix.isEmpty { return nil }
    if let refusal = isText(prefix) { return refusal }
    guard prefix.utf8.count <= 512 else { return Refusal("it has \(prefix.utf8.count) bytes", hint: "at most 512") }
    var parts = prefix.split(separator: "/", omittingEmptySubsequences: false)
    if parts.last?.isEmpty == true { parts.removeLast() }
    if parts.first?.isEmpty == true { return Refusal("\(quoted(prefix)) begins with a slash", hint: "leave it out") }
    return parts.contains { ["", ".", ".."].contains($0) }
        ? Refusal("\(quoted(prefix)) has a part that is empty, \".\" or \"..\"") : nil
}

@Sendable private func isCheckpoint(_ name: String) -> Refusal? {
    BranchPoint(prefix: "", name).map { StoreLayout.isCheckpoint(ObjectKey($0.checkpoint)) } ?? false
        ? nil
        : Refusal(
            Refusal.expected("the name of a checkpoint", foundText: name).reason,
            hint: "as in \(quoted("\(StoreLayout.checkpoint(term: 1, revision: Revision(50), index: nil))"))")
}
