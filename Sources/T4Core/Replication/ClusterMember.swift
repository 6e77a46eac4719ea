import T4Protocols

/// A node of a cluster, as its leader sees it.
package struct ClusterMember: Hashable, Sendable {
    /// Fresh with each data directory.
    package var instance: String
    /// The configured name.
    package var name: String
    /// Where other nodes reach it.
    package var address: String
    /// Where clients reach it.
    package var clientURLs: [String]
    /// The last entry that is on its disk, as far as the leader knows.
    package var match: UInt64
    /// Whether commits wait for it.
    package var isInSync: Bool
    /// It never leads, and commits never wait for it.
    package var isReadOnly = false
}

extension Replica {
    /// The instance that leads, unless it was not heard of late, or this node leads and could not serve for some time.
    func liveLeader(_ now: Duration) -> String? {
        guard let lead else { return hearsLeader(now) ? leader : nil }
        guard role == .leading else { return nil }
        return now < max(lead.since, lead.served) + configuration.electionTimeout ? me : nil
    }

    /// All nodes that this leader hears, itself first; nil where this node does not lead.
    package var members: [ClusterMember]? {
        guard role == .leading, let lead else { return nil }
        let inSync = Set(lead.record.inSyncSet)
        let own = ClusterMember(
            instance: me, name: configuration.nodeID, address: configuration.address,
            clientURLs: clientURLs, match: durable, isInSync: true)
        return [own]
            + lead.peers.keys.sorted().compactMap { instance in
                guard let peer = lead.peers[instance], !gone.contains(instance),
                    inSync.contains(instance) || peer.lostAt == nil
                else { return nil }
                return ClusterMember(
                    instance: instance, name: peer.nodeID, address: peer.address, clientURLs: peer.clientURLs,
                    match: peer.match, isInSync: inSync.contains(instance), isReadOnly: peer.isReadOnly)
            }
    }
}
