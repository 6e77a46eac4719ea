import RPC
import Synchronization
import T4Core

/// The answer to a proposal, on its way to the event loop of the call that waits for it.
final class ProposalInbox: Sendable {
    typealias Answer = Result<ProposalResponse, DatabaseError>

    private enum State {
        case empty
        /// A proposal is out.
        case waiting
        case delivered(Answer)
        /// The call is over; somebody else wants the answer.
        case abandoned(@Sendable (Answer) -> Void)
    }

    private let call: ServerCall
    private let node: Node
    private let state = Mutex(State.empty)

    init(_ call: ServerCall, _ node: Node) {
        self.call = call
        self.node = node
    }

    /// Proposes for somebody; the call is woken when the answer is there. One proposal at a time.
    func submit(_ kind: ProposalKind, from requester: Requester?) {
        state.withLock { $0 = .waiting }
        node.submit(kind, from: requester) { [self] answer in
            let rest: (@Sendable (Answer) -> Void)? = state.withLock { state in
                if case .abandoned(let rest) = state { return rest }
                state = .delivered(answer)
                return nil
            }
            if let rest { rest(answer) } else { call.wake() }
        }
    }

    /// The answer; nil until it is there, and after it was taken.
    func take() -> Answer? {
        state.withLock { state in
            guard case .delivered(let answer) = state else { return nil }
            state = .empty
            return answer
        }
    }

    /// The call is over: `rest` gets the answer that is out, if any, from any thread.
    func abandon(_ rest: @escaping @Sendable (Answer) -> Void) {
        let answer: Answer? = state.withLock { state in
            switch state {
            case .delivered(let answer):
                state = .empty
                return answer
            case .waiting: state = .abandoned(rest)
            case .empty, .abandoned: break
            }
            return nil
        }
        if let answer { rest(answer) }
    }
}
