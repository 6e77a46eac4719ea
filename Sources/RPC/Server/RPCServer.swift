public import Logging
import NIOCore
import NIOPosix
import Synchronization

/// A gRPC server: listens on a port and hands calls to the handlers of a router.
///
/// Connections are spread over event loops with a thread each; handlers run there.
public final class RPCServer: Sendable {
    /// What a server has counted since its start.
    public struct Counters: Sendable, Hashable {
        /// Connections accepted, those refused at once included.
        public var connectionsAccepted = 0
        /// Connections refused because of `connectionsMax` or a shutdown.
        public var connectionsRefused = 0
        /// Connections open now.
        public var connectionsOpen = 0
        /// Calls whose headers have begun to arrive.
        public var callsStarted = 0
        /// Calls that have ended in any way.
        public var callsEnded = 0
        /// Calls that ended with a status other than OK.
        public var callsFailed = 0
        /// Bytes received on HTTP/2 connections.
        public var bytesReceived = 0
        /// Bytes sent on HTTP/2 connections.
        public var bytesSent = 0
    }

    /// The address the server listens on.
    public let host: String
    /// The port the server listens on; the one the system chose where 0 was asked for.
    public let port: Int

    private enum Phase {
        case running
        case stopping([CheckedContinuation<Void, Never>])
        case stopped
    }

    private let group: MultiThreadedEventLoopGroup
    private let listener: any Channel
    private let loops: [ServerLoop]
    private let registry: ConnectionRegistry
    private let waiting: ConnectionRegistry
    private let logger: Logger
    private let methods: [String]
    private let phase = Mutex(Phase.running)

    private init(
        group: MultiThreadedEventLoopGroup, listener: any Channel, loops: [ServerLoop], registry: ConnectionRegistry,
        waiting: ConnectionRegistry, logger: Logger, methods: [String], host: String
    ) {
        self.group = group
        self.listener = listener
        self.loops = loops
        self.registry = registry
        self.waiting = waiting
        self.logger = logger
        self.methods = methods
        self.host = listener.localAddress?.ipAddress ?? host
        self.port = listener.localAddress?.port ?? 0
    }

    /// Starts to listen; when it returns, connections are accepted.
    /// - Parameters:
    ///   - host: A name or an IP address.
    ///   - port: 0 ... 65535; with 0 the system chooses a free one.
    ///   - threads: Event loops, each with a thread; 1 or more.
    ///   - configuration: Limits and times.
    ///   - router: The methods.
    ///   - logger: For the server's messages.
    /// - Throws: `.addressInUse`; `.cannotListen` for every other reason. Nothing is left running.
    public static func start(
        host: String, port: Int, threads: Int, configuration: RPCServerConfiguration = RPCServerConfiguration(),
        router: RPCRouter, logger: Logger
    ) async throws(RPCError) -> RPCServer {
        precondition(threads > 0)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        let memory = MemoryBudget(bytesMax: configuration.bufferedBytesMax, loopCount: threads)
        let contexts = group.makeIterator().map {
            LoopContext(eventLoop: $0, memory: memory, methodCount: router.methods.count)
        }
        let shared = ServerShared(
            configuration: configuration, router: router, counters: contexts.map(\.counters), logger: logger)
        let registry = ConnectionRegistry(limit: configuration.connectionsMax)
        let waiting = ConnectionRegistry(limit: .max)
        let loops = contexts.map { ServerLoop(context: $0, shared: shared, registry: registry, waiting: waiting) }
        let byEventLoop = Dictionary(uniqueKeysWithValues: loops.map { (ObjectIdentifier($0.context.eventLoop), $0) })
        var bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                guard let loop = byEventLoop[ObjectIdentifier(channel.eventLoop)] else {
                    return channel.eventLoop.makeFailedFuture(ConnectionRefused())
                }
                do {
                    return try loop.open(channel)
                } catch {
                    return channel.eventLoop.makeFailedFuture(error)
                }
            }
        if configuration.tls != nil {
            // One read for each turn, so that what is decrypted in a turn has a bound.
            bootstrap =
                bootstrap
                .childChannelOption(.maxMessagesPerRead, value: 1)
                .childChannelOption(
                    .recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: TLSDoor.receiveBytes))
        }
        do {
            let listener = try await bootstrap.bind(host: host, port: port).get()
            for loop in loops { loop.context.eventLoop.execute { loop.startSweeping() } }
            return RPCServer(
                group: group, listener: listener, loops: loops, registry: registry, waiting: waiting, logger: logger,
                methods: router.paths, host: host)
        } catch {
            await shutdown(group, logger: logger)
            throw listenError(error, host: host, port: port)
        }
    }

    /// Stops: no new connections or streams, streaming calls end with the configuration's `shutdownStatus`, unary calls
    /// that run are answered, then each connection is closed.
    ///
    /// Safe to call more than once; every call returns when the server has stopped.
    /// - Parameter deadline: After this time connections that are still open are closed as they are.
    public func shutdownGracefully(deadline: Duration) async {
        await withCheckedContinuation { continuation in
            let isFirst = phase.withLock { phase -> Bool? in
                switch phase {
                case .running:
                    phase = .stopping([continuation])
                    return true
                case .stopping(let waiters):
                    phase = .stopping(waiters + [continuation])
                    return false
                case .stopped: return nil
                }
            }
            switch isFirst {
            case nil: continuation.resume()
            case .some(false): break
            case .some(true): Task { await self.stop(deadline) }
            }
        }
    }

    /// The counters now; the numbers are read one after the other while the server runs.
    public var counters: Counters {
        var result = Counters()
        for loop in loops {
            let counters = loop.context.counters
            result.connectionsAccepted += counters.connectionsAccepted.load(ordering: .relaxed)
            result.connectionsRefused += counters.connectionsRefused.load(ordering: .relaxed)
            result.callsStarted += counters.callsStarted.load(ordering: .relaxed)
            result.callsEnded += counters.callsEnded.load(ordering: .relaxed)
            result.callsFailed += counters.callsFailed.load(ordering: .relaxed)
            result.bytesReceived += counters.bytesReceived.load(ordering: .relaxed)
            result.bytesSent += counters.bytesSent.load(ordering: .relaxed)
        }
        result.connectionsOpen = registry.count
        return result
    }

    /// Calls of one method since the start.
    package struct CallCount: Sendable {
        /// The path, as `/etcdserverpb.KV/Range`.
        package let path: String
        /// Calls that were handed to the handler.
        package let began: Int
        /// Those that ended, by code.
        package let ended: [RPCStatus.Code: Int]
        /// Seconds, and how many ended within that time.
        package let atMost: [(seconds: Double, count: Int)]
        /// How long all that ended took.
        package let seconds: Double
    }

    /// Calls of each method; read one after the other while the server runs.
    package var callCounts: [CallCount] {
        methods.enumerated().map { index, path in
            var sum = CallCounters.Counts()
            for loop in loops { sum.add(loop.context.calls.counts(ofMethod: index)) }
            let ended = RPCStatus.Code.allCases.map { ($0, sum.ended[Int($0.rawValue)]) }
            var total = 0
            let atMost = zip(CallCounters.bounds, sum.times).map { bound, count in
                total += count
                return (Double(bound) / 1_000_000_000, total)
            }
            return CallCount(
                path: path, began: sum.began, ended: Dictionary(uniqueKeysWithValues: ended), atMost: atMost,
                seconds: Double(sum.nanoseconds) / 1_000_000_000)
        }
    }

    private func stop(_ deadline: Duration) async {
        do {
            try await listener.close()
        } catch {
            logger.debug("the listener was closed already", metadata: ["error": "\(error)"])
        }
        for loop in loops { loop.context.eventLoop.execute { loop.beginShutdown() } }
        let timer = loops[0].context.eventLoop.scheduleTask(in: .nanoseconds(deadline.nanoseconds)) {
            self.registry.stopWaiting()
        }
        await registry.waitUntilEmpty()
        timer.cancel()
        for loop in loops { loop.context.eventLoop.execute { loop.closeAll() } }
        let patience = loops[0].context.eventLoop.scheduleTask(in: .seconds(10)) { self.waiting.stopWaiting() }
        await waiting.waitUntilEmpty()
        patience.cancel()
        await Self.shutdown(group, logger: logger)
        let waiters = phase.withLock { phase -> [CheckedContinuation<Void, Never>] in
            guard case .stopping(let waiters) = phase else { return [] }
            phase = .stopped
            return waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    private static func shutdown(_ group: MultiThreadedEventLoopGroup, logger: Logger) async {
        do {
            try await group.shutdownGracefully()
        } catch {
            logger.warning("an event loop did not stop in order", metadata: ["error": "\(error)"])
        }
    }

    private static func listenError(_ error: any Error, host: String, port: Int) -> RPCError {
        let address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        if let error = error as? IOError, error.errnoCode == EADDRINUSE {
            return RPCError(
                .addressInUse,
                "cannot listen on \(address): another process uses the address; stop it or choose another port",
                cause: error)
        }
        return RPCError(.cannotListen, "cannot listen on \(address): \(SystemReason.text(error))", cause: error)
    }
}
