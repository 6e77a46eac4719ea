/// The other nodes of a cluster, and who of them leads.
extension SettingDefinition {
    static let peer = [
        SettingDefinition(
            "peer.listen", flag: "peer-listen", \.peer.listen, placeholder: "HOST:PORT", isNeverEmpty: true,
            check: isAddress,
            "Makes the node one of a cluster: address on which the others connect. All nodes of a cluster have one object "
                + "store, with the same prefix, and a data directory each."),
        SettingDefinition(
            "peer.advertise", flag: "advertise-peer", \.peer.advertise, placeholder: "HOST:PORT", isNeverEmpty: true,
            check: isReachable,
            "Where the other nodes reach this one. Needed where peer.listen is every address of the machine; else "
                + "peer.listen."),
        SettingDefinition(
            "peer.in_sync_min", flag: "min-in-sync", \.peer.inSyncMin, check: within(1...9),
            "Writes are refused while fewer nodes are in sync. With 1 a node that is left alone goes on, and waits for the "
                + "object store instead of other nodes. The same on all nodes."),
        SettingDefinition(
            "peer.read_only", flag: "read-only", \.peer.isReadOnly,
            "The node follows the others, answers reads and watches, refuses writes, and never leads; no write waits for "
                + "it."),
        SettingDefinition(
            "peer_tls.cert", flag: "peer-tls-cert", \.peerTLS.certificate, placeholder: "FILE", isNeverEmpty: true,
            "Certificate of the node for the other nodes, with those above it behind it, in PEM format; for servers and "
                + "clients, with the name or address of peer.advertise. With it nodes speak TLS 1.3 with each other, and "
                + "only with nodes that have a certificate too. This file and the two below are read again for each new "
                + "connection."),
        SettingDefinition(
            "peer_tls.key", flag: "peer-tls-key", \.peerTLS.key, placeholder: "FILE", isNeverEmpty: true,
            "Private key of that certificate, in PEM format and not encrypted."),
        SettingDefinition(
            "peer_tls.ca", flag: "peer-tls-ca", \.peerTLS.authority, placeholder: "FILE", isNeverEmpty: true,
            "CAs in PEM format, of which one has signed the certificate of each node."),
    ]

    static let replica = [
        SettingDefinition(
            "replica.enabled", flag: "read-replica", \.replica.isEnabled,
            "The node serves a copy of a database that is written elsewhere: it follows the object store, which it only reads, "
                + "answers reads and watches from what it has, and refuses writes. Without an object store the copy is what "
                + "`t4 restore` and `t4 replay` made of the data directory. Start it without this to write to it."),
        SettingDefinition(
            "replica.interval", flag: "read-replica-interval", \.replica.interval,
            check: within(.milliseconds(10)...(.seconds(3600))),
            "How often a read replica looks into the object store for what was written."),
    ]

    static let election = [
        SettingDefinition(
            "election.type", flag: "election", \.election.type, placeholder: "NAME", check: isText,
            "What keeps the record of who leads a cluster. \"object-store\" keeps it in the store of [store], \"file-lock\" "
                + "in a folder that all nodes share, [election.file-lock]. It is asked only when the leader changes, or a "
                + "node falls behind."),
        SettingDefinition(
            "election.timeout", flag: "election-timeout", \.election.timeout,
            check: within(.milliseconds(100)...(.seconds(60))),
            "Another node that is in sync takes over when the leader was not heard for so long. The same on all nodes."),
        SettingDefinition(
            "election.leadership_ttl", flag: "leadership-ttl", \.election.leadershipTTL,
            check: within(.milliseconds(200)...(.seconds(600))),
            "A node that was not in sync may take over when everything that is committed is in the object store, and the "
                + "leader has not renewed its record for so long. The same on all nodes."),
    ]
}

@Sendable private func isAddress(_ text: String) -> Refusal? {
    do throws(Refusal) {
        _ = try ListenAddress(text: text)
        return nil
    } catch {
        return error
    }
}

/// Somewhere that another machine can dial.
@Sendable private func isReachable(_ text: String) -> Refusal? {
    if let refusal = isAddress(text) { return refusal }
    guard let address = ListenAddress(text) else { return nil }
    if address.port == 0 { return Refusal("others cannot dial port 0") }
    return address.isEveryAddress ? Refusal("\(quoted(text)) is no address that others can dial") : nil
}

extension ListenAddress {
    /// Every address of the machine: nothing that a client could dial.
    public var isEveryAddress: Bool { ["0.0.0.0", "::"].contains(host) }
}
