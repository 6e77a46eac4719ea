import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import RPC
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols
import T4Server

/// `t4 backup`: a complete state of a database in one file.
struct BackupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup",
        abstract: "Write a complete, consistent state of a database into one file.",
        discussion: """
            The state is taken from the node at --endpoint, with everything that was acknowledged before; else, with a target \
            (--to-end, --checkpoint, --to-revision, --to-time), from the object store; else from the data directory that is \
            named, if it is there, whether a node runs in it or not; else from all that is in the object store. Nobody waits: \
            reads and writes go on.

            In the file are keys with their history, users, roles, leases and alarms; whoever has it has the data. `t4 \
            restore` makes a data directory of it, for any engine. A file named with --output is there once it is complete and \
            was read back, in place of one that was there before. The revision goes to standard error.

            Exit codes: 0 when the backup is complete, 1 when not, 64 when the command line or the configuration is wrong.
            """)

    @Option(help: "The file to write; - for standard output.")
    var output = "-"

    @Option(help: "Take it from this node: HOST:PORT, or https://HOST:PORT.")
    var endpoint: String?

    @OptionGroup var tls: ClientTLSOptions

    @OptionGroup var login: SourceLogin

    @OptionGroup var target: StoredTarget

    @Flag(help: "Print JSON to standard output; needs --output FILE.")
    var json = false

    @OptionGroup var options: StoreOptions

    func validate() throws {
        try target.validate()
        try login.validate()
        if let endpoint {
            guard Endpoint(endpoint) != nil else {
                throw ValidationError("\(endpoint) is no address: HOST:PORT is wanted")
            }
            try tls.validate(endpoint: endpoint)
            guard target.target == nil else {
                throw ValidationError("a node gives its newest state: --endpoint goes with no target")
            }
        }
        guard !json || output != "-" else { throw ValidationError("--json needs --output FILE") }
    }

    func run() async throws {
        do {
            signal(SIGPIPE, SIG_IGN)
            guard output != "-" || isatty(1) == 0 else {
                throw ValidationError(
                    "a backup is no text for a terminal: name a file with --output, or send it into a pipe")
            }
            let target = try BackupOutput(output)
            let revision = try await write(to: target.write)
            let file = try target.verified()
            let found = try await file.map { RestorePoint($0) }?.plan()
            try target.finish()
            if json, let file, let found {
                StandardOutput.writeLine(try JSONText.of(BackupReportText(found, size: file.size, output)))
            } else {
                StandardError.write("backed up revision \(revision)\n")
            }
        } catch let error as ValidationError {
            throw error
        } catch {
            throw fail(error)
        }
    }

    private func write(to output: @escaping Backup.Output) async throws -> Revision {
        if let endpoint { return try await write(from: endpoint, to: output) }
        let configuration = try options.configuration()
        let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
        let directory = configuration.node.dataDirectory
        let isNamed = configuration.origins["node.data_dir"] != nil
        if target.target == nil, isNamed, FileManager.default.fileExists(atPath: "\(directory)/database") {
            return try await SystemThread.run("t4-backup") {
                try Backup.write(
                    dataDirectory: directory, registry: .builtIn, logger: logger, by: configuration.node.id,
                    software: "t4 \(Version.text)", to: output
                ).revision
            }
        }
        guard isNamed || configuration.storePlace == .outside else {
            throw ValidationError("say what to back up: --endpoint, --data-dir, or the flags of an object store")
        }
        let opened = try await options.open(configuration, logger: logger)
        do {
            let report = try await RestorePoint(
                store: opened.root, prefix: opened.prefix, target: target.target ?? .end
            ).backup(to: output)
            await opened.close()
            for warning in report.warnings { StandardError.write("t4: warning: \(warning)\n") }
            return report.revision
        } catch {
            await opened.close()
            throw opened.explained(error)
        }
    }

    private func write(from address: String, to output: @escaping Backup.Output) async throws -> Revision {
        guard let endpoint = Endpoint(address) else { preconditionFailure("validated") }
        var connection = RPCClientConfiguration.following
        connection.tls = try tls.load(endpoint: address)
        let settings = connection
        let source = EtcdSource(user: try login.load()) {
            try await RPCClient.connect(host: endpoint.host, port: endpoint.port, configuration: settings)
        }
        do {
            let revision = try await source.backup(to: output)
            await source.close()
            return revision
        } catch let status as RPCStatus where status.code == .unimplemented {
            await source.close()
            throw CommandFailure(
                description: "\(address) is no node of t4; etcdctl snapshot save makes a backup of an etcd")
        } catch let status as RPCStatus {
            await source.close()
            throw SourceLogin.explained(status, address)
        } catch {
            await source.close()
            throw error
        }
    }
}

/// What `--json` prints.
private struct BackupReportText: Encodable {
    var output: String
    var database: String
    var revision: Int64
    var term: UInt64
    var index: UInt64
    var size: Int

    init(_ plan: RestorePlan, size: Int, _ output: String) {
        self.output = output
        database = plan.databaseID
        revision = plan.revision.rawValue
        (term, index) = (plan.end.term, plan.end.index)
        self.size = size
    }
}

/// Which state of an object store.
struct StoredTarget: ParsableArguments {
    @Option(help: "The checkpoint's name, as `t4 restore list` shows it.", transform: CheckpointName.parse)
    var checkpoint: String?

    @Flag(help: "Everything that is in the store.")
    var toEnd = false

    @Option(help: "The state after the write that made this revision.")
    var toRevision: Int64?

    @Option(
        help: "The state at this time, as RFC 3339 writes it: 2024-06-01T12:00:00Z. Later writes are left out.",
        transform: PointInTime.parse)
    var toTime: Timestamp?

    func validate() throws {
        let targets = [checkpoint != nil, toEnd, toRevision != nil, toTime != nil]
        guard targets.count(where: { $0 }) <= 1 else {
            throw ValidationError("--checkpoint, --to-end, --to-revision and --to-time cannot be had together")
        }
    }

    /// Nil where none is named.
    var target: RestorePoint.Target? {
        if let checkpoint { return .checkpoint(ObjectKey(checkpoint)) }
        if let toRevision { return .revision(Revision(toRevision)) }
        if let toTime { return .time(toTime.nanoseconds) }
        return toEnd ? .end : nil
    }
}

/// Who asks a server.
struct SourceLogin: ParsableArguments {
    @Option(help: "A user with the role root: NAME:PASSWORD, or NAME with --password-file.")
    var user: String?

    @Option(help: "File with the password of --user; other users of the machine can read flags.")
    var passwordFile: String?

    /// What a server has answered, with what to do about it.
    static func explained(_ status: RPCStatus, _ address: String) -> CommandFailure {
        let hint =
            switch status.message {
            case "etcdserver: user name is empty":
                "; it wants a login: name a user with the role root with --user"
            case "etcdserver: permission denied": "; the user has to have the role root"
            default: ""
            }
        return CommandFailure(description: "\(address): \(status.message)\(hint)")
    }

    func validate() throws {
        guard passwordFile == nil || user != nil else { throw ValidationError("--password-file needs --user") }
    }

    /// Nil where nobody logs in.
    func load() throws -> EtcdSource.User? {
        guard let user else { return nil }
        let parts = user.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        if let passwordFile {
            var password = try String(contentsOf: URL(filePath: passwordFile), encoding: .utf8)
            if password.last?.isNewline == true { password.removeLast() }
            return EtcdSource.User(name: user, password: password)
        }
        guard parts.count == 2, let name = parts.first, let password = parts.last else {
            throw ValidationError("--user must be NAME:PASSWORD, or NAME with --password-file")
        }
        return EtcdSource.User(name: String(name), password: String(password))
    }
}
