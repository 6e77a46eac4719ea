import ArgumentParser
import Dispatch
import FoundationEssentials
import Glibc
import Logging
import RPC
import Synchronization
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols
import T4Server

/// `t4 run`: one node until SIGINT or SIGTERM.
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run a node.",
        usage: "t4 run [--config FILE] [SETTINGS]",
        discussion: """
            Every setting can be given as a flag, as an environment variable or in the file of --config; the first of \
            these that has it counts. When the node takes requests, one line on standard output says where. On SIGHUP \
            it reads the configuration again and says in its log what counts at once and what needs a restart.

              --config FILE
                  Reads settings from a TOML file. Environment: T4_CONFIG.
            \(Configuration.flagHelp(.builtIn))

            Exit codes: 0 when a signal ended the node, 1 when it could not start or has failed, 64 when the command \
            line or the configuration is wrong.
            """)

    @Argument(parsing: .captureForPassthrough, help: .hidden)
    var arguments: [String] = []

    func run() async throws {
        if arguments.contains("--help") || arguments.contains("-h") {
            StandardOutput.writeLine(RunCommand.helpMessage())
            return
        }
        let registry = BackendRegistry.builtIn
        let source: ConfigurationSource
        let configuration: Configuration
        do {
            source = try ConfigurationSource(arguments: arguments)
            configuration = try source.load(registry)
            try configuration.requirePresentStore(for: "t4 run")
        } catch {
            throw fail(error)
        }
        let style = LogStyle(
            level: configuration.log.level, format: configuration.log.format, node: configuration.node.id)
        let logger = Logger(label: "t4") { LineLogHandler(label: $0, style: style) }
        for warning in configuration.warnings { logger.warning("\(warning)") }
        let slowRequests = SlowRequests(logger: logger)
        slowRequests.set(configuration.log.slowRequest)
        let reload = Reload(
            source: source, registry: registry, style: style, slowRequests: slowRequests, running: configuration)
        try await serve(configuration, registry, logger, reload)
    }

    private func serve(
        _ configuration: Configuration, _ registry: BackendRegistry, _ logger: Logger, _ reload: Reload
    ) async throws {
        // Writing to a connection or pipe whose reader is gone must give an error, not end the process.
        signal(SIGPIPE, SIG_IGN)
        let (wakes, wake) = AsyncStream.makeStream(of: Wake.self)
        let hasEndSignal = Atomic(false)
        // Until a source is there, a signal ends the process, which has opened nothing yet. Were signals ignored before, one
        // that came in between would be lost.
        let signals = [SIGINT, SIGTERM, SIGHUP].map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                if number != SIGHUP { hasEndSignal.store(true, ordering: .releasing) }
                wake.yield(number == SIGHUP ? .reload : .signal(number))
            }
            source.resume()
            return source
        }
        defer { for source in signals { source.cancel() } }

        let descriptors = DescriptorLimit.raise(logger)
        var (reload, configuration) = (reload, configuration)
        while true {
            let end = try await serveOnce(&configuration, registry, logger, descriptors, wakes, wake, &reload)
            switch end {
            case .signal: return logger.info("stopped")
            case .failure: throw ExitCode.failure
            case .behind:
                if hasEndSignal.load(ordering: .acquiring) { return logger.info("stopped") }
                logger.notice("the node starts anew")
            }
        }
    }

    /// One life of a node. A port that the system chose stays that of the next one.
    private func serveOnce(
        _ configuration: inout Configuration, _ registry: BackendRegistry, _ logger: Logger,
        _ descriptors: DescriptorLimit,
        _ wakes: AsyncStream<Wake>, _ wake: AsyncStream<Wake>.Continuation, _ reload: inout Reload
    ) async throws -> End {
        let node: Node
        let server: EtcdServer
        let tls: RPCServerTLS?
        let signedTokens: SignedTokens?
        var cluster: OpenedCluster?
        do {
            tls = try configuration.clientTLS.load(logger)
            signedTokens = try configuration.auth.loadSignedTokens(logger)
            var choice = NodeConfiguration.StoreChoice.configured
            if let time = configuration.restore.pointTime {
                choice = try await restorePoint(configuration, time, registry, logger)
            }
            var settings = NodeConfiguration(configuration, choice) { failure in
                wake.yield((failure as? Replicator.End)?.endsWithANewStart ?? false ? .behind : .failure)
            }
            cluster = try await OpenedCluster.open(configuration, registry, logger)
            cluster?.join(&settings)
            node = try await Node.start(settings, registry: registry, logger: logger)
        } catch {
            await cluster?.close()
            throw fail(error)
        }
        let opened = cluster
        do {
            let listen = configuration.node.listen
            var settings = EtcdServerSettings(configuration)
            settings.transport.connectionsMax = descriptors.connections(
                wished: settings.transport.connectionsMax, logger)
            settings.transport.tls = tls
            settings.signedTokens = signedTokens
            settings.slowRequests = reload.slowRequests
            settings.version = Version.text
            server = try await EtcdServer.start(
                node: node, host: listen.host, port: listen.port, settings: settings, logger: logger)
        } catch {
            do { try await node.stop() } catch { logger.error("the node did not close cleanly: \(error)") }
            await opened?.close()
            throw fail(error)
        }
        configuration.node.listen.port = server.port
        if !configuration.auth.isEnforced {
            logger.warning("auth.enabled is false: the node serves everybody, whatever the database says")
        }
        let reachable = server.host == "0.0.0.0" ? "127.0.0.1" : server.host == "::" ? "::1" : server.host
        let host = reachable.contains(":") ? "[\(reachable)]" : reachable
        let (scheme, flags) = configuration.clientTLS.clientUse
        StandardOutput.writeLine("t4 is ready: etcd endpoint \(scheme)://\(host):\(server.port)")
        let endpoint = tls == nil ? "" : "\(scheme)://"
        StandardOutput.writeLine(
            "  try: etcdctl --endpoints=\(endpoint)\(host):\(server.port)\(flags) \(configuration.replica.isEnabled ? "get --prefix /" : "put /hello world")"
        )
        let manager = ServiceManager()
        manager.ready(logger)

        let end = await waitForEnd(wakes, logger, &reload)
        if end != .behind { manager.stopping(logger) }
        await server.stop(deadline: .seconds(3))
        do {
            try await node.stop()
        } catch {
            await opened?.close()
            throw fail(error)
        }
        await opened?.close()
        return end
    }

    /// Reloads as often as it is asked to.
    private func waitForEnd(_ wakes: AsyncStream<Wake>, _ logger: Logger, _ reload: inout Reload) async -> End {
        for await wake in wakes {
            switch wake {
            case .reload: reload.run(logger)
            case .signal(let number):
                logger.info("stopping", metadata: ["signal": "\(number)"])
                return .signal
            case .failure: return .failure
            case .behind: return .behind
            }
        }
        return .signal
    }

    /// What happens while a node runs.
    private enum Wake {
        case signal(Int32)
        case reload
        case failure
        case behind
    }

    /// Why a node does not run any more.
    private enum End {
        case signal
        case failure
        /// What it has is too old, or given up by the cluster: it starts anew.
        case behind
    }
}

/// Fills an empty data directory with a moment of the configured store, for a node that works on a store of its own inside
/// that directory from then on: the configured one is only read.
private func restorePoint(
    _ configuration: Configuration, _ time: Timestamp, _ registry: BackendRegistry, _ logger: Logger
) async throws -> NodeConfiguration.StoreChoice {
    let directory = configuration.node.dataDirectory
    if configuration.storePlace != .outside {
        throw CommandFailure(
            description: "restore.point_time names a moment of a store outside of the data directory, and none is "
                + "configured")
    }
    if try !FileManager.default.fileExists(atPath: directory)
        || FileManager.default.contentsOfDirectory(atPath: directory).isEmpty
    {
        let opened = try await OpenedStore.open(configuration, registry, logger: logger)
        do {
            let point = RestorePoint(store: opened.root, prefix: opened.prefix, target: .time(time.nanoseconds))
            let report = try await point.restore(
                into: RestoreDestination(
                    dataDirectory: directory, engine: configuration.engine.type,
                    engineSettings: configuration.engine.settings), registry: registry, logger: logger)
            logger.notice(
                "the data directory was filled", metadata: ["revision": "\(report.revision)", "time": "\(time)"])
        } catch {
            await opened.close()
            throw opened.explained(error)
        }
        await opened.close()
    }
    return .inside
}

/// Where `run` and `config` read settings from: the arguments, the environment, and the file that either names.
struct ConfigurationSource {
    var file: String?
    var flags: [String: String]

    /// Takes `--config` out of the arguments.
    init(arguments: [String]) throws(ConfigurationError) {
        flags = try Configuration.parseFlags(arguments)
        file = flags.removeValue(forKey: "config") ?? ProcessInfo.processInfo.environment["T4_CONFIG"]
        if file?.isEmpty == true { file = nil }
    }

    func load(_ registry: BackendRegistry) throws(ConfigurationError) -> Configuration {
        try Configuration.load(
            file: file, environment: ProcessInfo.processInfo.environment, flags: flags, registry: registry)
    }
}

extension NodeConfiguration {
    /// Which store a node uses.
    enum StoreChoice {
        case configured
        /// The filesystem store inside the data directory, whatever is configured.
        case inside
    }

    init(
        _ configuration: Configuration, _ choice: StoreChoice, onFailure: @escaping @Sendable (any Error) -> Void
    ) {
        self.init(
            dataDirectory: configuration.node.dataDirectory, engine: configuration.engine.type,
            engineSettings: configuration.engine.settings)
        segmentSizeMax = configuration.wal.segmentSizeMax.bytes
        segmentAgeMax = configuration.wal.segmentAgeMax
        txnOperationsMax = configuration.server.txnOperationsMax
        queueCountMax = configuration.commit.queueRequestsMax
        queueBytesMax = configuration.commit.queueBytesMax.bytes
        leaseTTLMin = configuration.lease.ttlMin.components.seconds
        tokenTTL = configuration.auth.tokenTTL
        watchProgressInterval = configuration.watch.progressInterval
        watchesMax = configuration.watch.watchesMax
        retention = configuration.compaction.nodeRetention
        quotaBytes = configuration.server.quota.bytes
        let checkInterval = configuration.server.corruptCheckInterval
        corruptCheckInterval = checkInterval == .zero ? nil : checkInterval
        durability = choice == .inside ? .local : configuration.wal.durability
        name = configuration.node.id
        software = "t4 \(Version.text)"
        store = NodeStore(configuration, choice)
        if configuration.replica.isEnabled {
            replicaInterval = configuration.replica.interval
            // A store inside of the directory would be its own.
            if configuration.storePlace != .outside { (store, durability) = (nil, .local) }
        }
        self.onFailure = onFailure
    }
}

extension NodeStore {
    /// Nil for a node without a store.
    fileprivate init?(_ configuration: Configuration, _ choice: NodeConfiguration.StoreChoice) {
        switch choice {
        case .configured:
            guard configuration.storePlace != .none else { return nil }
            self.init(
                .registered(configuration.store.type, settings: configuration.store.settings),
                prefix: configuration.store.prefix, isInside: configuration.storePlace == .inside)
        case .inside:
            self.init(.registered("filesystem", settings: NoSettings()), isInside: true)
        }
        if !configuration.branch.checkpoint.isEmpty {
            branch = BranchPoint(prefix: configuration.branch.prefix, configuration.branch.checkpoint)
        }
        uploadsInFlight = configuration.wal.uploadsInFlightMax
        uploadAgeMax = configuration.wal.segmentAgeMax
        let interval = configuration.checkpoint.interval
        checkpoints.interval = interval == .zero ? nil : interval
        checkpoints.entries = UInt64(configuration.checkpoint.entries)
        checkpoints.beginsAnew = configuration.checkpoint.beginsAnew
        if configuration.checkpoint.collects { collection = CollectionPolicy(configuration) }
    }
}

extension EtcdServerSettings {
    init(_ configuration: Configuration) {
        self.init(name: configuration.node.id)
        clientURLs = configuration.clientURLs
        peerScheme = configuration.peerTLS.isOn ? "https" : "http"
        requestSizeMax = configuration.server.requestSizeMax.bytes
        txnOperationsMax = configuration.server.txnOperationsMax
        enforcesAuth = configuration.auth.isEnforced
        bcryptCost = configuration.auth.bcryptCost
        threads = configuration.server.threads > 0 ? configuration.server.threads : EtcdServerSettings.defaultThreads
        transport.messageSizeMax = requestSizeMax + 512 * 1024
        transport.concurrentStreamsMax = configuration.server.concurrentStreamsMax
        transport.openStreamsMax = configuration.server.openStreamsMax
        transport.connectionsMax = configuration.server.connectionsMax
        transport.headerListSizeMax = configuration.server.headerListSizeMax.bytes
        transport.outputBytesMax = configuration.server.unreadBytesMax.bytes
        transport.requestBytesMax = max(configuration.server.incompleteBytesMax.bytes, 2 * transport.messageSizeMax)
        transport.bufferedBytesMax = configuration.server.bufferedBytesMax.bytes
        transport.resetsPerSecond = configuration.server.resetsPerSecond
        transport.resetsBurst = 10 * configuration.server.resetsPerSecond
        transport.uselessFramesPerSecond = configuration.server.controlFramesPerSecond
        transport.uselessFramesBurst = 10 * configuration.server.controlFramesPerSecond
        transport.handshakeTimeout = configuration.server.handshakeTimeout
        transport.requestTimeout = configuration.server.requestTimeout
        transport.keepaliveTime = configuration.server.keepaliveInterval
        transport.keepaliveTimeout = configuration.server.keepaliveTimeout
        transport.pingIntervalMin = configuration.server.keepaliveTimeMin
        transport.permitsPingsWithoutCalls = configuration.server.keepalivePermitWithoutStream
    }

    /// One event loop for each two processors: the commit and apply threads need theirs.
    private static var defaultThreads: Int { max(1, ProcessInfo.processInfo.activeProcessorCount / 2) }
}

extension Configuration {
    /// Where clients reach the node; empty for the address that it listens on, once that is known.
    var clientURLs: [String] {
        let listen = node.listen
        guard listen.port != 0, listen.isEveryAddress else { return [] }
        // A wildcard is no address that a client could dial.
        let reachable = ListenAddress(peer.advertise) ?? peer.address
        return [url(reachable.flatMap { $0.isEveryAddress ? nil : $0.host } ?? "127.0.0.1")]
    }

    private func url(_ host: String) -> String {
        "\(clientTLS.clientUse.scheme)://\(ListenAddress(host: host, port: node.listen.port))"
    }
}
