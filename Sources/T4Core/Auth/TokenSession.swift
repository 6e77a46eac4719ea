import Synchronization

/// A login that lasts as long as its token is used. Shared by all connections that show the token.
package final class TokenSession: Sendable {
    package let user: [UInt8]
    let hash: [UInt8]
    /// On the keeper's clock, in nanoseconds: when the token dies unless it is used.
    private let deadline: Atomic<Int64>
    /// When it dies according to the log, which a restart will go by.
    private let loggedDeadline: Atomic<Int64>
    private let isExtending = Atomic(false)
    private let hasEnded = Atomic(false)
    /// The keeper has proposed the end.
    let isRemoving = Atomic(false)

    init(_ token: AuthToken, deadline: Int64) {
        user = token.user
        hash = token.hash
        self.deadline = Atomic(deadline)
        loggedDeadline = Atomic(deadline)
    }

    /// What became of a use.
    enum Use {
        case refused
        case taken
        /// Taken, and the log is to hear of it: once until `extended`.
        case extends
    }

    /// The token was shown: it lives for its whole time again.
    func use(now: Int64, lifetime: Int64) -> Use {
        guard !hasEnded.load(ordering: .acquiring), now < deadline.load(ordering: .relaxed) else { return .refused }
        deadline.store(now + lifetime, ordering: .relaxed)
        guard loggedDeadline.load(ordering: .relaxed) - now < lifetime / 2,
            !isExtending.exchange(true, ordering: .relaxed)
        else { return .taken }
        return .extends
    }

    /// The log has the new time; nil when it has not.
    func extended(to deadline: Int64?) {
        if let deadline {
            loggedDeadline.store(deadline, ordering: .relaxed)
            // Another node may have been shown the token.
            self.deadline.max(deadline, ordering: .relaxed)
        }
        isExtending.store(false, ordering: .relaxed)
    }

    /// Refuses it from now on.
    func end() { hasEnded.store(true, ordering: .releasing) }

    func isOver(at now: Int64) -> Bool {
        hasEnded.load(ordering: .acquiring) || now >= deadline.load(ordering: .relaxed)
    }

    var expiry: Int64 { deadline.load(ordering: .relaxed) }
}
