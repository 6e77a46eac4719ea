import ArgumentParser
import Dispatch
import FoundationEssentials
import Glibc
import Logging
import RPC
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
            these that has it counts. When the node takes requests, one line on standard output says where.

              --config FILE
                  Reads settings from a TOML file. Environment: T4_CONFIG.
            \(Configuration.flagHelp)

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
        let configuration: Configuration
        do {
            configuration = try ConfigurationSource(arguments: arguments).load(registry)
        } catch {
            throw fail(error)
        }
        let logger = Logger(label: "t4") { label in
            LineLogHandler(
                label: label, level: configuration.log.level.loggerLevel, format: configuration.log.format)
        }
        for warning in configuration.warnings { logger.warning("\(warning)") }
        try await serve(configuration, registry, logger)
    }

    private func serve(_ configuration: Configuration, _ registry: BackendRegistry, _ logger: Logger) async throws {
        // Writing to a connection or pipe whose reader is gone must give an error, not end the process.
        signal(SIGPIPE, SIG_IGN)
        let (reasons, reason) = AsyncStream.makeStream(of: StopReason.self)
        let signals = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { reason.yield(.signal(number)) }
            source.resume()
            return source
        }
        defer { for source in signals { source.cancel() } }

        let node: Node
        let server: EtcdServer
        do {
            node = try Node.start(
                NodeConfiguration(configuration) { reason.yield(.failure("\($0)")) }, registry: registry,
                logger: logger)
        } catch {
            throw fail(error)
        }
        do {
            let listen = configuration.node.listen
            server = try await EtcdServer.start(
                node: node, host: listen.host, port: listen.port, settings: EtcdServerSettings(configuration),
                logger: logger)
        } catch {
            do { try node.stop() } catch { logger.error("the node did not close cleanly: \(error)") }
            throw fail(error)
        }
        let host = server.host == "0.0.0.0" ? "127.0.0.1" : server.host == "::" ? "[::1]" : server.host
        StandardOutput.writeLine("t4 is ready: etcd endpoint http://\(host):\(server.port)")
        StandardOutput.writeLine("  try: etcdctl --endpoints=\(host):\(server.port) put /hello world")

        var failed = false
        for await reason in reasons {
            switch reason {
            case .signal(let number): logger.info("stopping", metadata: ["signal": "\(number)"])
            case .failure: failed = true
            }
            break
        }
        await server.stop(deadline: .seconds(3))
        do {
            try node.stop()
        } catch {
            throw fail(error)
        }
        if failed { throw ExitCode.failure }
        logger.info("stopped")
    }

    private enum StopReason {
        case signal(Int32)
        case failure(String)
    }
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
            file: file, environment: ProcessInfo.processInfo.environment, flags: flags,
            engineNames: registry.engineNames)
    }
}

extension NodeConfiguration {
    init(_ configuration: Configuration, onFailure: @escaping @Sendable (any Error) -> Void) {
        self.init(
            dataDirectory: configuration.node.dataDirectory, engine: configuration.engine.type,
            engineSettings: configuration.engine.settings)
        segmentSizeMax = configuration.wal.segmentSizeMax.bytes
        segmentAgeMax = configuration.wal.segmentAgeMax
        txnOperationsMax = configuration.server.txnOperationsMax
        queueCountMax = configuration.commit.queueRequestsMax
        queueBytesMax = configuration.commit.queueBytesMax.bytes
        leaseTTLMin = configuration.lease.ttlMin.components.seconds
        watchProgressInterval = configuration.watch.progressInterval
        self.onFailure = onFailure
    }
}

extension EtcdServerSettings {
    init(_ configuration: Configuration) {
        self.init(name: configuration.node.id)
        let listen = configuration.node.listen
        // A wildcard is no address that a client could dial.
        if listen.port != 0, ["0.0.0.0", "::"].contains(listen.host) {
            clientURLs = ["http://\(ListenAddress(host: "127.0.0.1", port: listen.port))"]
        }
        requestSizeMax = configuration.server.requestSizeMax.bytes
        txnOperationsMax = configuration.server.txnOperationsMax
        threads = configuration.server.threads > 0 ? configuration.server.threads : EtcdServerSettings.defaultThreads
        transport.messageSizeMax = requestSizeMax + 512 * 1024
        transport.concurrentStreamsMax = configuration.server.concurrentStreamsMax
        transport.connectionsMax = configuration.server.connectionsMax
        transport.keepaliveTime = configuration.server.keepaliveInterval
        transport.keepaliveTimeout = configuration.server.keepaliveTimeout
        transport.pingIntervalMin = configuration.server.keepaliveTimeMin
        transport.permitsPingsWithoutCalls = configuration.server.keepalivePermitWithoutStream
    }

    /// One event loop for each two processors: the commit and apply threads need theirs.
    private static var defaultThreads: Int { max(1, ProcessInfo.processInfo.activeProcessorCount / 2) }
}
