/// A state of emergency that somebody has raised for a member. While one is raised, requests are refused; it stays,
/// restarts included, until somebody disarms it.
public struct Alarm: Hashable, Sendable {
    /// What is wrong, by etcd's number.
    public enum Kind: UInt8, Hashable, Sendable {
        /// Space runs out: puts, transactions with a put and lease grants fail with `.noSpace`.
        case noSpace = 1
        /// Data is damaged, or members differ: every change fails with `.corrupt`. Reads still work.
        case corrupt = 2
    }

    /// What is wrong.
    public var kind: Kind
    /// The member that it is about; any number, 0 too, as in etcd. The effect is the same whoever it is.
    public var member: UInt64

    /// Names an alarm.
    public init(_ kind: Kind, member: UInt64) {
        self.kind = kind
        self.member = member
    }
}

/// The alarms that are raised after everything decided, and what they refuse. Which proposals fail follows from the set
/// alone, so that a restart changes nothing.
package struct RaisedAlarms: Sendable {
    private var alarms: Set<Alarm>

    package init(_ alarms: [Alarm]) { self.alarms = Set(alarms) }

    package var isEmpty: Bool { alarms.isEmpty }

    /// - Returns: False when it was raised already.
    package mutating func raise(_ alarm: Alarm) -> Bool { alarms.insert(alarm).inserted }

    /// - Returns: False when it was not raised.
    package mutating func disarm(_ alarm: Alarm) -> Bool { alarms.remove(alarm) != nil }

    /// Why a proposal must fail; nil when nothing stands against it.
    package func refusal(of proposal: ProposalKind) -> DatabaseError? {
        switch proposal {
        case .raise, .disarm, .auth, .mirror: return nil
        case .put, .deleteRange, .txn, .compact, .grant, .revoke: break
        }
        if isRaised(.corrupt) { return DatabaseError(.corrupt, "an alarm says that data is corrupt") }
        if proposal.spaceNeeded > 0, isRaised(.noSpace) {
            return DatabaseError(.noSpace, "an alarm says that there is no space")
        }
        return nil
    }

    private func isRaised(_ kind: Alarm.Kind) -> Bool { alarms.contains { $0.kind == kind } }
}
