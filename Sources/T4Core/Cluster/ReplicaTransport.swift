/// Carries what a node says to others of its cluster. No call blocks.
package protocol ReplicaTransport: Sendable {
    /// Sends a message to an instance, if it is connected. It may be lost.
    /// - Parameter entries: Those that an append names.
    func send(_ message: ReplicaMessage, entries: [LogEntry], to instance: String)
    /// Sends a message to whoever is at an address. It may be lost.
    func greet(_ address: String, _ message: ReplicaMessage)
    /// Asks an instance. `answer` comes once, from any thread.
    /// - Parameter timeout: After it the outcome is unknown.
    func ask(
        _ instance: String, _ request: [UInt8], timeout: Duration,
        answer: @escaping @Sendable (Result<[UInt8], PeerCallError>) -> Void)
}

/// Why a question has no answer.
package enum PeerCallError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The other node has not seen it and never will.
    case notSent(String)
    /// It is larger than what is sent between nodes, and was not sent.
    case tooLarge(String)
    /// It may have been dealt with, or be yet.
    case outcomeUnknown(String)
    /// The other node does not answer it, and does nothing about it.
    case refused(code: UInt32, text: String)

    package var description: String {
        switch self {
        case .notSent(let reason): "not sent: \(reason)"
        case .tooLarge(let reason): "too large: \(reason)"
        case .outcomeUnknown(let reason): "it is unknown what became of it: \(reason)"
        case .refused(let code, let text): "refused (\(code)): \(text)"
        }
    }
}
