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

    /// Asks.
    static func ask(
        _ client: RPCClient, _ message: [UInt8], seed: PeerSeed, timeout: Duration
    ) async throws(PeerCallError) -> [UInt8] {
        let answer: [UInt8]
        do throws(RPCStatus) {
            answer = try await client.unary(PeerTransport.question, message, timeout: timeout)
        } catch {
            switch error.code {
            // From before the question has come to somebody who answers it.
            case .failedPrecondition, .unimplemented: throw .notSent(error.message)
            default: throw .outcomeUnknown(error.description)
            }
        }
        let outcome: Result<[UInt8], PeerCallError>
        do throws(PeerCodingError) {
            outcome = try PeerEnvelope.readAnswer(answer, seed: seed)
        } catch {
            throw .outcomeUnknown("the answer cannot be read: \(error)")
        }
        return try outcome.get()
    }
}
