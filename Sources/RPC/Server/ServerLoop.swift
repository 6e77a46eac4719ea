import NIOCore

/// The connections of a server on one event loop. Confined to the loop but for `context` and its counters.
final class ServerLoop: @unchecked Sendable {
    let context: LoopContext
    private let shared: ServerShared
    private let registry: ConnectionRegistry
    private var channels: [ObjectIdentifier: any Channel] = [:]
    private var connections: [ObjectIdentifier: ServerConnection] = [:]
    private var isShuttingDown = false

    init(context: LoopContext, shared: ServerShared, registry: ConnectionRegistry, loopCount: Int) {
        self.context = context
        self.shared = shared
        self.registry = registry
        context.bufferedBytesMax = shared.configuration.bufferedBytesMax / loopCount
        context.relieve = { [weak self] in self?.relieve() }
    }

    /// Sets up an accepted channel.
    func open(_ channel: any Channel) throws {
        LoopCounters.add(1, to: context.counters.connectionsAccepted)
        let address = channel.remoteAddress.map(Self.text)
        guard !isShuttingDown, registry.open() else {
            LoopCounters.add(1, to: context.counters.connectionsRefused)
            if !isShuttingDown { shared.faults.note(.tooManyConnections, from: address) }
            throw ConnectionRefused()
        }
        let id = ObjectIdentifier(channel)
        channels[id] = channel
        channel.closeFuture.assumeIsolated().whenComplete { _ in
            self.channels[id] = nil
            self.connections[id] = nil
            LoopCounters.add(1, to: self.context.counters.connectionsClosed)
            self.registry.closed()
        }
        let detector = ProtocolDetector(shared: shared, remoteAddress: address) { channel in
            let connection = ServerConnection(loop: self.context, shared: self.shared, remoteAddress: address)
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

    // MARK: Limits

    /// Looks at all connections from time to time, for what is overdue and for memory that somebody sits on.
    func startSweeping() {
        let handshake = shared.configuration.handshakeTimeout.nanoseconds
        let request = shared.configuration.requestTimeout.nanoseconds
        let interval = TimeAmount.nanoseconds(min(max(min(handshake, request) / 4, 50_000_000), 5_000_000_000))
        context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
            guard let self else { return }
            let now = NIODeadline.now()
            // Calls know their begin as of the last sweep, which was up to an interval earlier.
            let requests = now - .nanoseconds(request) - interval
            for connection in Array(connections.values) {
                connection.sweep(handshakes: now - .nanoseconds(handshake), requests: requests)
            }
            context.sweptAt = now
            if context.isMemoryScarce { relieve() }
            context.flushDirty()
        }
    }

    /// Cuts off connections until there is memory enough: beyond half of the share those that stall, beyond all of it
    /// whoever holds the most. Then lets requests go on that waited for it.
    private func relieve() {
        while context.isMemoryScarce, let victim = victim(any: context.isMemoryUsedUp) {
            victim.cutOff(.buffersMost)
            victim.drain()
        }
        if context.isRoomWanted, !context.isMemoryScarce {
            context.isRoomWanted = false
            for connection in Array(connections.values) where connection.useRoom() { connection.setNeedsDrain() }
        }
        context.flushDirty()
    }

    private func victim(any mayTakeAny: Bool) -> ServerConnection? {
        let candidates = connections.values.filter { $0.bufferedBytes > 0 && !$0.closesAfterDrain }
        // What one stream may have waiting is nobody's fault.
        let stalled = candidates.filter { $0.isStalled && $0.bufferedBytes > shared.configuration.pendingBytesHigh }
        return (mayTakeAny ? candidates : stalled).max { $0.bufferedBytes < $1.bufferedBytes }
    }

    private static func text(_ address: SocketAddress) -> String {
        guard let ip = address.ipAddress, let port = address.port else { return "\(address)" }
        return ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }
}

/// Thrown into the channel initializer to close a connection at once.
struct ConnectionRefused: Error {}
