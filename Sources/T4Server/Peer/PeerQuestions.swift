import RPC
import T4Core

/// Questions of one node to another: what the methods do, and how an answer is understood.
struct PeerQuestions: Sendable {
    let hub: PeerHub

    func register(in router: inout RPCRouter) {
        router.unary(PeerTransport.question) { call, request in asked(call, request) }
    }

    /// What ends with this status has not been seen by anybody.
    private static func unseen(_ text: String) -> RPCStatus { RPCStatus(.failedPrecondition, text) }

    private func asked(_ call: ServerCall, _ request: RawSpan) {
        do throws(PeerCodingError) {
            let envelope = try PeerEnvelope(request.copyBytes(), seed: hub.seed)
            guard let (own, delegate) = hub.answering else { return call.fail(Self.unseen("the node stops")) }
            guard envelope.target == own.instanceID else {
                return call.fail(
                    Self.unseen("this is instance \(own.instanceID), and the question is for \(envelope.target)"))
            }
            delegate.asked(
                PeerQuestion(envelope.request, from: envelope.sender, call: call, seed: hub.seed))
        } catch {
            call.fail(Self.unseen("it is not of a node of this database, or was damaged on the way: \(error)"))
        }
    }

    /// Asks; `answer` comes once, on the client's event loop or before this returns.
    static func ask(
        _ client: RPCClient, _ message: [UInt8], seed: PeerSeed, timeout: Duration,
        answer: @escaping @Sendable (Result<[UInt8], PeerCallError>) -> Void
    ) {
        client.start(client.method(PeerTransport.question), message, timeout: timeout) { result in
            do throws(RPCStatus) {
                answer(read(try result.get(), seed: seed))
            } catch {
                switch error.code {
                // From before the question has come to somebody who answers it.
                case .failedPrecondition, .unimplemented: answer(.failure(.notSent(error.message)))
                default: answer(.failure(.outcomeUnknown(error.description)))
                }
            }
        }
    }

    private static func read(_ answer: [UInt8], seed: PeerSeed) -> Result<[UInt8], PeerCallError> {
        do throws(PeerCodingError) {
            return try PeerEnvelope.readAnswer(answer, seed: seed)
        } catch {
            return .failure(.outcomeUnknown("the answer cannot be read: \(error)"))
        }
    }
}
