import RPC
import T4Core
import T4Protocols

// The node itself, its writes and its watches.
extension Metrics {
    /// The Swift that this was built with, as far as a program can tell.
    private static var swiftVersion: String {
        #if compiler(>=6.4)
            "6.4"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2"
        #endif
    }

    func addNode(to text: inout PrometheusText) {
        let statistics = node.statistics
        text.add(
            "t4_build_info", .gauge, "1, with the version of t4 and that of Swift that it was built with.",
            [(.init([("version", parts.version), ("swift", Metrics.swiftVersion)]), 1)])
        text.add(
            "t4_engine_info", .gauge, "1, with the name of the local engine.", [(.init("engine", node.engineName), 1)])
        text.add("t4_failed", "1 when the node takes no more writes and must be restarted.", is: statistics.hasFailed)
        let status = node.clusterStatus
        let role = status.map { $0.hasTheLead ? "leader" : "follower" } ?? "single"
        text.add(
            "t4_role", .gauge, "1 for what the node is.",
            ["leader", "follower", "single"].map { (.init("role", $0), $0 == role && !statistics.hasFailed ? 1 : 0) })
        text.add("t4_current_revision", .gauge, "The newest revision that is visible here.", node.revision.rawValue)
        text.add(
            "t4_compact_revision", .gauge, "The revision below which history is gone; 0 without a compaction.",
            node.compactedRevision.rawValue)
        text.add("t4_leases", .gauge, "Leases.", node.leases.count)
        let logins = parts.logins.counts
        text.add(
            "t4_auth_attempts_total", .counter, "Passwords that were tried.",
            [
                (.init("result", "success"), logins.right), (.init("result", "fail"), logins.wrong),
                (.init("result", "locked"), logins.locked),
            ])
        text.add(
            "t4_slow_requests_total", .counter, "Requests that took as long as log.slow_request says, or longer.",
            parts.slowRequests?.count ?? 0)
        if let counters = server?.counters {
            text.add("t4_client_connections", .gauge, "Open connections of clients.", counters.connectionsOpen)
            text.add(
                "t4_client_connections_refused_total", .counter, "Connections that were refused at once.",
                counters.connectionsRefused)
        }
        addEngine(to: &text)
    }

    private func addEngine(to text: inout PrometheusText) {
        let reads = node.longReads.open
        text.add(
            "t4_long_reads", .gauge, "Views of the engine that are held for long: snapshots, hashes, checks.",
            reads.count)
        text.add("t4_oldest_reader_seconds", .gauge, "Age of the oldest of them; 0 without one.", reads.oldest)
        text.add(
            "t4_wal_pruned_segments_total", .counter, "Segments of the local log that were removed.",
            node.statistics.prunedSegments)
        do {
            let (size, used, alarms) = try node.reading { reader in
                (try node.sizeOnDisk(), try node.sizeInUse(), try reader.alarms())
            }
            text.add("t4_engine_size_bytes", .gauge, "Size of the engine's files.", size)
            text.add("t4_engine_in_use_bytes", .gauge, "As much of it as data takes.", used)
            text.add(
                "t4_alarms", .gauge, "Members that have raised an alarm.",
                [Alarm.Kind.noSpace, .corrupt].map { kind in
                    (.init("alarm", kind.name), alarms.count { $0.kind == kind })
                })
        } catch {
            // The engine has failed or is closed: what cannot be measured is left out.
            return
        }
    }

    func addWrites(to text: inout PrometheusText) {
        let writes = node.statistics.writes
        let readings = WriteOperation.allCases.map { operation in
            (labels: PrometheusText.Labels("op", operation.name), reading: writes.times(of: operation).reading)
        }
        text.add(
            "t4_writes_total", .counter, "Writes that this node has decided and committed.",
            readings.map { ($0.labels, $0.reading.count) })
        text.add("t4_write_duration_seconds", "From the proposal of a write to its visibility.", readings)
        if let server { addWriteErrors(of: server, to: &text) }
        text.add("t4_pending_writes", .gauge, "Writes that wait to be decided.", node.proposalsPending)
        text.add("t4_commit_group_size", "Writes that shared one sync of the log.", writes.groupSizes.reading)
        let pauses = ProposalQueue.Pauser.allCases.map { pauser in
            (labels: PrometheusText.Labels("reason", pauser.name), pause: node.pauses(by: pauser))
        }
        text.add(
            "t4_writes_paused", .gauge, "1 while writes are refused for a reason that may pass.",
            pauses.map { ($0.labels, $0.pause.isPaused ? 1 : 0) })
        text.add(
            "t4_write_stall_seconds_total", .counter, "For how long that was so since the start.",
            pauses.map { ($0.labels, Double($0.pause.nanoseconds) / 1_000_000_000) })
    }

    private func addWriteErrors(of server: RPCServer, to text: inout PrometheusText) {
        let methods = [
            "/etcdserverpb.KV/Put": "put", "/etcdserverpb.KV/DeleteRange": "delete", "/etcdserverpb.KV/Txn": "txn",
            "/etcdserverpb.KV/Compact": "compact", "/etcdserverpb.Lease/LeaseGrant": "lease_grant",
            "/etcdserverpb.Lease/LeaseRevoke": "lease_revoke",
        ]
        text.add(
            "t4_write_errors_total", .counter, "Requests to write that this node answered with an error.",
            server.callCounts.compactMap { count in
                methods[count.path].map { operation in
                    let errors = count.ended.reduce(0) { $1.key == .ok ? $0 : $0 + $1.value }
                    return (PrometheusText.Labels("op", operation), errors)
                }
            })
    }

    func addWatches(to text: inout PrometheusText) {
        let (counts, totals, statistics) = (node.watches.counts, node.watches.totals, node.watches.statistics)
        text.add("t4_watch_streams", .gauge, "Open watch streams.", counts.streams)
        text.add("t4_watch_active", .gauge, "Watches.", counts.watches)
        text.add("t4_watch_active_prefixes", .gauge, "Watches of more than one key.", totals.ranges)
        text.add("t4_watch_lagging", .gauge, "Watches that catch up from history.", counts.lagging)
        text.add(
            "t4_watch_events_total", .counter, "Changes that were queued for watches, once for each watch.",
            totals.changes)
        text.add(
            "t4_watch_scan_duration_seconds", "How long readings of history for watches took.", statistics.times.reading
        )
        text.add("t4_watch_scan_revision_span", "Revisions of a reading.", statistics.spans.reading)
        text.add(
            "t4_watch_scan_entries_total", .counter, "Changes that were read, and those of them that watches got.",
            [
                (.init("result", "scanned"), statistics.changesRead),
                (.init("result", "matched"), statistics.changesChosen),
            ])
    }
}

extension WriteOperation {
    /// The value of the label.
    fileprivate var name: String {
        switch self {
        case .create: "create"
        case .update: "update"
        case .delete: "delete"
        case .txn: "txn"
        case .compact: "compact"
        case .grant: "lease_grant"
        case .revoke: "lease_revoke"
        case .auth: "auth"
        case .alarm: "alarm"
        case .mirror: "mirror"
        }
    }
}

extension ProposalQueue.Pauser {
    /// The value of the label.
    fileprivate var name: String {
        switch self {
        case .disk: "disk_full"
        case .room: "disk_nearly_full"
        case .store: "store_outage"
        case .leader: "not_leader"
        case .members: "too_few_in_sync"
        }
    }
}
