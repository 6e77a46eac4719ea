import T4Protocols

/// Proposals on their way to be committed, bounded by count and bytes.
///
/// One at a time commits what the queue hands out: the commit thread, or a caller that found nothing before its own
/// proposal and so need not wake that thread.
package final class ProposalQueue: Sendable {
    private enum Committer {
        case nobody, thread, caller
    }

    /// Who keeps proposals out for the time being.
    package enum Pauser: CaseIterable, Hashable, Sendable {
        case disk, room, store, leader, members
    }

    private struct State {
        var committer = Committer.nobody
        /// Proposals that callers must leave to the commit thread before one may commit its own again.
        var reserved = 0
        var waiting: [Proposal] = []
        var byteCount = 0
        /// Set once: why nothing more is taken.
        var closed: DatabaseError?
        /// Nobody may commit just now; what comes waits.
        var isHeld = false
        /// Why nothing is taken for the time being.
        var paused: [Pauser: DatabaseError] = [:]
        /// Since when, and how long in all before that, in nanoseconds.
        var pausedSince: [Pauser: Stopwatch] = [:]
        var pausedBefore: [Pauser: Int64] = [:]

        var refusal: DatabaseError? { closed ?? paused[.leader] ?? paused[.members] ?? paused[.disk] ?? paused[.store] }
    }

    private let state = Monitor(State())
    private let countMax: Int
    private let bytesMax: Int

    package init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    /// Hands a proposal to the commit thread, or completes it with an error at once.
    /// - Parameter takesOver: The caller commits it itself where nobody else commits anything.
    /// - Returns: True if the caller has to: it commits the proposal and then calls `handBack`.
    @discardableResult
    package func submit(_ proposal: Proposal, takesOver: Bool = false) -> Bool {
        enum Outcome {
            case taken, queued(wakes: Bool), refused(DatabaseError)
        }
        let outcome: Outcome = state.withLock { state in
            if let refusal = state.refusal { return .refused(refusal) }
            if takesOver, !state.isHeld {
                if state.reserved > 0 {
                    state.reserved -= 1
                } else if state.committer == .nobody, state.waiting.isEmpty {
                    state.committer = .caller
                    return .taken
                }
            }
            if state.waiting.count >= countMax || (state.byteCount >= bytesMax) {
                return .refused(
                    DatabaseError(.tooManyRequests, "\(state.waiting.count) requests wait for the log"))
            }
            state.waiting.append(proposal)
            state.byteCount += proposal.byteCount
            return .queued(wakes: state.committer == .nobody)
        }
        switch outcome {
        case .taken: return true
        case .queued(let wakes): if wakes { state.signal() }
        case .refused(let refusal): proposal.complete(.failure(refusal))
        }
        return false
    }

    /// A caller has committed what it took over, or leaves it to the commit thread after all.
    /// - Parameters:
    ///   - rest: What is left, to be committed before everything that came since.
    ///   - reserved: Proposals that callers leave to the commit thread from now on.
    package func handBack(_ rest: Proposal? = nil, reserving reserved: Int = 0) {
        let wakes = state.withLock { state in
            state.committer = .nobody
            state.reserved = max(state.reserved, reserved)
            if let rest {
                state.waiting.insert(rest, at: 0)
                state.byteCount += rest.byteCount
            }
            return !state.waiting.isEmpty || state.closed != nil
        }
        if wakes { state.signal() }
    }

    /// Everything that waits, at least one; nil once the queue is closed and empty, or held. Only the commit thread calls it, when
    /// it is done with what it got before.
    package func takeAll() -> [Proposal]? {
        state.wait { state in
            if state.committer == .thread { state.committer = .nobody }
            if state.isHeld { return .some(nil) }
            guard state.committer == .nobody else { return nil }
            if state.waiting.isEmpty { return state.closed == nil ? nil : .some(nil) }
            state.committer = .thread
            var taken: [Proposal] = []
            taken.reserveCapacity(state.waiting.count)
            swap(&taken, &state.waiting)
            state.byteCount = 0
            return taken
        }
    }

    /// Proposals that wait.
    package var count: Int { state.withLock { $0.waiting.count } }

    /// True while proposals wait.
    package var isEmpty: Bool { state.withLock { $0.waiting.isEmpty } }

    /// Takes nothing more; later proposals fail with `error`. What waits is still handed out.
    package func close(_ error: DatabaseError) {
        state.withLock { state in
            if state.closed == nil { state.closed = error }
        }
        state.broadcast()
    }

    /// Sends whoever commits away, or lets somebody commit again. What comes meanwhile waits.
    package func hold(_ isHeld: Bool) {
        state.withLock { $0.isHeld = isHeld }
        state.broadcast()
    }

    /// What was taken and could not be decided waits again, before everything that came since.
    package func putBack(_ proposals: some Collection<Proposal>) {
        let refusal: DatabaseError? = state.withLock { state in
            if let refusal = state.refusal { return refusal }
            state.waiting.insert(contentsOf: proposals, at: 0)
            state.byteCount += proposals.reduce(0) { $0 + $1.byteCount }
            return nil
        }
        if let refusal { for proposal in proposals { proposal.complete(.failure(refusal)) } }
    }

    /// Refuses proposals, also those that wait, with `error` until the same one resumes.
    package func pause(_ error: DatabaseError, by pauser: Pauser) {
        let waiting = state.withLock { state in
            if state.paused.updateValue(error, forKey: pauser) == nil { state.pausedSince[pauser] = Stopwatch() }
            state.byteCount = 0
            defer { state.waiting = [] }
            return state.waiting
        }
        for proposal in waiting { proposal.complete(.failure(error)) }
    }

    /// The same to those who ask for pauses, but what comes is taken: who decides it refuses what must not be, one by one.
    package func notePause(by pauser: Pauser) {
        state.withLock { state in
            if state.pausedSince[pauser] == nil { state.pausedSince[pauser] = Stopwatch() }
        }
    }

    /// Takes proposals again, unless another one has paused too.
    package func resume(_ pauser: Pauser) {
        state.withLock { state in
            state.paused[pauser] = nil
            guard let since = state.pausedSince.removeValue(forKey: pauser) else { return }
            state.pausedBefore[pauser, default: 0] += since.nanoseconds()
        }
    }

    /// Whether it keeps proposals out, and for how many nanoseconds it has done so in all.
    package func pauses(by pauser: Pauser) -> (isPaused: Bool, nanoseconds: Int64) {
        state.withLock { state in
            let since = state.pausedSince[pauser]
            return (since != nil, state.pausedBefore[pauser, default: 0] + (since?.nanoseconds() ?? 0))
        }
    }
}
