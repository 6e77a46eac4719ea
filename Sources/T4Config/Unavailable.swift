/// Names that guides of T4 and etcd use and that this version does not have.
///
/// Each is refused rather than ignored: whoever sets a bucket counts on copies of the data in it.
enum Unavailable {
    /// Why a table of the TOML file cannot be used; nil when the name means nothing to us.
    static func reason(table: String) -> String? { tables[table] }

    /// Why a flag (without dashes) cannot be used; nil when the name means nothing to us.
    static func reason(flag: String) -> String? {
        flags.first { flag == $0.name || ($0.name.hasSuffix("-") && flag.hasPrefix($0.name)) }?.reason
    }

    private static let store = "a node uses no object store in this version"
    private static let cluster = "clusters are not in this version: a node works alone"
    private static let tls = "TLS is not in this version"
    private static let auth = "authentication is not in this version"
    private static let metrics = "the metrics endpoint is not in this version"

    private static let tables = [
        "store": store, "checkpoint": store, "branch": store, "election": cluster, "peer": cluster, "tls": tls,
        "auth": auth, "metrics": metrics,
    ]

    private static let flags: [(name: String, reason: String)] = [
        ("s3-", store), ("wal-sync-upload", store), ("checkpoint-", store), ("branch-", store),
        ("restore-point-time", store), ("peer-tls-", tls), ("client-tls-", tls), ("peer-", cluster),
        ("advertise-peer", cluster), ("leader-watch-interval-sec", cluster), ("follower-", cluster),
        ("read-consistency", "a node works alone in this version, so every read is linearizable"),
        ("auth-", auth), ("token-ttl", auth), ("metrics-addr", metrics), ("pprof", metrics),
        ("auto-compact", "automatic compaction is not in this version; clients ask for it with Compact"),
        ("auto-compact-", "automatic compaction is not in this version; clients ask for it with Compact"),
    ]
}
