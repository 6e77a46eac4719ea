import T4Protocols

/// The chain as somebody read it.
package struct ChainView: Hashable, Sendable {
    /// The entries in it, behind those that a checkpoint covers.
    package var log: TermLog
    /// The term of the leader who uploaded its last object, or the last one that the checkpoint covers.
    package var headerTerm: UInt64

    /// What a node has to do with its log, so that it has what the chain has: the chain wins.
    package enum Adoption: Hashable, Sendable {
        /// The log has all of it.
        case nothing
        /// Cut the log behind this entry, and take what the chain has from there on.
        case append(after: UInt64)
        /// The log ends before the chain begins, or differs there: it and the engine are to be restored from the checkpoint.
        case restore
        /// The log has committed what the chain has not.
        case conflict(at: UInt64)
    }

    /// Fills in what was read.
    package init(log: TermLog, headerTerm: UInt64) {
        self.log = log
        self.headerTerm = headerTerm
    }

    /// Compares the chain with the log of a node.
    /// - Parameter committed: Everything up to here is known to be committed in that log, and may be applied.
    package func adoption(by log: TermLog, committed: UInt64) -> Adoption {
        // The chain that was read may be older than what was deleted here.
        if self.log.last.index < log.base.index { return .nothing }
        guard let agreement = log.agreement(with: self.log) else {
            return committed < self.log.base.index ? .restore : .conflict(at: committed)
        }
        if agreement == self.log.last.index { return .nothing }
        if agreement < committed { return .conflict(at: agreement + 1) }
        return .append(after: agreement)
    }
}
