import ArgumentParser
import FoundationEssentials
import Glibc
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// `t4 replay`: brings a copy of a database further.
struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Take a piece of the log that `t4 ship` wrote into a data directory that follows the database.",
        discussion: """
            The directory is one that `t4 restore` made of a backup of the database, and no node runs in it. Entries that it has \
            already are passed over, so the same file may come again; nothing of a file is used before all of it was read and is what \
            was written. A replay that is killed leaves the directory whole, and is made again with the same file.

            Where entries are missing before the first one of the file, they are taken from the object store, if one is named; \
            else nothing of the file is taken, and the exit code is 3.

            Exit codes: 0 when the directory has all of the file, up to --until, 1 when not, 3 when entries are missing in between, 64 when the \
            command line or the configuration is wrong.
            """)

    /// Entries are missing.
    private static let gapCode = ExitCode(3)

    @Argument(help: "The data directory; else that of --data-dir or the configuration.")
    var directory: String?

    @Option(help: "The piece of the log; - for standard input.")
    var input = "-"

    @Option(
        help: """
            Stop behind the write that made this revision, or before what was committed after this time: 12345, or \
            2024-06-01T12:00:00Z.
            """)
    var until: String?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var options: StoreOptions

    func validate() throws {
        guard directory == nil || options.dataDir == nil else { throw ValidationError("name the directory once") }
        _ = try limit()
    }

    private func limit() throws -> ShipmentReplay.Limit {
        guard let until else { return .end }
        if let revision = Int64(until) {
            guard revision > 0 else { throw ValidationError("--until must be a revision above 0, or a time") }
            return .revision(Revision(revision))
        }
        return .time(try PointInTime.parse(until).nanoseconds)
    }

    func run() async throws {
        do {
            var options = options
            options.dataDir = directory ?? options.dataDir
            let configuration = try options.configuration()
            guard configuration.origins["node.data_dir"] != nil else {
                throw ValidationError("name the data directory")
            }
            guard input != "-" || isatty(0) == 0 else {
                throw ValidationError("name the piece of the log with --input, or send it in through a pipe")
            }
            let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
            let replay = ShipmentReplay(
                dataDirectory: configuration.node.dataDirectory, registry: .builtIn, logger: logger
            ) { configuration.engine.settings(of: $0) }
            var opened: OpenedStore?
            if configuration.storePlace == .outside { opened = try await options.open(configuration, logger: logger) }
            let source = opened.map { RestorePoint(store: $0.root, prefix: $0.prefix) }
            let (input, limit, place) = (input, try limit(), configuration.node.dataDirectory)
            let result = await Result.of {
                try await SystemThread.run("t4-replay") {
                    let file =
                        input == "-"
                        ? try BackupFile(copying: 0, in: RestoreFileCommand.spool(place)) : try BackupFile(input)
                    return try replay.run(file, to: limit, healingFrom: source)
                }
            }
            await opened?.close()
            let report = try result.mapError { opened?.explained($0) ?? $0 }.get()
            if json { return StandardOutput.writeLine(try JSONText.of(ReplayReportText(report))) }
            StandardError.write(ReplayReportText.line(report))
        } catch let error as ValidationError {
            throw error
        } catch let error as ReplayError where error.code == .gap {
            _ = fail(error)
            throw ReplayCommand.gapCode
        } catch {
            throw fail(error)
        }
    }
}

extension Result where Failure == any Error {
    fileprivate static func of(_ body: () async throws -> Success) async -> Result {
        do { return .success(try await body()) } catch { return .failure(error) }
    }
}

/// What `--json` prints.
private struct ReplayReportText: Encodable {
    var database: String
    var revision: Int64
    var term: UInt64
    var index: UInt64
    var entries: UInt64
    var entries_from_store: UInt64
    var shipped_revision: Int64

    init(_ report: ShipmentReplay.Report) {
        database = report.databaseID
        revision = report.revision.rawValue
        (term, index) = (report.end.term, report.end.index)
        (entries, entries_from_store) = (report.entryCount, report.healedCount)
        shipped_revision = report.shippedRevision.rawValue
    }

    static func line(_ report: ShipmentReplay.Report) -> String {
        let healed = report.healedCount == 0 ? "" : ", \(report.healedCount) of them from the object store"
        return "replayed to revision \(report.revision), \(report.entryCount) entries\(healed)\n"
    }
}
