import NIOCore

/// The connections of a server on one event loop. Confined to the loop but for `context` and its counters.
final class ServerLoop: @unchecked Sendable {
    let context: LoopContext
    private let shared: ServerShared
    private let registry: ConnectionRegistry
    /// Connections that wait for the TLS files: the loop must not go before they have heard of them.
    private let waiting: ConnectionRegistry
    private var channels: [ObjectIdentifier: any Channel] = [:]
    private var connections: [ObjectIdentifier: any BoundedConnection] = [:]
    /// Of the clients through which requests that are no gRPC call the services.
    private let insideContext: LoopContext
    /// Over HTTP/2 come requests that are no gRPC: where there is TLS, as with etcd, whose other port is gRPC's alone.
    private let carriesWeb: Bool
    private var dateClock = HTTPDateClock()
    private var isShuttingDown = false
    /// Connections have been looked at while memory was scarce, and it may still be.
    private var knowsPaces = false
    private var sweepTime = RunningTime(interval: .seconds(1), start: .now())
    private var memoryTime = RunningTime(interval: .milliseconds(250), start: .now())

    init(
        context: LoopContext, shared: ServerShared, registry: ConnectionRegistry,
        waiting: ConnectionRegistry = ConnectionRegistry(limit: .max), carriesWeb: Bool? = nil
    ) {
        self.context = context
        self.shared = shared
        self.registry = registry
        self.waiting = waiting
        self.carriesWeb = carriesWeb ?? (shared.configuration.tls != nil)
        insideContext = LoopContext(eventLoop: context.eventLoop)
        context.relieve = { [weak self] in self?.relieve() }
    }

    /// Sets up an accepted channel.
    /// - Returns: When the channel may be read from; fails for one that is refused.
    func open(_ channel: any Channel) throws -> EventLoopFuture<Void> {
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
        let peer = TLSPeer()
        let detector = ProtocolDetector(
            shared: shared, remoteAddress: address,
            installHTTP2: { channel in
                let http = self.carriesWeb ? self.shared.configuration.http : nil
                let connection = ServerConnection(
                    loop: self.context, shared: self.shared, remoteAddress: address, commonName: peer.commonName,
                    web: http.map { WebFront(service: $0, loop: self) })
                self.connections[id] = connection
                try channel.pipeline.syncOperations.addHandler(connection)
                if self.isShuttingDown { connection.beginShutdown() }
            },
            installHTTP1: shared.configuration.http.map { service in
                { channel in
                    let connection = HTTP1Connection(
                        service: service, loop: self, shared: self.shared, remoteAddress: address)
                    self.connections[id] = connection
                    try connection.install(in: channel)
                    if self.isShuttingDown { connection.beginShutdown() }
                }
            })
        // Before TLS is there: the time for the beginning runs from now.
        try channel.pipeline.syncOperations.addHandler(detector)
        guard let tls = shared.configuration.tls else { return channel.eventLoop.makeSucceededVoidFuture() }
        _ = waiting.open()
        let read = tls.context(for: channel.eventLoop).assumeIsolated()
        read.whenComplete { _ in self.waiting.closed() }
        return read.flatMapThrowing { context in
            try TLSDoor.add(
                to: channel, context: context, loop: self.context, shared: self.shared, remoteAddress: address,
                peer: peer)
        }.nonisolated()
    }

    /// Connects a client of this same server, without a socket: for the calls of one connection's requests that are no gRPC.
    /// - Parameter address: Of the client on whose behalf it calls.
    func connectInside(for address: String?) throws -> RPCClient {
        let connection = ServerConnection(loop: context, shared: shared, remoteAddress: address)
        let (client, end) = try RPCClient.connectInside(connection, on: insideContext)
        let id = ObjectIdentifier(end)
        connections[id] = connection
        end.closeFuture.assumeIsolated().whenComplete { _ in self.connections[id] = nil }
        if isShuttingDown { connection.beginShutdown() }
        return client
    }

    /// For the `Date` header.
    func httpDate() -> String { dateClock.now() }

    /// Lets connections finish their calls and closes those that have not shown their protocol.
    func beginShutdown() {
        isShuttingDown = true
        for (id, channel) in channels where connections[id] == nil { channel.close(promise: nil) }
        for connection in Array(connections.values) { connection.beginShutdown() }
    }

    func closeAll() {
        for channel in channels.values { channel.close(promise: nil) }
    }

    // MARK: Limits

    /// Looks at all connections from time to time, for what is overdue, and while memory is scarce more often for those
    /// that sit on it.
    func startSweeping() {
        let shortest = min(shared.configuration.handshakeTimeout, shared.configuration.requestTimeout).nanoseconds
        let interval = TimeAmount.nanoseconds(min(max(shortest / 4, 50_000_000), 5_000_000_000))
        sweepTime = RunningTime(interval: interval, start: .now())
        context.sweptAt = sweepTime.now
        context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
            self?.sweep()
        }
        let memoryInterval = memoryTime.interval
        memoryTime = RunningTime(interval: memoryInterval, start: .now())
        context.eventLoop.scheduleRepeatedTask(initialDelay: memoryInterval, delay: memoryInterval) { [weak self] _ in
            self?.lookAfterMemory()
        }
    }

    private func sweep() {
        let isInTime = sweepTime.advance(to: .now())
        context.sweptAt = sweepTime.now
        guard isInTime else { return }
        // Connections and calls know their begin as of the last sweep, which was up to an interval earlier.
        let begin = sweepTime.now - sweepTime.interval
        let handshakes = begin - .nanoseconds(shared.configuration.handshakeTimeout.nanoseconds)
        let requests = begin - .nanoseconds(shared.configuration.requestTimeout.nanoseconds)
        for connection in Array(connections.values) { connection.sweep(handshakes: handshakes, requests: requests) }
        context.flushDirty()
    }

    private func lookAfterMemory() {
        // A stop of the process is no time in which clients could have read, however late this is.
        _ = memoryTime.advance(to: .now())
        if context.isMemoryScarce {
            knowsPaces = true
            for connection in connections.values { connection.lookAtPace(at: memoryTime.now) }
            cutOff(connections.values.filter { $0.isStalled }) { context.isMemoryScarce }
            cutOff(connections.values.filter { $0.isSlow }) { context.isMemoryUsedUp }
            relieve()
        } else {
            if knowsPaces {
                knowsPaces = false
                for connection in connections.values { connection.forgetPace() }
            }
            if context.isRoomWanted { relieve() }
        }
    }

    /// Cuts off who does not stop to send when memory is used up, then lets go on what waits and finds room.
    private func relieve() {
        if context.isMemoryUsedUp {
            // The loops do not know each other's connections: each has a share of the half.
            let most = shared.configuration.bufferedBytesMax / 2 / shared.counters.count
            var owed = connections.values.reduce(0) { $0 + $1.bytesOwed }
            if owed > most {
                let debtors = connections.values.map { ($0, $0.bytesOwed) }.sorted { $0.1 > $1.1 }
                for (debtor, bytes) in debtors where owed > most && context.isMemoryUsedUp {
                    cutOff([debtor]) { true }
                    owed -= bytes
                }
            }
        }
        if context.isRoomWanted {
            // Whoever finds none wants it again.
            context.isRoomWanted = false
            for connection in Array(connections.values) { connection.lookForRoom() }
        }
        context.flushDirty()
    }

    /// Cuts off some of these connections, those first that hold the most, while there is a need.
    private func cutOff(_ victims: [any BoundedConnection], while isNeeded: () -> Bool) {
        for victim in victims.sorted(by: { $0.bufferedBytes > $1.bufferedBytes }) where isNeeded() {
            victim.cutOff(.buffersMost)
            victim.drain()
        }
    }

    private static func text(_ address: SocketAddress) -> String {
        guard let ip = address.ipAddress, let port = address.port else { return "\(address)" }
        return ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)"
    }
}

/// Thrown into the channel initializer to close a connection at once.
struct ConnectionRefused: Error {}
