import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// `t4 ship`: a piece of the log in one file.
struct ShipCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ship",
        abstract: "Write what came after a revision into one file, for a copy of the database that follows it.",
        discussion: """
            The entries of the log are taken from the data directory that is named, if it is there, whether a node runs in it or \
            not; where its log does not reach back so far, or no directory is named, from the object store. Nobody waits.

            `t4 replay` takes the file into a directory that `t4 restore` made of a backup. Its last line says how far the copy is, \
            which is what --after of the next piece wants; pieces may overlap. A file named with --output is there once it is \
            complete and was read back. The revision goes to standard error.

            Exit codes: 0 when the file is complete, also where nothing came after the revision, 1 when not, 64 when the command \
            line or the configuration is wrong.
            """)

    @Option(help: "The file to write; - for standard output.")
    var output = "-"

    @Option(help: "Begin behind the write that made this revision; without it with all that is kept of the log.")
    var after: Int64?

    @Flag(help: "Print JSON to standard output; needs --output FILE.")
    var json = false

    @OptionGroup var options: StoreOptions

    func validate() throws {
        if let after, after < 0 { throw ValidationError("--after must be a revision, 0 or more") }
        guard !json || output != "-" else { throw ValidationError("--json needs --output FILE") }
    }

    func run() async throws {
        do {
            signal(SIGPIPE, SIG_IGN)
            guard output != "-" || isatty(1) == 0 else {
                throw ValidationError(
                    "a piece of the log is no text for a terminal: name a file with --output, or send it into a pipe")
            }
            let target = try BackupOutput(output)
            let report = try await write(to: target.write)
            _ = try target.verified()
            try target.finish()
            if json { return StandardOutput.writeLine(try JSONText.of(ShipReportText(report, output))) }
            StandardError.write("shipped through revision \(report.revision), \(report.entryCount) entries\n")
        } catch let error as ValidationError {
            throw error
        } catch {
            throw fail(error)
        }
    }

    private func write(to output: @escaping Backup.Output) async throws -> Shipment.Report {
        let configuration = try options.configuration()
        let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
        let directory = configuration.node.dataDirectory
        let isNamed = configuration.origins["node.data_dir"] != nil
        let after = after.map { Revision($0) }
        if isNamed, FileManager.default.fileExists(atPath: "\(directory)/database") {
            do {
                return try await SystemThread.run("t4-ship") {
                    try Shipment.write(dataDirectory: directory, after: after, to: output)
                }
            } catch let failure as Shipment.Failure where failure.isTooFarBack && configuration.storePlace != .none {
                // The store keeps more of it.
            }
        }
        guard isNamed || configuration.storePlace == .outside else {
            throw ValidationError("say whose log to ship: --data-dir, or the flags of an object store")
        }
        let opened = try await options.open(configuration, logger: logger)
        do {
            let report = try await RestorePoint(store: opened.root, prefix: opened.prefix).ship(
                after: after, to: output)
            await opened.close()
            return report
        } catch {
            await opened.close()
            throw opened.explained(error)
        }
    }
}

/// What `--json` prints.
private struct ShipReportText: Encodable {
    var output: String
    var database: String
    var revision: Int64
    var after_term: UInt64
    var after_index: UInt64
    var term: UInt64
    var index: UInt64
    var entries: UInt64
    var size: Int

    init(_ report: Shipment.Report, _ output: String) {
        self.output = output
        database = report.databaseID
        revision = report.revision.rawValue
        (after_term, after_index) = (report.after.term, report.after.index)
        (term, index) = (report.end.term, report.end.index)
        (entries, size) = (report.entryCount, report.size)
    }
}
