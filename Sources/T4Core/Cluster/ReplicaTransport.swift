/// Carries what a replica says to other nodes. Neither call blocks, and anything may be lost.
package protocol ReplicaTransport: Sendable {
    /// Sends a message to an instance, if it is connected.
    /// - Parameter entries: Those that an append names.
    func send(_ message: ReplicaMessage, entries: [LogEntry], to instance: String)
    /// Sends a message to whoever is at an address.
    func greet(_ address: String, _ message: ReplicaMessage)
}
