import Synchronization
import T4Protocols

/// What a node of a cluster counts of its part in it. From any thread.
package final class ClusterStatistics: Sendable {
    /// A kind of write that is handed to the leader.
    package enum Forwarded: Int, CaseIterable, Sendable {
        case put, delete, txn, compact, grant, revoke, auth, alarm

        /// Nil for what only the node itself proposes.
        init?(_ kind: ProposalKind) {
            switch kind {
            case .put: self = .put
            case .deleteRange: self = .delete
            case .txn: self = .txn
            case .compact: self = .compact
            case .grant: self = .grant
            case .revoke: self = .revoke
            case .auth: self = .auth
            case .raise, .disarm: self = .alarm
            case .mirror: return nil
            }
        }
    }

    private let wins = Atomic<Int>(0)
    private let losses = Atomic<Int>(0)
    private let chainReads = Atomic<Int>(0)
    private let cuts = Atomic<Int>(0)
    private let restores = Atomic<Int>(0)
    private let forwards = Forwarded.allCases.map { _ in
        Histogram(seconds: [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10], .many)
    }

    package init() {}

    // MARK: Counting

    /// What a step of the replica means.
    func stepped(from before: Replica.Role, to role: Replica.Role) {
        guard before == .candidate, role != .candidate else { return }
        switch role {
        case .follower, .stopped: losses.add(1, ordering: .relaxed)
        case .candidate, .replaying, .fencing, .leading: wins.add(1, ordering: .relaxed)
        }
    }

    func carriesOut(_ action: ReplicaAction) {
        switch action {
        case .adopt: chainReads.add(1, ordering: .relaxed)
        case .truncate: cuts.add(1, ordering: .relaxed)
        case .restore: restores.add(1, ordering: .relaxed)
        default: break
        }
    }

    /// The leader has answered, with success or not.
    func forwarded(_ kind: ProposalKind, _ stopwatch: Stopwatch) {
        if let kind = Forwarded(kind) { forwards[kind.rawValue].observe(stopwatch.nanoseconds()) }
    }

    // MARK: Reading

    /// Elections of this node that it won, and that others won or that came to nothing.
    package var elections: (won: Int, lost: Int) {
        (wins.load(ordering: .relaxed), losses.load(ordering: .relaxed))
    }

    /// How often this follower could not go on with what its leader sent.
    package struct Resyncs: Hashable, Sendable {
        /// It took the log from the object store.
        package var chain: Int
        /// The end of its log, which was not committed, was cut off.
        package var cut: Int
        /// It had to be filled from a checkpoint.
        package var checkpoint: Int
    }

    package var resyncs: Resyncs {
        Resyncs(
            chain: chainReads.load(ordering: .relaxed), cut: cuts.load(ordering: .relaxed),
            checkpoint: restores.load(ordering: .relaxed))
    }

    /// From the moment in which a write was handed to another node that leads to its answer; also counts them.
    package func forwardTimes(of kind: Forwarded) -> Histogram { forwards[kind.rawValue] }
}

/// How a node of a cluster stands at a moment, for whoever watches it from outside.
package struct ClusterStatus: Sendable {
    /// Whether it has won its term; it may not serve yet.
    package var hasTheLead: Bool
    /// Nodes whose acknowledgement commits wait for, as the election record said last; 0 before it was seen.
    package var inSyncCount: Int
    /// Writes are refused below this.
    package var inSyncMin: Int
    /// For so long nobody else can have taken over; nil where this node may not serve, or relies on nobody.
    package var leadershipLeft: Duration?
    /// How long ago the election record was seen to change last.
    package var recordAge: Duration
    /// The last entry of the log here, and that of each other node that this leader hears.
    package var last: UInt64
    package var followers: [ClusterMember]
}

extension Replica {
    /// How this node stands.
    func status(_ now: Duration) -> ClusterStatus {
        ClusterStatus(
            hasTheLead: lead != nil, inSyncCount: record?.inSyncSet.count ?? 0, inSyncMin: configuration.inSyncMin,
            leadershipLeft: servesUntil.flatMap { $0 < Replica.never ? max($0 - now, .zero) : nil },
            recordAge: now - recordSince, last: log.last.index, followers: members.map { Array($0.dropFirst()) } ?? [])
    }
}
