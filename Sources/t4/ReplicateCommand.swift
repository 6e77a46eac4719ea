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

/// `t4 replicate`: a mirror of a running etcd, for a move to t4.
struct ReplicateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replicate",
        abstract: "Follow a running etcd in a data directory, at the same revisions.",
        discussion: """
            A directory that does not exist, or is empty, is filled from a snapshot of the source; after that, and in a \
            directory that followed the same source before, each revision of the source is written as one revision here. \
            Leases do not expire in the mirror: what the source deletes is deleted. Compactions are followed. Users and \
            roles come with the snapshot; what changes in them afterwards is reported, and not followed, nor are alarms.

            Nothing is served meanwhile. To move, stop whoever writes to the source, run the command with \
            --until-caught-up, and start the directory with `t4 run`: from then on it follows nothing any more.

            Exit codes: 0 when the goal is reached or a signal ended it, 1 when it cannot go on, 64 when the command line \
            or the configuration is wrong.
            """)

    @Option(help: "The source: HOST:PORT, http://HOST:PORT, or https://HOST:PORT.")
    var from: String

    @OptionGroup var tls: ClientTLSOptions

    @OptionGroup var login: SourceLogin

    @Option(help: "End once this revision is here; take none behind it.")
    var untilRevision: Int64?

    @Flag(help: "End once everything is here that the source had when it was reached.")
    var untilCaughtUp = false

    @Option(help: "How often leases and compactions are looked at, and the lag is reported: 5s, 1m.")
    var interval = "5s"

    @Option(help: "The engine of a new directory; else that of the configuration.")
    var engine: String?

    @OptionGroup var options: StoreOptions

    func validate() throws {
        guard Endpoint(from) != nil else { throw ValidationError("\(from) is no address: HOST:PORT is wanted") }
        try tls.validate(endpoint: from)
        guard untilRevision == nil || !untilCaughtUp else {
            throw ValidationError("--until-revision and --until-caught-up cannot be had together")
        }
        if let untilRevision, untilRevision < 1 { throw ValidationError("--until-revision must be 1 or more") }
        guard let pause = Duration(parsing: interval), pause > .zero else {
            throw ValidationError("--interval must be a time above zero, such as 5s")
        }
        try login.validate()
    }

    func run() async throws {
        do {
            var configuration = try options.configuration()
            guard configuration.origins["node.data_dir"] != nil else {
                throw ValidationError("name the directory of the mirror with --data-dir")
            }
            try configuration.requirePresentStore(for: "t4 replicate")
            if let engine { configuration.engine.type = engine }
            let style = LogStyle(level: configuration.log.level, format: configuration.log.format)
            let logger = Logger(label: "t4") { LineLogHandler(label: $0, style: style) }
            guard let endpoint = Endpoint(from) else { preconditionFailure("validated") }
            var connection = RPCClientConfiguration.following
            connection.tls = try tls.load(endpoint: from)
            let settings = connection
            let source = EtcdSource(user: try login.load()) {
                try await RPCClient.connect(host: endpoint.host, port: endpoint.port, configuration: settings)
            }
            let revision: Revision
            do {
                revision = try await mirror(source, configuration, logger)
            } catch {
                await source.close()
                throw error
            }
            await source.close()
            StandardOutput.writeLine("The mirror stands at revision \(revision).")
        } catch let error as ValidationError {
            throw error
        } catch let status as RPCStatus {
            throw fail(SourceLogin.explained(status, from))
        } catch {
            throw fail(error)
        }
    }

    private var goal: EtcdMirror.Goal {
        if let untilRevision { return .revision(Revision(untilRevision)) }
        return untilCaughtUp ? .caughtUp : .none
    }

    /// Makes the directory where there is none, and follows.
    /// - Returns: Where the mirror stands.
    private func mirror(
        _ source: EtcdSource, _ configuration: Configuration, _ logger: Logger
    ) async throws -> Revision {
        signal(SIGPIPE, SIG_IGN)
        let cluster = try await source.status().cluster
        let directory = configuration.node.dataDirectory
        if try !FileManager.default.fileExists(atPath: directory)
            || FileManager.default.contentsOfDirectory(atPath: directory).isEmpty
        {
            try await options.requireNewStore(configuration, logger)
            let report = try await EtcdMirror.makeDirectory(
                of: source, cluster, configuration.importDestination(engine: nil), registry: .builtIn, logger: logger)
            ImportTexts.warn(report)
            logger.notice(
                "the data directory was filled from a snapshot",
                metadata: ["revision": "\(report.revision)", "keys": "\(report.keyCount)"])
        }
        return try await follow(source, cluster, configuration, logger)
    }

    private func follow(
        _ source: EtcdSource, _ cluster: UInt64, _ configuration: Configuration, _ logger: Logger
    ) async throws -> Revision {
        let (ends, end) = AsyncStream.makeStream(of: Ending.self)
        let signals = [SIGINT, SIGTERM].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { end.yield(.signal) }
            source.resume()
            return source
        }
        defer { for source in signals { source.cancel() } }
        var settings = NodeConfiguration(configuration, .configured) { end.yield(.failed($0)) }
        settings.mirroredCluster = cluster
        // The source decides what goes and how large everything may get.
        settings.retention = nil
        settings.quotaBytes = nil
        let node = try await Node.start(settings, registry: .builtIn, logger: logger)
        let mirror = EtcdMirror(
            source, of: cluster, to: node, until: goal, interval: Duration(parsing: interval) ?? .seconds(5),
            logger: logger)
        let following = Task {
            do {
                try await mirror.run()
                end.yield(.arrived)
            } catch {
                end.yield(.failed(error))
            }
        }
        var failure: (any Error)?
        for await ending in ends {
            if case .failed(let error) = ending { failure = error }
            break
        }
        following.cancel()
        await following.value
        let revision = node.revision
        do {
            try await node.stop()
        } catch {
            failure = failure ?? error
        }
        if let failure { throw failure }
        return revision
    }

    private enum Ending: Sendable {
        case arrived
        case signal
        case failed(any Error)
    }
}

extension RPCClientConfiguration {
    /// For a connection that is to notice when the other side is gone.
    static var following: RPCClientConfiguration {
        var configuration = RPCClientConfiguration()
        configuration.keepaliveTime = .seconds(10)
        return configuration
    }
}
