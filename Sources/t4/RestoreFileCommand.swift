import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// `t4 restore DIRECTORY --input FILE`: makes a data directory of a backup.
struct RestoreFileCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "file",
        abstract: "Make a data directory of a file that `t4 backup` wrote.",
        discussion: """
            The word `file` may be left out: t4 restore DIRECTORY --input FILE. The directory must not exist, or be empty; it \
            is there once it is complete, and not at all when the restore fails or is killed. Nothing of a file is used before \
            all of it was read and is what was written.

            Started with the prefix of the database in its store, the directory goes on to the end of the log there; with another \
            prefix, or without a store, it is a database of its own, at the restored revision.

            Exit codes: 0 when the directory is there, 1 when not, 64 when the command line or the configuration is wrong.
            """)

    @Argument(help: "The data directory to make; else that of --data-dir or the configuration.")
    var directory: String?

    @Option(help: "The backup; - for standard input.")
    var input = "-"

    @Option(
        help: """
            Go on so many revisions above that of the backup, with all history compacted, for clients that must not see it \
            go back: more than the database went on after the backup, and 2 or more.
            """)
    var bumpRevision: Int64?

    @Flag(help: "Read all of the backup, say what would be restored, and write nothing.")
    var dryRun = false

    @Option(help: "The engine of the new directory; else that of the configuration.")
    var engine: String?

    @Option(help: "Read settings from a TOML file. Environment: T4_CONFIG.")
    var config: String?

    @Option(help: "The data directory to make. Environment: T4_DATA_DIR.")
    var dataDir: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard directory == nil || dataDir == nil else { throw ValidationError("name the directory once") }
        if let bumpRevision, !(2...(1 << 60)).contains(bumpRevision) {
            throw ValidationError("--bump-revision must be from 2 to \(1 << 60)")
        }
    }

    func run() async throws {
        do {
            let flags = [("config", config), ("data-dir", directory ?? dataDir)]
            let configuration = try ConfigurationSource(
                arguments: flags.compactMap { flag, value in value.map { "--\(flag)=\($0)" } }
            ).load(.builtIn)
            guard dryRun || configuration.origins["node.data_dir"] != nil else {
                throw ValidationError("name the directory to make")
            }
            guard input != "-" || isatty(0) == 0 else {
                throw ValidationError("name the backup with --input, or send it in through a pipe")
            }
            let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
            let destination = configuration.importDestination(engine: engine)
            let (input, makes) = (input, !dryRun)
            let file = try await SystemThread.run("t4-restore") {
                // Before a long backup is read in vain.
                if makes { try destination.check(.builtIn, logger: logger) }
                return input == "-"
                    ? try BackupFile(copying: 0, in: RestoreFileCommand.spool(destination.dataDirectory))
                    : try BackupFile(input)
            }
            guard !file.isLog else {
                throw CommandFailure(
                    description:
                        "the file is a piece of the log: t4 replay takes it into a directory that a backup made")
            }
            var point = RestorePoint(file)
            if let bumpRevision { (point.bumpsRevision, point.bump) = (true, bumpRevision) }
            guard makes else {
                let plan = try await point.plan()
                return StandardOutput.writeLine(
                    json ? try JSONText.of(RestoreReportText(plan)) : RestoreTexts.dryRun(plan))
            }
            let report = try await point.restoreWithProgress(into: destination, logger)
            StandardOutput.writeLine(
                json
                    ? try JSONText.of(RestoreReportText(report, destination))
                    : RestoreTexts.restored(report, destination.dataDirectory))
        } catch let error as ValidationError {
            throw error
        } catch {
            throw fail(error)
        }
    }

    /// A folder on the disk that the data goes to.
    static func spool(_ directory: String) -> String {
        var folder = URL(filePath: directory).standardizedFileURL.deletingLastPathComponent().path
        while !FileManager.default.fileExists(atPath: folder), folder != "/" {
            folder = URL(filePath: folder).deletingLastPathComponent().path
        }
        return folder
    }
}
