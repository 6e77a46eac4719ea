/// Names that guides of T4 and etcd use and that this version does not have.
///
/// Each is refused rather than ignored, unless this version does what the value asks for anyhow, or more.
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
        case ("read-consistency", "linearizable"), ("follower-wait-mode", "all"): .same
        case ("read-consistency", "serializable"): .better(reads)
        case ("follower-wait-mode", "quorum"): .better(waits)
        case ("leader-watch-interval-sec", _) where Int(text) != nil: .better(leads)
        case ("follower-max-retries", _) where Int(text) != nil: .better(follows)
        default: nil
        }
    }

    private static let reads =
        "a read is linearizable unless the client asks for a serializable one, request by request"
    private static let waits =
        "every node that is in sync is waited for, and one that lags is in sync no more; nothing less is offered, because "
        + "a write that is acknowledged must survive its leader"
    private static let leads = "a leader knows at every moment until when it leads; it need not look"
    private static let follows = "a node takes over by time, not by a number of attempts: --election-timeout"
    private static let tls = "TLS for clients is set in the table [client_tls]"
    private static let compaction = "automatic compaction is set as with etcd: --auto-compaction-mode, -retention"
    private static let metrics = "a port of its own for metrics is not in this version; /metrics is on the client port"

    private static let tables = [
        "tls": tls, "metrics": metrics,
    ]

    private static let flags: [(name: String, reason: String)] = [
        ("leader-watch-interval-sec", "it is a number of seconds"), ("follower-max-retries", "it is a number"),
        ("follower-wait-mode", waits), ("read-consistency", reads),
        ("metrics-addr", metrics),
        ("pprof", "profiles over HTTP are not in this version"),
        ("auto-compact", compaction), ("auto-compact-", compaction),
    ]
}
