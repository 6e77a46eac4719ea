import RPC
import Synchronization
import T4Core
import T4Protocols

/// `/metrics`: what the node knows of the numbers that etcd tells, under etcd's names, and those of its own. What it does not
/// know is not there. docs/metrics.md has all of them.
final class Metrics: Sendable {
    /// Where the numbers come from.
    struct Parts: Sendable {
        var node: Node
        var health: HealthChecks
        var logins: Logins
        var slowRequests: SlowRequests?
        /// Of the program.
        var version: String
    }

    /// Not kept: the server has what has this.
    private struct Reference {
        weak var server: RPCServer?
    }

    private let reference = Mutex(Reference())
    let parts: Parts

    var node: Node { parts.node }
    var server: RPCServer? { reference.withLock { $0.server } }

    init(_ parts: Parts) { self.parts = parts }

    /// To be called once the server listens.
    func watch(_ server: RPCServer) { reference.withLock { $0.server = server } }

    func answer(_ exchange: HTTPExchange) {
        exchange.respond(
            GatewayAnswers.head(200, ("Content-Type", PrometheusText.contentType)), body: Array(text().utf8))
    }

    func text() -> String {
        var text = PrometheusText()
        addServer(to: &text)
        addDatabase(to: &text)
        addSizes(to: &text)
        if let server { addCalls(of: server, to: &text) }
        addProcess(to: &text)
        addNode(to: &text)
        addWrites(to: &text)
        addWatches(to: &text)
        addStore(to: &text)
        addCluster(to: &text)
        return text.text
    }

    private func addServer(to text: inout PrometheusText) {
        let statistics = node.statistics
        let hasLeader = !statistics.hasFailed && node.leaderID != 0
        let leads = !statistics.hasFailed && node.leaderID == node.memberID
        text.add(
            "etcd_server_has_leader", .gauge, "Whether or not a leader exists. 1 is existence, 0 is not.",
            hasLeader ? 1 : 0)
        text.add(
            "etcd_server_is_leader", .gauge, "Whether or not this member is a leader. 1 if is, 0 otherwise.",
            leads ? 1 : 0)
        text.add(
            "etcd_server_is_learner", .gauge, "Whether or not this member is a learner. 1 if is, 0 otherwise.",
            node.isReadOnly ? 1 : 0)
        text.add(
            "etcd_server_leader_changes_seen_total", .counter, "Leader changes since the start.", node.leaderChanges)
        text.add(
            "etcd_server_proposals_committed_total", .gauge, "Index of the newest committed log entry.",
            Int(clamping: statistics.committedIndex))
        text.add(
            "etcd_server_proposals_applied_total", .gauge, "Index of the newest applied log entry.",
            Int(clamping: node.published.appliedIndex))
        text.add(
            "etcd_server_proposals_pending", .gauge, "Proposals that wait to be committed.", node.proposalsPending)
        let id = String(node.memberID, radix: 16)
        text.add("etcd_server_id", .gauge, "Member ID in hexadecimal.", [(.init("server_id", id), 1)])
        let version = MaintenanceService.etcdVersion
        text.add(
            "etcd_server_version", .gauge, "The version of etcd that this server answers as.",
            [(.init("server_version", version), 1)])
        let release = SnapshotFile.storageVersion.split(separator: ".").prefix(2).joined(separator: ".")
        text.add(
            "etcd_cluster_version", .gauge, "The version of etcd that the cluster answers as.",
            [(.init("cluster_version", release), 1)])
        let counts = parts.health.counts
        text.add("etcd_server_health_success", .counter, "Successful health checks.", counts.successes)
        text.add("etcd_server_health_failures", .counter, "Failed health checks.", counts.failures)
        text.add(
            "etcd_disk_wal_fsync_duration_seconds", "How long syncs of the log took.", statistics.logSyncs.reading)
    }

    private func addDatabase(to text: inout PrometheusText) {
        let statistics = node.statistics
        text.add("etcd_mvcc_put_total", .counter, "Keys written.", statistics.puts)
        text.add("etcd_mvcc_delete_total", .counter, "Keys deleted.", statistics.deletions)
        text.add(
            "etcd_debugging_mvcc_current_revision", .gauge, "The newest revision.", Int(node.revision.rawValue))
        let compacted = node.compactedRevision
        text.add(
            "etcd_debugging_mvcc_compact_revision", .gauge, "The revision of the last compaction; -1 without one.",
            compacted == .none ? -1 : Int(compacted.rawValue))
        let watches = node.watches.counts
        text.add("etcd_debugging_mvcc_watch_stream_total", .gauge, "Open watch streams.", watches.streams)
        text.add("etcd_debugging_mvcc_watcher_total", .gauge, "Watches.", watches.watches)
        text.add(
            "etcd_debugging_mvcc_slow_watcher_total", .gauge, "Watches that catch up from history.", watches.lagging)
        text.add("etcd_debugging_lease_granted_total", .counter, "Leases granted.", statistics.grants)
        text.add(
            "etcd_debugging_lease_revoked_total", .counter, "Leases revoked or expired.", statistics.revocations)
    }

    private func addSizes(to text: inout PrometheusText) {
        if let quota = node.quotaBytes {
            text.add("etcd_server_quota_backend_bytes", .gauge, "Size at which the database counts as full.", quota)
        }
        do {
            let (size, used, keys) = try node.reading { reader in
                (try node.sizeOnDisk(), try node.sizeInUse(), reader.meta.keys)
            }
            text.add("etcd_mvcc_db_total_size_in_bytes", .gauge, "Size of the engine's files.", size)
            text.add(
                "etcd_mvcc_db_total_size_in_use_in_bytes", .gauge, "As much of it as data takes.", used)
            text.add("etcd_debugging_mvcc_keys_total", .gauge, "Keys.", Int(clamping: keys))
        } catch {
            // The engine has failed or is closed: what cannot be measured is left out.
            return
        }
    }
}
