import NIOCore
import NIOPosix
import Synchronization

/// One connection to a gRPC server with any number of concurrent calls.
///
/// When the connection is lost every call fails with UNAVAILABLE, later ones too; there is no reconnecting. The
/// connection is closed with the last reference to the client, so keep one while calls run.
public final class RPCClient: Sendable {
    private let channel: any Channel
    private let connection: ClientConnection

    private init(channel: any Channel, connection: ClientConnection) {
        self.channel = channel
        self.connection = connection
    }

    // The event loop of a channel that is closed may be gone.
    deinit { if channel.isActive { channel.close(promise: nil) } }

    /// Connects.
    /// - Parameters:
    ///   - host: A name or an IP address.
    ///   - port: 1 ... 65535.
    ///   - configuration: Limits and times.
    ///   - loops: Threads to run on; nil: threads that the whole process shares.
    /// - Throws: `.cannotConnect`.
    public static func connect(
        host: String, port: Int, configuration: RPCClientConfiguration = RPCClientConfiguration(),
        loops: RPCEventLoops? = nil
    ) async throws(RPCError) -> RPCClient {
        let authority = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        let methods = ClientMethods(authority: authority, configuration: configuration)
        let eventLoop = loops?.next() ?? MultiThreadedEventLoopGroup.singleton.next()
        let loop = LoopContext(eventLoop: eventLoop)
        // A name may have several addresses, which are tried in turn: each channel has a connection of its own.
        let attempts = Mutex<[ObjectIdentifier: ClientConnection]>([:])
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(.nanoseconds(configuration.connectTimeout.nanoseconds))
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = ClientConnection(
                        loop: loop, configuration: configuration, methods: methods, address: authority)
                    attempts.withLock { $0[ObjectIdentifier(channel)] = connection }
                    try channel.pipeline.syncOperations.addHandler(connection)
                    connection.handshake = try configuration.tls?.add(to: channel, host: host)
                }
            }
        do {
            let channel = try await bootstrap.connect(host: host, port: port).get()
            guard let connection = attempts.withLock({ $0[ObjectIdentifier(channel)] }) else {
                preconditionFailure("a channel that was not set up")
            }
            // Closes the channel if it throws.
            let client = RPCClient(channel: channel, connection: connection)
            if configuration.tls != nil { try await client.finishHandshake() }
            return client
        } catch {
            throw RPCError(
                .cannotConnect, "cannot connect to \(authority): \(SystemReason.text(error))", cause: error)
        }
    }

    private func finishHandshake() async throws {
        let channel = channel
        let timer = channel.eventLoop.scheduleTask(
            in: .nanoseconds(connection.configuration.connectTimeout.nanoseconds)
        ) { channel.close(promise: nil) }
        defer { timer.cancel() }
        try await channel.eventLoop.flatSubmit { [connection] in
            connection.handshake ?? channel.eventLoop.makeSucceededVoidFuture()
        }.get()
    }

    /// Connects to a server's connection in this process; on the event loop of both.
    /// - Returns: The client and the server's end.
    static func connectInside(
        _ server: ServerConnection, on loop: LoopContext
    ) throws -> (client: RPCClient, end: any Channel) {
        let configuration = RPCClientConfiguration()
        let connection = ClientConnection(
            loop: loop, configuration: configuration,
            methods: ClientMethods(authority: "localhost", configuration: configuration), address: "localhost")
        let (end, channel) = try LocalChannel.connect(on: loop.eventLoop, server, connection)
        return (RPCClient(channel: channel, connection: connection), end)
    }

    /// False once the connection is lost or closed.
    public var isConnected: Bool { channel.isActive }

    /// The method of a path, for calls that are to cost little.
    public func method(_ path: String) -> RPCMethod { connection.methods.method(path) }

    /// Makes a unary call. A cancelled task cancels it.
    /// - Parameters:
    ///   - path: `/service/method`.
    ///   - message: The request message.
    ///   - timeout: Sent as deadline, and kept here too; nil: none.
    ///   - metadata: Names in lower case.
    /// - Returns: The answer's message.
    /// - Throws: Every status but OK. UNAVAILABLE and DEADLINE_EXCEEDED do not tell whether the call took effect.
    public func unary(
        _ path: String, _ message: [UInt8], timeout: Duration? = nil, metadata: [(String, String)] = []
    ) async throws(RPCStatus) -> [UInt8] {
        let method = method(path)
        let slot = CancellationSlot()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Result<[UInt8], RPCStatus>, Never>) in
                let call = start(method, message, timeout: timeout, metadata: metadata) { result in
                    continuation.resume(returning: result)
                }
                slot.set(call)
            }
        } onCancel: {
            slot.cancel()
        }
        return try result.get()
    }

    /// Starts a unary call; the cheapest way, for load generators. From any thread, best from the client's own loop
    /// (see `execute`), as within `completion`.
    /// - Parameter completion: Called once, on the client's event loop; must not block. If the connection is lost it
    ///   may be called before this returns.
    @discardableResult
    public func start(
        _ method: RPCMethod, _ message: [UInt8], timeout: Duration? = nil, metadata: [(String, String)] = [],
        completion: @escaping @Sendable (Result<[UInt8], RPCStatus>) -> Void
    ) -> ClientCall {
        let call = ClientCall(
            client: connection, method: method, timeout: timeout?.nanoseconds, metadata: metadata,
            receiver: .unary(completion, message))
        call.start()
        return call
    }

    /// Starts a call with streaming in one or both directions.
    /// - Parameter makeHandler: Called on the client's event loop; the handler gets everything that happens there.
    @discardableResult
    public func stream(
        _ method: RPCMethod, timeout: Duration? = nil, metadata: [(String, String)] = [],
        _ makeHandler: @escaping @Sendable (ClientCall) -> any ClientStreamHandler
    ) -> ClientCall {
        let call = ClientCall(
            client: connection, method: method, timeout: timeout?.nanoseconds, metadata: metadata,
            receiver: .stream(makeHandler))
        call.start()
        return call
    }

    /// Runs something on the client's event loop, where starting calls is cheapest. It must not block.
    public func execute(_ body: @escaping @Sendable () -> Void) { connection.loop.eventLoop.execute(body) }

    /// Closes the connection; calls that are open fail with UNAVAILABLE. Safe to call more than once.
    public func close() async {
        let connection = connection
        connection.loop.eventLoop.execute { connection.closeByClient() }
        await withCheckedContinuation { continuation in
            channel.closeFuture.whenComplete { _ in continuation.resume() }
        }
    }
}

/// Brings a task's cancellation to a call that may not have been made yet.
private final class CancellationSlot: Sendable {
    private let state = Mutex<(call: ClientCall?, isCancelled: Bool)>((nil, false))

    func set(_ call: ClientCall) {
        let isCancelled = state.withLock { state in
            state.call = call
            return state.isCancelled
        }
        if isCancelled { call.cancel() }
    }

    func cancel() {
        let call = state.withLock { state in
            state.isCancelled = true
            return state.call
        }
        call?.cancel()
    }
}
