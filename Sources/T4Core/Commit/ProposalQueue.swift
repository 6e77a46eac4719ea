/// Proposals on their way to the commit thread, bounded by count and bytes.
package final class ProposalQueue: Sendable {
    private struct State {
        var waiting: [Proposal] = []
        var byteCount = 0
        /// Set once: why nothing more is taken.
        var closed: DatabaseError?
        /// Why nothing is taken for the time being.
        var paused: DatabaseError?
    }

    private let state = Monitor(State())
    private let countMax: Int
    private let bytesMax: Int

    package init(countMax: Int, bytesMax: Int) {
        self.countMax = countMax
        self.bytesMax = bytesMax
    }

    /// Hands a proposal to the commit thread, or completes it with an error at once.
    package func submit(_ proposal: Proposal) {
        let refusal: DatabaseError? = state.withLock { state in
            if let refusal = state.closed ?? state.paused { return refusal }
            if state.waiting.count >= countMax || (state.byteCount >= bytesMax) {
                return DatabaseError(.tooManyRequests, "\(state.waiting.count) requests wait for the log")
            }
            state.waiting.append(proposal)
            state.byteCount += proposal.byteCount
            return nil
        }
        if let refusal {
            proposal.complete(.failure(refusal))
        } else {
            state.signal()
        }
    }

    /// Everything that waits, at least one; nil once the queue is closed and empty.
    package func takeAll() -> [Proposal]? {
        state.wait { state in
            if state.waiting.isEmpty { return state.closed == nil ? nil : .some(nil) }
            var taken: [Proposal] = []
            taken.reserveCapacity(state.waiting.count)
            swap(&taken, &state.waiting)
            state.byteCount = 0
            return taken
        }
    }

    /// True while proposals wait.
    package var isEmpty: Bool { state.withLock { $0.waiting.isEmpty } }

    /// Takes nothing more; later proposals fail with `error`. What waits is still handed out.
    package func close(_ error: DatabaseError) {
        state.withLock { state in
            if state.closed == nil { state.closed = error }
        }
        state.broadcast()
    }

    /// Refuses proposals, also those that wait, with `error` until `resume`.
    package func pause(_ error: DatabaseError) {
        let waiting = state.withLock { state in
            state.paused = error
            state.byteCount = 0
            defer { state.waiting = [] }
            return state.waiting
        }
        for proposal in waiting { proposal.complete(.failure(error)) }
    }

    /// Takes proposals again.
    package func resume() { state.withLock { $0.paused = nil } }
}
