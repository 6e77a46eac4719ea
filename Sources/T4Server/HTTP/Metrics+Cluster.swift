import T4Core

// The part in a cluster.
extension Metrics {
    func addCluster(to text: inout PrometheusText) {
        if let staleness = node.staleness {
            text.add(
                "t4_replica_staleness_seconds", .gauge,
                "Time since this read replica had everything that was in the object store.", staleness / .seconds(1))
        }
        // A node that is alone takes the lead when it starts.
        let elections = node.clusterStatistics?.elections ?? (won: 1, lost: 0)
        text.add(
            "t4_elections_total", .counter, "Elections in which this node was a candidate.",
            [(.init("outcome", "won"), elections.won), (.init("outcome", "lost"), elections.lost)])
        guard let statistics = node.clusterStatistics, let status = node.clusterStatus else { return }
        add(status, to: &text)
        let resyncs = statistics.resyncs
        text.add(
            "t4_follower_resyncs_total", .counter, "How often this node could not go on with what its leader sent.",
            [
                (.init("reason", "chain"), resyncs.chain), (.init("reason", "cut"), resyncs.cut),
                (.init("reason", "checkpoint"), resyncs.checkpoint),
            ])
        let forwards = ClusterStatistics.Forwarded.allCases.map { kind in
            (labels: PrometheusText.Labels("op", kind.name), reading: statistics.forwardTimes(of: kind).reading)
        }
        text.add(
            "t4_forwarded_writes_total", .counter, "Writes that another node, which leads, has answered.",
            forwards.map { ($0.labels, $0.reading.count) })
        text.add("t4_forward_duration_seconds", "How long that took.", forwards)
    }

    private func add(_ status: ClusterStatus, to text: inout PrometheusText) {
        text.add(
            "t4_in_sync_members", .gauge, "Nodes that commits wait for, as the election record says.",
            status.inSyncCount)
        text.add("t4_in_sync_members_min", .gauge, "Writes are refused below so many.", status.inSyncMin)
        text.add(
            "t4_election_record_age_seconds", .gauge, "Time since the election record was seen to change.",
            status.recordAge.seconds)
        text.add(
            "t4_leadership_remaining_seconds", .gauge, "For so long no other node can have taken over from this one.",
            status.leadershipLeft.map { [(.none, $0.seconds)] } ?? [])
        let followers = Metrics.named(status.followers)
        text.add(
            "t4_follower_lag_revisions", .gauge, "Entries of the log that a follower has not acknowledged.",
            followers.map { name, member in
                (.init("follower_id", name), status.last > member.match ? status.last - member.match : 0)
            })
        text.add(
            "t4_follower_in_sync", .gauge, "1 for a follower that commits wait for.",
            followers.map { name, member in (.init("follower_id", name), member.isInSync ? 1 : 0) })
    }

    /// Each with a name that no other one has: two nodes may be configured with the same one.
    static func named(_ members: [ClusterMember]) -> [(name: String, member: ClusterMember)] {
        let counts = Dictionary(members.map { ($0.name, 1) }, uniquingKeysWith: +)
        return members.map { member in
            (counts[member.name] == 1 && !member.name.isEmpty ? member.name : member.instance, member)
        }
    }
}

extension ClusterStatistics.Forwarded {
    /// The value of the label.
    fileprivate var name: String {
        switch self {
        case .put: "put"
        case .delete: "delete"
        case .txn: "txn"
        case .compact: "compact"
        case .grant: "lease_grant"
        case .revoke: "lease_revoke"
        case .auth: "auth"
        case .alarm: "alarm"
        }
    }
}
