import Synchronization

/// What a write does.
package enum WriteOperation: Int, CaseIterable, Sendable {
    case create, update, delete, txn, compact, grant, revoke, auth, alarm, mirror

    /// - Parameter changes: What was decided.
    init(_ kind: ProposalKind, _ changes: [StateChange]) {
        switch kind {
        case .put:
            if case .put(_, let record) = changes.first?.mutation, record.version == 1 {
                self = .create
            } else {
                self = .update
            }
        case .deleteRange: self = .delete
        case .txn: self = .txn
        case .compact: self = .compact
        case .grant: self = .grant
        case .revoke: self = .revoke
        case .auth: self = .auth
        case .raise, .disarm: self = .alarm
        case .mirror: self = .mirror
        }
    }
}

/// Writes that this node has decided: how many, how long they took, how many at a time. Written where they become visible, by
/// one thread at a time.
package final class WriteStatistics: Sendable {
    /// The classes of T4's histogram, and more.
    private static let bounds = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ]

    private let all = WriteOperation.allCases.map { _ in Histogram(seconds: WriteStatistics.bounds) }
    /// Proposals that shared one sync of the log.
    package let groupSizes = Histogram(numbers: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096])

    /// From the proposal to the moment in which its effect is visible; also counts them. What was refused is not in it.
    package func times(of operation: WriteOperation) -> Histogram { all[operation.rawValue] }

    func committed(_ groups: [CommittedGroup]) {
        let now = Stopwatch.now
        for group in groups where !group.answers.isEmpty {
            groupSizes.observe(Int64(group.answers.count))
            for answer in group.answers {
                guard case .success = answer.result else { continue }
                times(of: answer.operation).observe(answer.proposal.stopwatch.nanoseconds(until: now))
            }
        }
    }
}
