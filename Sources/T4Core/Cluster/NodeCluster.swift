import Synchronization
package import T4Protocols

/// The cluster that a node takes part in: nodes with one object store and one election.
package struct NodeCluster: Sendable {
    /// Who a node is to the others.
    package struct Member: Hashable, Sendable {
        /// The database; all members have the same.
        package var database: DatabaseID
        /// The configured name.
        package var nodeID: String
        /// Fresh with each data directory.
        package var instance: String
    }

    /// What a node says and hears through.
    package struct Connection: Sendable {
        /// Carries what it says.
        package var transport: any ReplicaTransport
        /// Where the others reach it.
        package var address: String
        /// Closes it; nothing is received any more when it returns. Blocks.
        package var close: @Sendable () -> Void

        /// Puts it together.
        package init(
            transport: any ReplicaTransport, address: String, close: @escaping @Sendable () -> Void
        ) {
            self.transport = transport
            self.address = address
            self.close = close
        }
    }

    /// Who leads. Stays open for as long as the node runs.
    package var election: any Election
    /// When a write counts as durable: `.replicated` or `.objectStore`.
    package var durability: ReplicaConfiguration.Durability
    /// See `ReplicaConfiguration`; the same on all nodes.
    package var electionTimeout = Duration.milliseconds(1_500)
    package var leadershipTTL = Duration.seconds(5)
    package var recordInterval = Duration.milliseconds(500)
    /// Writes are refused while fewer nodes are in sync.
    package var inSyncMin = 1
    /// This node follows and never leads, nothing waits for it, and it takes no writes. Not the same on all nodes.
    package var isReadOnly = false
    /// How often a follower looks whether a checkpoint covers segments of its log.
    package var pruneInterval = Duration.seconds(60)
    /// Of the time that a request waits for a leader, or for its answer: the rest is twice `electionTimeout`, as in etcd.
    package var requestWait = Duration.seconds(5)

    var requestTimeout: Duration { requestWait + electionTimeout * 2 }
    /// Connects a node to the others, once it knows who it is. What is received goes to the receiver. Blocks.
    package var connect: @Sendable (Member, ReplicaReceiver) throws -> Connection

    /// A cluster with the usual times.
    package init(
        election: any Election, durability: ReplicaConfiguration.Durability,
        connect: @escaping @Sendable (Member, ReplicaReceiver) throws -> Connection
    ) {
        self.election = election
        self.durability = durability
        self.connect = connect
    }
}

/// Takes what other nodes say. Nothing blocks; what comes before the node takes part is dropped.
package final class ReplicaReceiver: Sendable {
    private struct Target {
        let replicator: Replicator
        let desk: LeaderDesk
        let seed: PeerSeed
    }

    private let target = Mutex<Target?>(nil)

    package init() {}

    func begin(_ replicator: Replicator, _ desk: LeaderDesk, _ seed: PeerSeed) {
        target.withLock { $0 = Target(replicator: replicator, desk: desk, seed: seed) }
    }

    func end() { target.withLock { $0 = nil } }

    /// Another node says something.
    /// - Parameters:
    ///   - entries: Those that an append names.
    ///   - held: Let go of when they are on disk.
    package func receive(_ message: ReplicaMessage, entries: [LogEntry], held: (any Sendable)? = nil) {
        target.withLock { $0 }?.replicator.receive(message, entries: entries, held: held)
    }

    /// A stream to another node is lost.
    package func disconnected(_ instance: String) { target.withLock { $0 }?.replicator.disconnected(instance) }

    /// Another node asks. The answer comes once, from any thread, unless false is returned: then nothing is done about it.
    package func asked(_ request: [UInt8], answer: @escaping @Sendable ([UInt8]) -> Void) -> Bool {
        guard let target = target.withLock({ $0 }) else { return false }
        target.desk.asked(request, target.seed, answer)
        return true
    }
}
