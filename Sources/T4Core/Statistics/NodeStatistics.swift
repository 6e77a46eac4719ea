import Synchronization

/// What a node has counted since its start, for whoever watches it from outside.
package final class NodeStatistics: Sendable {
    /// How long syncs of the log took. Written where groups are committed, by one thread at a time.
    package let logSyncs = Histogram(seconds: NodeStatistics.syncBounds)
    /// What was decided here.
    package let writes = WriteStatistics()
    private let committedIndexValue: Atomic<UInt64>
    private let putCount = Atomic<Int>(0)
    private let deletionCount = Atomic<Int>(0)
    private let grantCount = Atomic<Int>(0)
    private let revocationCount = Atomic<Int>(0)
    private let prunedCount = Atomic<Int>(0)
    private let failure = Atomic<Bool>(false)

    /// Those of etcd, which double from a millisecond, and some for disks that are faster.
    private static let syncBounds = [0.00005, 0.0001, 0.00025, 0.0005] + (0..<14).map { Double(1 << $0) / 1000 }

    /// - Parameter index: Of the newest entry that is applied at the start.
    init(index: UInt64) { committedIndexValue = Atomic(index) }

    /// Index of the newest log entry that is committed; what it says may not be visible yet.
    package var committedIndex: UInt64 { committedIndexValue.load(ordering: .relaxed) }
    /// Keys that were written.
    package var puts: Int { putCount.load(ordering: .relaxed) }
    /// Keys that were deleted, by requests and by leases.
    package var deletions: Int { deletionCount.load(ordering: .relaxed) }
    /// Leases that were granted.
    package var grants: Int { grantCount.load(ordering: .relaxed) }
    /// Leases that were revoked or have expired.
    package var revocations: Int { revocationCount.load(ordering: .relaxed) }
    /// Segments of the local log that were removed.
    package var prunedSegments: Int { prunedCount.load(ordering: .relaxed) }
    /// The node takes no more writes and must be restarted.
    package var hasFailed: Bool { failure.load(ordering: .relaxed) }

    /// So many segments of the local log were removed. From any thread.
    func pruned(_ count: Int) { prunedCount.add(count, ordering: .relaxed) }

    // MARK: By the applying thread

    func committed(_ index: UInt64) { committedIndexValue.store(index, ordering: .relaxed) }

    func applied(_ mutation: Mutation) {
        switch mutation {
        case .put: Counter.add(1, to: putCount)
        case .delete: Counter.add(1, to: deletionCount)
        case .grant: Counter.add(1, to: grantCount)
        case .revoke: Counter.add(1, to: revocationCount)
        case .compact, .auth, .raise, .disarm: break
        }
    }

    func failed() { failure.store(true, ordering: .relaxed) }
}
