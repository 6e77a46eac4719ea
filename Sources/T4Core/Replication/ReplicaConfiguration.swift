/// Who a replica is, and its times. All nodes of a cluster have the same times.
package struct ReplicaConfiguration: Hashable, Sendable {
    /// When a write counts as durable.
    package enum Durability: Hashable, Sendable {
        /// On the one disk there is. There are no peers.
        case local
        /// On every disk of the in-sync set and in the object store.
        case objectStore
        /// On every disk of the in-sync set; where that is one, in the object store too.
        case replicated
    }

    /// The configured name.
    package var nodeID: String
    /// Fresh with each data directory.
    package var instanceID: String
    /// Where other nodes reach this one; empty without peers.
    package var address: String
    /// See `Durability`.
    package var durability: Durability
    /// A member does not campaign for so long after it heard from its leader.
    package var electionTimeout = Duration.milliseconds(1_500)
    /// A node outside the in-sync set has to see the record unchanged for so long before it takes over.
    package var leadershipTTL = Duration.seconds(5)
    /// How much faster or slower another clock may run, in thousandths. Leadership time is shorter by that.
    package var clockDrift: Int64 = 100
    /// How often the record is read while no leader is heard.
    package var recordInterval = Duration.milliseconds(500)
    /// Fewer nodes in sync than this commit nothing. 1 or more.
    package var inSyncMin = 1
    /// Follows and never leads; nothing waits for it.
    package var isReadOnly = false
    /// Entries in one message.
    package var entriesPerMessage: UInt64 = 1024
    /// Entries sent and not acknowledged yet, for each follower.
    package var entriesInFlight: UInt64 = 8192
    /// Where nonces come from: to be random, and different in each process.
    package var seed: UInt64

    /// Fills in what has no default.
    package init(nodeID: String, instanceID: String, address: String, durability: Durability, seed: UInt64) {
        self.nodeID = nodeID
        self.instanceID = instanceID
        self.address = address
        self.durability = durability
        self.seed = seed
    }

    /// A tenth of `electionTimeout`.
    var heartbeatInterval: Duration { electionTimeout / 10 }
    /// A follower that is silent or does not get on for so long is dropped from the in-sync set: before it may campaign.
    var followerPatience: Duration { electionTimeout / 2 }
    /// The record is renewed so often while an outsider might take over.
    var renewalInterval: Duration { leadershipTTL / 3 }

    /// So much of another's time may be relied on, as the own clock counts it.
    func reliable(_ time: Duration) -> Duration { time * Int(1000 - clockDrift) / 1000 }
}
