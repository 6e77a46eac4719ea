/// Names that guides of T4 and etcd use and that this version does not have.
///
/// Each is refused rather than ignored: whoever names certificates of peers counts on encryption.
enum Unavailable {
    /// Why a table of the TOML file cannot be used; nil when the name means nothing to us.
    static func reason(table: String) -> String? { tables[table] }

    /// Why a flag (without dashes) cannot be used; nil when the name means nothing to us.
    static func reason(flag: String) -> String? {
        flags.first { flag == $0.name || ($0.name.hasSuffix("-") && flag.hasPrefix($0.name)) }?.reason
    }

    /// What a value of a flag that cannot be used comes to all the same.
    enum Effect {
        /// What this version does anyhow.
        case same
        /// This version does more; the text says what.
        case better(String)
    }

    /// What becomes of a flag's value that asks for nothing that is missing; nil when it does.
    static func effect(flag: String, _ text: String) -> Effect? {
        switch (flag, text) {
        case ("read-consistency", "linearizable"): .same
        case ("read-consistency", "serializable"): .better(reads)
        default: nil
        }
    }

    private static let cluster = "clusters are not in this version: a node works alone"
    private static let reads = "a node works alone in this version, so every read is linearizable"
    private static let tls = "TLS for clients is set in the table [client_tls]"
    private static let compaction = "automatic compaction is set as with etcd: --auto-compaction-mode, -retention"
    private static let metrics = "a port of its own for metrics is not in this version; /metrics is on the client port"

    private static let tables = [
        "election": cluster, "peer": cluster, "tls": tls, "metrics": metrics,
    ]

    private static let flags: [(name: String, reason: String)] = [
        ("peer-", cluster), ("advertise-peer", cluster),
        ("leader-watch-interval-sec", cluster), ("follower-", cluster), ("read-consistency", reads),
        ("metrics-addr", metrics),
        ("pprof", "profiles over HTTP are not in this version"),
        ("auto-compact", compaction), ("auto-compact-", compaction),
    ]
}
