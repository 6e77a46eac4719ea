import NIOCore

/// The connections of a server on one event loop. Confined to the loop but for `context` and its counters.
final class ServerLoop: @unchecked Sendable {
    let context: LoopContext
    private var channels: [ObjectIdentifier: any Channel] = [:]
    private var connections: [ObjectIdentifier: ServerConnection] = [:]
    private var isShuttingDown = false

    init(eventLoop: any EventLoop) {
        context = LoopContext(eventLoop: eventLoop)
    }

    /// Sets up an accepted channel.
    func open(_ channel: any Channel, shared: ServerShared, registry: ConnectionRegistry) throws {
        LoopCounters.add(1, to: context.counters.connectionsAccepted)
        guard !isShuttingDown, registry.open() else {
            LoopCounters.add(1, to: context.counters.connectionsRefused)
            throw ConnectionRefused()
        }
        let id = ObjectIdentifier(channel)
        channels[id] = channel
        channel.closeFuture.assumeIsolated().whenComplete { _ in
            self.channels[id] = nil
            self.connections[id] = nil
            LoopCounters.add(1, to: self.context.counters.connectionsClosed)
            registry.closed()
        }
        let detector = ProtocolDetector(shared: shared) { channel in
            let connection = ServerConnection(
                loop: self.context, shared: shared, remoteAddress: channel.remoteAddress.map(Self.text))
            self.connections[id] = connection
            try channel.pipeline.syncOperations.addHandler(connection)
            if self.isShuttingDown { connection.beginShutdown() }
        }
        try channel.pipeline.syncOperations.addHandler(detector)
    }

    /// Lets HTTP/2 connections finish their calls and closes all others.
    func beginShutdown() {
        isShuttingDown = true
        for (id, channel) in channels {
            if let connection = connections[id] {
                connection.beginShutdown()
            } else {
                channel.close(promise: nil)
            }
        }
    }

    func closeAll() {
        for channel in channels.values { channel.close(promise: nil) }
    }

    private static func text(_ address: SocketAddress) -> String {
        guard let ip = address.ipAddress, let port = address.port else { return "\(address)" }
        return ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }
}

/// Thrown into the channel initializer to close a connection at once.
struct ConnectionRefused: Error {}
