public import Logging
public import RPC
import Synchronization
public import T4Core

/// What the server tells clients about itself, and its limits.
public struct EtcdServerSettings: Sendable {
    /// The member's name.
    public var name: String
    /// Where clients reach this node, as `member list` shows it; empty for the address it listens on.
    public var clientURLs: [String] = []
    /// How nodes of a cluster speak with each other, as `member list` shows it: http, or https with TLS.
    public var peerScheme = "http"
    /// Largest write request in bytes.
    public var requestSizeMax = 1536 * 1024
    /// Operations in one transaction.
    public var txnOperationsMax = 128
    /// Whether requests are checked once clients have turned authentication on. False serves everybody.
    public var enforcesAuth = true
    /// Cost of the hashes of passwords: 4 ... 20, each one more doubles the time that a login takes.
    public var bcryptCost = 10
    /// The tokens of logins; nil for those that the database remembers, which end when they are not used.
    public var signedTokens: SignedTokens?
    /// Event loops, each with a thread of its own; 1 or more.
    public var threads = 1
    /// What is told of requests that take long; nil: nothing.
    public var slowRequests: SlowRequests?
    /// Version of the program, for metrics.
    public var version = "unknown"
    /// Limits and times of the transport.
    public var transport = RPCServerConfiguration()

    let background = BackgroundQueue()

    /// Settings with defaults for everything but the name.
    public init(name: String) { self.name = name }
}

/// The addresses in the member list; known once the server listens.
final class AdvertisedURLs: Sendable {
    let urls = Mutex<[String]>([])
}

/// Serves a node to etcd clients on one port.
public final class EtcdServer: Sendable {
    /// Where it listens.
    public let host: String
    /// The port it listens on; the one the system chose if 0 was asked for.
    public let port: Int
    /// What the transport has counted.
    public var counters: RPCServer.Counters { server.counters }

    private let server: RPCServer
    private let background: BackgroundQueue
    private let snapshots: SnapshotWorkers
    private let logins: Logins
    private let requirement: LeaderRequirement?

    private init(
        server: RPCServer, background: BackgroundQueue, snapshots: SnapshotWorkers, logins: Logins,
        requirement: LeaderRequirement?
    ) {
        self.requirement = requirement
        self.server = server
        self.background = background
        self.logins = logins
        self.snapshots = snapshots
        host = server.host
        port = server.port
    }

    /// Listens and serves; returns when connections are accepted.
    ///
    /// The node must outlive the server: stop the server first.
    /// - Throws: `.addressInUse` and `.cannotListen`, with the address.
    public static func start(
        node: Node, host: String, port: Int, settings: EtcdServerSettings, logger: Logger
    ) async throws(RPCError) -> EtcdServer {
        let advertised = AdvertisedURLs()
        let context = ServiceContext(node: node, settings: settings, advertised: advertised)
        var router = RPCRouter()
        KVService(context: context).register(in: &router)
        WatchService(context: context).register(in: &router)
        LeaseService(context: context).register(in: &router)
        ClusterService(context: context).register(in: &router)
        MaintenanceService(context: context).register(in: &router)
        let snapshots = SnapshotWorkers()
        SnapshotService(context: context, workers: snapshots).register(in: &router)
        let logins = Logins(context: context, logger: logger)
        AuthService(context: context, logins: logins).register(in: &router)
        LockService(context: context).register(in: &router)
        ElectionService(context: context).register(in: &router)
        HealthService(context: context).register(in: &router)
        var requirement: LeaderRequirement?
        if node.isOneOfSeveral {
            let made = LeaderRequirement { node.leaderID }
            let streaming = Set(Method.all.filter { $0.streaming != .none }.map(\.path))
            router.admit { call in
                if let status = made.refusal(of: call, isStream: streaming.contains(call.path)) {
                    return .refused(status)
                }
                guard context.hasUnknownToken(call) else { return .now }
                // Another node may have issued it a moment ago.
                return .after { proceed in node.ask(.index) { _ in proceed() } }
            }
            made.start()
            requirement = made
        }
        var transport = settings.transport
        let health = HealthChecks(node)
        transport.slowCalls = settings.slowRequests?.calls
        let metrics = Metrics(
            Metrics.Parts(
                node: node, health: health, logins: logins, slowRequests: settings.slowRequests,
                version: settings.version))
        transport.http = HTTPFrontend(
            gateway: Gateway(bodySizeMax: transport.textSizeMax), health: health, metrics: metrics)
        let server = try await RPCServer.start(
            host: host, port: port, threads: settings.threads, configuration: transport, router: router,
            logger: logger)
        metrics.watch(server)
        let scheme = settings.transport.tls == nil ? "http" : "https"
        let listened = "\(scheme)://\(server.host.contains(":") ? "[\(server.host)]" : server.host):\(server.port)"
        let urls = settings.clientURLs.isEmpty ? [listened] : settings.clientURLs
        advertised.urls.withLock { $0 = urls }
        node.advertise(clientURLs: urls)
        return EtcdServer(
            server: server, background: settings.background, snapshots: snapshots, logins: logins,
            requirement: requirement)
    }

    /// Takes no new requests, answers those that were taken, ends watches and snapshots, and closes. Safe twice.
    /// - Parameter deadline: After this time connections are closed as they are.
    public func stop(deadline: Duration) async {
        await server.shutdownGracefully(deadline: deadline)
        requirement?.stop()
        snapshots.stop()
        background.stop()
        logins.stop()
    }
}
