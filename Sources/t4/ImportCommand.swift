import ArgumentParser
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols
import T4Server

/// `t4 import`: makes a data directory from what another program wrote.
struct ImportCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Make a data directory from a database of etcd.",
        subcommands: [Snapshot.self])

    /// `t4 import etcd-snapshot`.
    struct Snapshot: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "etcd-snapshot",
            abstract: "Import a snapshot of etcd 3.4 to 3.6 into a new data directory, at the same revisions.",
            discussion: """
                FILE is what `etcdctl snapshot save` wrote, or with --skip-hash-check also member/snap/db of the data \
                directory of an etcd that is stopped. Keys with their whole history, leases, users with their passwords, \
                roles and alarms are imported; members and logins are not. Each lease gets its whole time again.

                The directory of --data-dir must not exist, or be empty; it is there once it is complete, and not at all \
                when the import fails or is killed. Start it with `t4 run`. Its object store, if it has one, must be \
                new: where one outside of the data directory is configured, the import looks.

                Exit codes: 0 when the directory is there, 1 when not, 64 when the command line or the configuration is \
                wrong.
                """)

        @Argument(help: "The file to import.")
        var file: String

        @Flag(help: "Import a file without a hash at its end, or with a wrong one.")
        var skipHashCheck = false

        @Option(help: "The engine of the new directory; else that of the configuration.")
        var engine: String?

        @Flag(help: "Print JSON.")
        var json = false

        @OptionGroup var options: StoreOptions

        func run() async throws {
            do {
                let configuration = try options.configuration()
                guard configuration.origins["node.data_dir"] != nil else {
                    throw ValidationError("name the directory to make with --data-dir")
                }
                let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
                try await options.requireNewStore(configuration, logger)
                let destination = configuration.importDestination(engine: engine)
                let (file, checksHash) = (file, !skipHashCheck)
                let report = try await SystemThread.run("t4-import") {
                    try EtcdImport(file, checksHash: checksHash)
                        .run(into: destination, registry: .builtIn, logger: logger)
                }
                ImportTexts.warn(report)
                let (directory, type) = (destination.dataDirectory, destination.engine)
                StandardOutput.writeLine(
                    json
                        ? try JSONText.of(ImportReportText(report, directory, engine: type))
                        : ImportTexts.imported(report, directory))
            } catch let error as ValidationError {
                throw error
            } catch {
                throw fail(error)
            }
        }
    }
}

extension StoreOptions {
    /// Refuses a store outside of the data directory that holds a database: the new one cannot use it.
    func requireNewStore(_ configuration: Configuration, _ logger: Logger) async throws {
        guard configuration.storePlace == .outside else { return }
        let opened = try await OpenedStore.open(configuration, .builtIn, logger: logger)
        var isTaken = true
        do {
            _ = try await opened.store.info(StoreLayout.database)
        } catch {
            guard error.code == .notFound else {
                await opened.close()
                throw opened.explained(error)
            }
            isTaken = false
        }
        await opened.close()
        guard isTaken else { return }
        throw CommandFailure(
            description:
                "\(opened.displayName) holds a database already: what is imported is a new one, and needs a prefix "
                + "of its own")
    }
}

extension Configuration {
    /// Where an import goes.
    func importDestination(engine type: String?) -> RestoreDestination {
        let type = type ?? engine.type
        return RestoreDestination(
            dataDirectory: node.dataDirectory, engine: type, engineSettings: engine.settings(of: type))
    }
}

/// What `--json` prints.
struct ImportReportText: Encodable {
    var keys: UInt64
    var versions: Int64
    var revision: Int64
    var compact_revision: Int64
    var leases: Int
    var users: Int
    var roles: Int
    var auth_enabled: Bool
    var alarms: Int
    var keys_without_lease: Int64
    var database: String
    var snapshot_bytes: UInt64
    var size_on_disk: Int
    var data_dir: String
    var engine: String

    init(_ report: EtcdImport.Report, _ directory: String, engine type: String) {
        keys = report.keyCount
        versions = report.versionCount
        revision = report.revision.rawValue
        compact_revision = report.compactedRevision.rawValue
        leases = report.leaseCount
        users = report.userCount
        roles = report.roleCount
        auth_enabled = report.isAuthEnabled
        alarms = report.alarmCount
        keys_without_lease = report.keysWithoutLease
        database = report.databaseID
        snapshot_bytes = report.fileSize
        size_on_disk = report.sizeOnDisk
        data_dir = directory
        engine = type
    }
}

/// What people read.
enum ImportTexts {
    static func imported(_ report: EtcdImport.Report, _ directory: String) -> String {
        var lines: [(label: String, value: String)] = [
            ("keys", "\(report.keyCount)"), ("versions", "\(report.versionCount)"),
            ("revision", "\(report.revision)"), ("compacted", "\(report.compactedRevision)"),
            ("leases", "\(report.leaseCount)"),
            (
                "users",
                "\(report.userCount), and \(report.roleCount) roles (authentication is "
                    + "\(report.isAuthEnabled ? "on" : "off"))"
            ),
        ]
        if report.alarmCount > 0 { lines.append(("alarms", "\(report.alarmCount)")) }
        lines += [
            ("database", "\(report.databaseID) (new)"), ("size", "\(report.sizeOnDisk) bytes on disk"),
            ("data-dir", directory),
        ]
        let text = Table.labelled(lines).split(separator: "\n").map { "  \($0)" }.joined(separator: "\n")
        return "Imported the snapshot\n\(text)\n\n"
            + "Start the node, whose object store must be a new one:\n  t4 run --data-dir \(directory)"
    }

    static func warn(_ report: EtcdImport.Report) {
        if report.alarmCount > 0 {
            StandardError.write(
                "t4: warning: alarms are raised in the snapshot, and refuse requests here too: etcdctl alarm list\n")
        }
        if report.keysWithoutLease > 0 {
            StandardError.write(
                "t4: warning: \(report.keysWithoutLease) keys name a lease that the snapshot does not have: nothing will "
                    + "delete them\n")
        }
    }
}
