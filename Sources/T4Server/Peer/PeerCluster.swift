package import Logging
package import T4Core
import T4Protocols

/// Connects a node to the others of its cluster through a `PeerTransport`.
package struct PeerCluster: Sendable {
    /// Where the node listens for the others, and its limits.
    package struct Settings: Sendable {
        /// A name or an IP address.
        package var listenHost: String
        /// 0 ... 65535; with 0 the system chooses.
        package var listenPort: Int
        /// Where others reach this node, HOST:PORT; empty for where it listens.
        package var address = ""
        /// What TLS is spoken with; nil: none.
        package var tls: PeerTLS?

        /// Fills in what has no default.
        package init(listenHost: String, listenPort: Int) {
            self.listenHost = listenHost
            self.listenPort = listenPort
        }
    }

    private let settings: Settings
    private let logger: Logger

    package init(_ settings: Settings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    /// Starts to listen; for `NodeCluster.connect`. Blocks.
    package func connect(
        _ member: NodeCluster.Member, _ receiver: ReplicaReceiver
    ) throws -> NodeCluster.Connection {
        var configuration = PeerConfiguration(
            databaseID: member.database, nodeID: member.nodeID, instanceID: member.instance,
            listenHost: settings.listenHost, listenPort: settings.listenPort, process: .random(in: 0...(.max)))
        configuration.address = settings.address
        configuration.tls = settings.tls
        let (final, logger) = (configuration, logger)
        let transport = try BlockingCall.wait {
            try await PeerTransport.start(final, delegate: Delegate(receiver), logger: logger)
        }
        return NodeCluster.Connection(
            transport: Wires(transport: transport), address: transport.address,
            close: { BlockingCall.wait { await transport.stop() } })
    }

    /// What does not get into a queue is lost, which a replica can bear.
    private struct Wires: ReplicaTransport {
        let transport: PeerTransport

        func send(_ message: ReplicaMessage, entries: [LogEntry], to instance: String) {
            _ = transport.send(message, entries: entries, to: instance)
        }

        func greet(_ address: String, _ message: ReplicaMessage) { transport.greet(address, message) }

        func ask(
            _ instance: String, _ request: [UInt8], timeout: Duration,
            answer: @escaping @Sendable (Result<[UInt8], PeerCallError>) -> Void
        ) {
            transport.ask(request, of: instance, timeout: timeout, answer: answer)
        }
    }

    private final class Delegate: PeerDelegate {
        private let receiver: ReplicaReceiver

        init(_ receiver: ReplicaReceiver) { self.receiver = receiver }

        func received(_ delivery: PeerDelivery) {
            receiver.receive(delivery.message, entries: delivery.entries, held: delivery)
        }

        func disconnected(_ instance: String) { receiver.disconnected(instance) }

        func asked(_ question: PeerQuestion) {
            let isTaken = receiver.asked(question.request) { question.answer($0) }
            if !isTaken { question.refuse(0, "this node does not take part yet, or no more") }
        }
    }
}
