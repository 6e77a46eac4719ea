import T4Core
import T4Protocols

extension Loader {
    /// What goes with a cluster, and what only with one.
    mutating func checkCluster() {
        guard let listen = configuration.peer.address else { return refuseClusterSettings() }
        if configuration.peer.advertise.isEmpty {
            if listen.isEveryAddress {
                report(
                    at: configuration.origins["peer.listen"] ?? .none, "peer.listen",
                    "\(quoted(configuration.peer.listen)) is no address that others can dial",
                    "say with --advertise-peer HOST:PORT where they reach this node")
            }
        }
        if configuration.storePlace != .outside {
            report(
                at: configuration.origins["peer.listen"] ?? .none, "peer.listen",
                "the nodes of a cluster need one object store outside of their data directories",
                "name it with --s3-bucket, or with --store-filesystem-path for a folder that all of them share")
        }
        if configuration.wal.durability == .local {
            conflict("wal.durability", with: "peer.listen", wanted: "cannot be had with")
        }
        if ["memory", "standalone"].contains(configuration.election.type) {
            report(
                at: configuration.origins["election.type"] ?? .none, "election.type",
                "\(quoted(configuration.election.type)) knows of no other process, so that each node would lead",
                "choose \"object-store\" or \"file-lock\"")
        }
        if configuration.restore.pointTime != nil {
            conflict("restore.point_time", with: "peer.listen", wanted: "cannot be had with")
        }
        if !configuration.branch.checkpoint.isEmpty {
            conflict("branch.checkpoint", with: "peer.listen", wanted: "cannot be had with")
        }
        if configuration.election.leadershipTTL < configuration.election.timeout * 2 {
            conflict("election.leadership_ttl", with: "election.timeout", wanted: "must be at least twice")
        }
        let tls = configuration.peerTLS
        let files = [("cert", tls.certificate), ("key", tls.key), ("ca", tls.authority)].map { ("peer_tls.\($0)", $1) }
        if let given = files.first(where: { !$0.1.isEmpty }), let missing = files.first(where: { $0.1.isEmpty }) {
            report(
                at: configuration.origins[given.0] ?? .none, given.0, "is of no use without \(missing.0)",
                "nodes show each other certificates: all three files are needed")
        }
    }

    /// What a read replica cannot be besides.
    mutating func checkReplica() {
        guard configuration.replica.isEnabled else {
            if configuration.replica.interval != Configuration.Replica().interval {
                conflict("replica.interval", with: "replica.enabled", wanted: "is of no use without")
            }
            return
        }
        if configuration.peer.address != nil {
            conflict("replica.enabled", with: "peer.listen", wanted: "cannot be had with")
        }
        if !configuration.branch.checkpoint.isEmpty {
            conflict("branch.checkpoint", with: "replica.enabled", wanted: "cannot be had with")
        }
        if configuration.restore.pointTime != nil {
            conflict("restore.point_time", with: "replica.enabled", wanted: "cannot be had with")
        }
    }

    /// A node alone has nobody to talk to.
    private mutating func refuseClusterSettings() {
        if configuration.wal.durability == .replicated {
            report(
                at: configuration.origins["wal.durability"] ?? .none, "wal.durability",
                "\"replicated\" needs other nodes", "make the node one of a cluster with --peer-listen")
        }
        let isGiven = [
            "peer.listen": false, "peer.in_sync_min": configuration.peer.inSyncMin > 1,
            "peer.read_only": configuration.peer.isReadOnly,
        ]
        for setting in SettingDefinition.peer where isGiven[setting.key] ?? true {
            guard let origin = configuration.origins[setting.key] else { continue }
            report(
                at: origin, setting.key, "is of no use to a node that is alone",
                "make it one of a cluster with --peer-listen")
        }
    }
}
