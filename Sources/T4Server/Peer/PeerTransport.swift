package import Logging
package import RPC
import Synchronization
package import T4Core

/// What became of a message that was to be sent.
package enum PeerSending: Hashable, Sendable {
    /// It waits to be sent; it may still be lost.
    case queued
    /// A stream is opened for it, and it is sent then unless a newer one takes its place; it may still be lost.
    case waitsForStream
    /// There is no stream: it is dropped.
    case notConnected
    /// Too much waits for this peer: all is dropped but so many entries.
    case queueFull(entriesQueued: Int)
    /// An entry, or the message without entries, is too large ever to be sent: all is dropped but so many entries.
    case tooLarge(entriesQueued: Int)
}

/// Carries messages and questions between the nodes of a cluster.
///
/// There is one stream for each pair of nodes, whichever dialled. Nothing here waits for a slow peer: what does not fit into
/// its queue is dropped, and so is everything on a stream that is lost. Nothing is repeated, and nobody is dialled without
/// `greet`.
package final class PeerTransport: Sendable {
    /// Where others reach this node.
    package let address: String

    let hub: PeerHub
    let server: RPCServer
    private let clients: PeerClients
    private let logger: Logger
    private let stopping = Mutex<Task<Void, Never>?>(nil)
    /// Streams that are about to be opened; each task takes itself out.
    private let dials = Mutex<(next: Int, tasks: [Int: Task<Void, Never>])>((0, [:]))

    static let exchange = "/t4.peer.v1.Peer/Exchange"
    static let question = "/t4.peer.v1.Peer/Ask"

    private init(address: String, hub: PeerHub, server: RPCServer, clients: PeerClients, logger: Logger) {
        self.address = address
        self.hub = hub
        self.server = server
        self.clients = clients
        self.logger = logger
    }

    /// Starts to listen; when it returns, others can connect.
    /// - Parameter delegate: Held until `stop` returns.
    /// - Throws: `.addressInUse` and `.cannotListen`, with the address.
    package static func start(
        _ configuration: PeerConfiguration, delegate: any PeerDelegate, logger: Logger
    ) async throws(RPCError) -> PeerTransport {
        let hub = PeerHub(configuration, delegate: delegate, logger: logger)
        var router = RPCRouter()
        router.stream(exchange) { call in PeerStream(call, hub: hub) }
        PeerQuestions(hub: hub).register(in: &router)
        let server = try await RPCServer.start(
            host: configuration.listenHost, port: configuration.listenPort, threads: 1,
            configuration: configuration.serving, router: router, logger: logger)
        let listened = HostPort(host: server.host, port: server.port).description
        let address = configuration.address.isEmpty ? listened : configuration.address
        hub.open(
            PeerIdentity(
                databaseID: configuration.databaseID, process: configuration.process, nodeID: configuration.nodeID,
                instanceID: configuration.instanceID, address: address))
        return PeerTransport(
            address: address, hub: hub, server: server, clients: PeerClients(configuration), logger: logger)
    }

    /// The port it listens on.
    package var port: Int { server.port }

    /// Who is connected, in the order of their instances.
    package var peers: [PeerIdentity] { hub.identities }

    /// Bytes that wait to be sent to an instance; 0 where there is no stream.
    package func pendingBytes(to instance: String) -> Int { hub.stream(to: instance)?.pendingBytes ?? 0 }

    // MARK: Messages

    /// Sends a message to an instance that is connected. Never blocks.
    ///
    /// An append of many bytes travels as several, of which the first ones are sent where not all fit.
    /// - Parameters:
    ///   - message: Its sender is this node.
    ///   - entries: Those that an append names.
    package func send(
        _ message: ReplicaMessage, entries: [LogEntry] = [], to instance: String
    ) -> PeerSending {
        guard let stream = hub.stream(to: instance) else { return .notConnected }
        return stream.send(PeerMessage(message, entries: entries))
    }

    /// Sends a message, without entries, to whoever is at an address, and connects to it if need be. Never blocks.
    ///
    /// An attempt to connect under way is the only one to that address: while there is one, the newest message waits. After one
    /// has failed, the next call is the next attempt.
    @discardableResult
    package func greet(_ address: String, _ message: ReplicaMessage) -> PeerSending {
        switch hub.greet(address, message) {
        case .send(let stream): return stream.send(PeerMessage(message))
        case .nowhere: return .notConnected
        case .waits: return .waitsForStream
        case .dial:
            dials.withLock { dials in
                let number = dials.next
                dials.next += 1
                dials.tasks[number] = Task {
                    await self.dial(address)
                    self.dials.withLock { $0.tasks[number] = nil }
                }
            }
            return .waitsForStream
        }
    }

    private func dial(_ address: String) async {
        do throws(PeerClients.Unreachable) {
            let client = try await clients.client(for: address)
            guard let own = hub.own else { return }
            client.stream(client.method(PeerTransport.exchange)) { [hub] call in
                let stream = PeerStream(call, hub: hub, dialled: (address, client))
                stream.introduce(own)
                return stream
            }
        } catch {
            hub.dialFailed(address, "\(error)")
        }
    }

    // MARK: Questions

    /// Asks an instance; what the bytes mean is the callers' business.
    /// - Parameter timeout: After it the outcome is unknown.
    /// - Parameter answer: Called once, from any thread, perhaps before this returns. `.notSent`, `.tooLarge`: the question has not
    ///   reached the other node's delegate and never will. `.outcomeUnknown`: the answer was lost or none came in time. `.refused`: the
    ///   other node does not answer.
    package func ask(
        _ request: [UInt8], of instance: String, timeout: Duration,
        answer: @escaping @Sendable (Result<[UInt8], PeerCallError>) -> Void
    ) {
        guard let own = hub.own else { return answer(.failure(.notSent("the node stops"))) }
        guard let address = hub.address(of: instance) else {
            return answer(.failure(.notSent("instance \(instance) is not connected")))
        }
        let envelope = PeerEnvelope(target: instance, sender: own.instanceID, request: request)
        let (seed, limit) = (hub.seed, hub.configuration.messageBytesMax)
        let message = envelope.encoded(seed: seed)
        guard message.count <= limit else {
            return answer(.failure(.tooLarge("the request has \(message.count) bytes, more than \(limit)")))
        }
        if let client = clients.connected(to: address) {
            return PeerQuestions.ask(client, message, seed: seed, timeout: timeout, answer: answer)
        }
        Task { [clients] in
            do throws(PeerClients.Unreachable) {
                let client = try await clients.client(for: address)
                PeerQuestions.ask(client, message, seed: seed, timeout: timeout, answer: answer)
            } catch {
                answer(.failure(.notSent("\(error)")))
            }
        }
    }

    /// As the other `ask`.
    package func ask(
        _ request: [UInt8], of instance: String, timeout: Duration
    ) async throws(PeerCallError) -> [UInt8] {
        let result = await withCheckedContinuation { continuation in
            ask(request, of: instance, timeout: timeout) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    // MARK: The end

    /// Closes all streams and stops to listen; the delegate hears nothing of it, and nothing any more once this returns.
    /// Questions that are being answered have a second for it. Safe to call more than once.
    package func stop() async {
        let task = stopping.withLock { stopping in
            let task = stopping ?? Task { await self.end() }
            stopping = task
            return task
        }
        await task.value
    }

    private func end() async {
        for stream in hub.stop() { stream.close(PeerRefusal.stopping.status) }
        await server.shutdownGracefully(deadline: .seconds(1))
        for task in dials.withLock({ Array($0.tasks.values) }) { await task.value }
        do {
            try await clients.stop()
        } catch {
            logger.warning("an event loop of connections to other nodes did not stop in order: \(error)")
        }
        hub.forgetDelegate()
    }
}
