import RPC
import Synchronization
package import T4Core

/// Hears what comes from the other nodes. Methods are called on event loops and must not block.
package protocol PeerDelegate: AnyObject, Sendable {
    /// A message. This and `disconnected` are called one after the other, messages of one stream in the order in which they were
    /// sent.
    func received(_ delivery: PeerDelivery)
    /// There is no stream to this instance any more. What was sent to it last may be lost.
    func disconnected(_ instance: String)
    /// A question, to be answered at any time. From several threads at a time.
    func asked(_ question: PeerQuestion)
}

/// A message that has come. As long as it is not done its bytes count as waiting.
package final class PeerDelivery: Sendable {
    /// What the other node says.
    package let message: ReplicaMessage
    /// The entries of an append.
    package let entries: [LogEntry]

    private let giveBack: @Sendable () -> Void
    private let isDone = Atomic(false)

    init(_ message: PeerMessage, giveBack: @escaping @Sendable () -> Void) {
        self.message = message.message
        self.entries = message.entries
        self.giveBack = giveBack
    }

    deinit { done() }

    /// The message is dealt with, as far as memory goes; at the latest when nobody has it any more.
    package func done() {
        if !isDone.exchange(true, ordering: .relaxed) { giveBack() }
    }
}

/// What another node asks. It is answered once; if nobody has it any more before that, its outcome is unknown.
package final class PeerQuestion: Sendable {
    /// The question itself.
    package let request: [UInt8]
    /// The instance that asks.
    package let sender: String

    private let call: ServerCall
    private let seed: PeerSeed
    private let isAnswered = Atomic(false)

    init(_ request: [UInt8], from sender: String, call: ServerCall, seed: PeerSeed) {
        self.request = request
        self.sender = sender
        self.call = call
        self.seed = seed
    }

    deinit {
        if claim() { call.fail(RPCStatus(.unknown, "nobody answered")) }
    }

    /// Answers.
    package func answer(_ bytes: [UInt8]) {
        if claim() { call.respond(PeerEnvelope.answer(bytes, seed: seed)) }
    }

    /// Answers with an error.
    /// - Parameter code: A number that the nodes agree on.
    package func refuse(_ code: UInt32, _ text: String) {
        if claim() { call.respond(PeerEnvelope.refusal(code, text, seed: seed)) }
    }

    /// Once, and while there is somebody to hear it: the event loop may be gone with the call.
    private func claim() -> Bool { !isAnswered.exchange(true, ordering: .relaxed) && !call.isClosed }
}
