import ArgumentParser
import Glibc
import Logging
import Synchronization
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// `t4 restore checkpoint`: makes a data directory from what an object store keeps.
struct RestoreCheckpointCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "checkpoint",
        abstract: "Restore a checkpoint, or any moment that the log reaches, into a new data directory.",
        discussion: """
            Without a target the newest checkpoint is restored. The directory of --data-dir must not exist, or be empty; \
            it is there once it is complete, and not at all when the restore fails or is killed. The store is only read, \
            also while nodes use it.

            A whole checkpoint and --to-end keep the database's id: started with the same prefix, the node goes on to the \
            end of the log; with another prefix it is a database of its own. What --to-revision, --to-time and \
            --bump-revision make is a new database at once, which every other prefix refuses.

            Exit codes: 0 when the directory is there (with --dry-run: when it could be made), 1 when not, 64 when the \
            command line or the configuration is wrong.
            """)

    @OptionGroup var target: StoredTarget

    @Flag(help: "Go on above the last revision of the old database, for clients that must not see it go back.")
    var bumpRevision = false

    @Flag(help: "Say what would be restored, and write nothing.")
    var dryRun = false

    @Option(help: "The engine of the new directory; else that of the configuration.")
    var engine: String?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var options: StoreOptions

    func validate() throws { try target.validate() }

    func run() async throws {
        var hasHint = false
        do {
            let configuration = try options.configuration()
            try check(configuration)
            let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
            let opened = try await options.open(configuration, logger: logger)
            let result: Result<String, any Error>
            do {
                result = .success(try await restore(opened, configuration, logger))
            } catch {
                result = .failure(opened.explained(error))
                hasHint = mayBeInVersions(error, configuration)
            }
            await opened.close()
            StandardOutput.writeLine(try result.get())
        } catch let error as RestoreError {
            for line in RestoreTexts.lines(of: error) { StandardError.write("t4: \(line)\n") }
            if hasHint { StandardError.write("t4: \(RestoreTexts.versionsHint)\n") }
            throw ExitCode.failure
        } catch let error as ValidationError {
            throw error
        } catch {
            throw fail(error)
        }
    }

    /// Whether what is not kept any more may be among the versions of the bucket.
    private func mayBeInVersions(_ error: any Error, _ configuration: Configuration) -> Bool {
        guard let error = error as? RestoreError, error.code == .notKept, configuration.store.type == "s3",
            configuration.storeMoment == nil
        else { return false }
        // What is newer than everything that is kept was never there.
        if let toRevision = target.toRevision {
            return toRevision > 1 && toRevision <= error.kept?.newest?.revision.rawValue ?? .max
        }
        return target.checkpoint != nil || target.toTime != nil
    }

    private func check(_ configuration: Configuration) throws {
        guard dryRun || configuration.origins["node.data_dir"] != nil else {
            throw ValidationError("name the directory to make with --data-dir")
        }
        if configuration.storePlace == .inside {
            throw CommandFailure(
                description:
                    "the store at \(configuration.storeName) lies inside the data directory that is to be made; "
                    + "name the one to restore from with --s3-bucket or --store-filesystem-path, or in the file of "
                    + "--config")
        }
    }

    /// Restores, or only plans. Gives what to print.
    private func restore(
        _ opened: OpenedStore, _ configuration: Configuration, _ logger: Logger
    ) async throws -> String {
        var point = RestorePoint(store: opened.root, prefix: opened.prefix, target: target.target ?? .latestCheckpoint)
        point.bumpsRevision = bumpRevision
        if dryRun {
            let plan = try await point.plan()
            warn(plan)
            return json ? try JSONText.of(RestoreReportText(plan)) : RestoreTexts.dryRun(plan)
        }
        let destination = configuration.importDestination(engine: engine)
        let clock = ContinuousClock()
        let start = clock.now
        let report = try await point.restoreWithProgress(into: destination, logger)
        warn(report.plan)
        guard json else { return RestoreTexts.restored(report, destination.dataDirectory) }
        var text = RestoreReportText(report, destination)
        text.seconds = (clock.now - start) / .seconds(1)
        return try JSONText.of(text)
    }

    private func warn(_ plan: RestorePlan) {
        for warning in plan.warnings { StandardError.write("t4: warning: \(warning)\n") }
    }
}

extension RestorePoint {
    /// Restores, and says on a terminal how far it is.
    func restoreWithProgress(into destination: RestoreDestination, _ logger: Logger) async throws -> RestoreReport {
        let progress = ProgressLine()
        defer { progress.end() }
        return try await restore(into: destination, registry: .builtIn, logger: logger, progress: progress.show)
    }
}

/// What `--json` prints.
struct RestoreReportText: Encodable {
    var dry_run = true
    var checkpoint: String?
    var tables: Int
    var table_bytes: UInt64
    var entries: UInt64
    var entry_bytes: UInt64
    var revision: Int64
    var term: UInt64
    var index: UInt64
    var time: String
    var parent_database: String
    var new_database: Bool
    var bumped_revision: Int64?
    var warnings: [String]
    var database: String?
    var compact_revision: Int64?
    var keys: UInt64?
    var size_on_disk: Int?
    var data_dir: String?
    var engine: String?
    var seconds: Double?

    init(_ plan: RestorePlan) {
        checkpoint = plan.checkpoint?.key.rawValue
        tables = plan.checkpoint?.tableCount ?? 0
        table_bytes = plan.checkpoint?.size ?? 0
        entries = plan.entryCount
        entry_bytes = plan.entrySize
        revision = (plan.bumpedRevision ?? plan.revision).rawValue
        term = plan.end.term
        index = plan.end.index
        time = "\(Timestamp(nanoseconds: plan.time))"
        parent_database = plan.databaseID
        new_database = !plan.keepsDatabase
        bumped_revision = plan.bumpedRevision?.rawValue
        warnings = plan.warnings
    }

    /// Of a directory that is there.
    init(_ report: RestoreReport, _ destination: RestoreDestination) {
        self.init(report.plan)
        dry_run = false
        database = report.databaseID
        compact_revision = report.compactedRevision.rawValue
        keys = report.keyCount
        size_on_disk = report.sizeOnDisk
        data_dir = destination.dataDirectory
        engine = destination.engine
    }
}

/// What people read.
enum RestoreTexts {
    static func dryRun(_ plan: RestorePlan) -> String {
        "Would restore\n" + indented(lines(of: plan) + [("database", database(of: plan))])
    }

    static func restored(_ report: RestoreReport, _ directory: String) -> String {
        let plan = report.plan
        let lines =
            lines(of: plan) + [
                ("keys", "\(report.keyCount)"),
                ("database", "\(report.databaseID)\(plan.keepsDatabase ? "" : " (new)")"),
                ("size", "\(report.sizeOnDisk) bytes on disk"), ("data-dir", directory),
            ]
        let start =
            plan.keepsDatabase
            ? "Start the restored node (with the store's prefix as it was it goes on to the end of the log; with another "
                + "one it stays at revision \(report.revision), as a database of its own):\n  t4 run --data-dir \(directory)"
            : "Start the restored node, a new database that needs a prefix of its own:\n  t4 run --data-dir \(directory) "
                + "--store-prefix NEW-PREFIX/"
        return "Restored checkpoint\n\(indented(lines))\n\n\(start)"
    }

    private static func lines(of plan: RestorePlan) -> [(label: String, value: String)] {
        var lines: [(label: String, value: String)] = []
        if let checkpoint = plan.checkpoint {
            lines = [
                ("key", checkpoint.key.rawValue), ("tables", "\(checkpoint.tableCount) (\(checkpoint.size) bytes)"),
            ]
        } else {
            lines = [("key", "(none: from the beginning of the log)")]
        }
        lines.append(("entries", "\(plan.entryCount) (\(plan.entrySize) bytes)"))
        if let bumped = plan.bumpedRevision {
            lines.append(("revision", "\(bumped) (bumped from \(plan.revision), compacted)"))
        } else {
            lines.append(("revision", "\(plan.revision)"))
        }
        return lines + [
            ("term", "\(plan.end.term)"), ("index", "\(plan.end.index)"),
            ("time", "\(Timestamp(nanoseconds: plan.time))"),
        ]
    }

    private static func database(of plan: RestorePlan) -> String {
        plan.keepsDatabase ? plan.databaseID : "(new, from \(plan.databaseID))"
    }

    private static func indented(_ lines: [(label: String, value: String)]) -> String {
        Table.labelled(lines).split(separator: "\n").map { "  \($0)" }.joined(separator: "\n")
    }

    /// What may help where a collection was too early.
    static let versionsHint =
        "if the bucket keeps versions, --s3-as-of TIME restores from what was in it at a time before the collection"

    /// The error, and what could be restored instead.
    static func lines(of error: RestoreError) -> [String] {
        var lines = [error.description]
        guard let kept = error.kept else { return lines }
        if let oldest = kept.oldest {
            // Where the log is kept from its first entry on, the oldest state is that of an empty database.
            let first = oldest.checkpoint == nil ? oldest.revision.next : oldest.revision
            let end = kept.newest.map { " to \(state($0.revision, $0.time))" } ?? " on"
            lines.append("kept are states from \(state(first, oldest.time))\(end)")
        }
        if let first = kept.alone.first, let last = kept.alone.last {
            let range = "\(state(first.revision, first.time))"
            lines.append(
                kept.alone.count == 1
                    ? "kept is also a checkpoint before these, at \(range)"
                    : "kept are also \(kept.alone.count) checkpoints before these, the first at \(range), the last at "
                        + "\(state(last.revision, last.time)), and nothing in between")
        }
        for (place, found) in [("before", kept.before), ("behind", kept.after)] {
            guard let found, let key = found.checkpoint else { continue }
            lines.append("the nearest checkpoint \(place) that is \(key) (\(state(found.revision, found.time)))")
        }
        return lines
    }

    private static func state(_ revision: Revision, _ time: UInt64) -> String {
        "revision \(revision), \(Timestamp(nanoseconds: time))"
    }
}

/// One line on standard error that says how far a restore is, where that is a terminal.
final class ProgressLine: Sendable {
    private let last = Mutex<ContinuousClock.Instant?>(nil)
    private let isShown = isatty(2) == 1
    private static let pause = Duration.milliseconds(100)

    func show(_ progress: RestoreProgress) {
        guard isShown else { return }
        let now = ContinuousClock().now
        let isDue = last.withLock { last in
            if let last, now - last < ProgressLine.pause { return false }
            last = now
            return true
        }
        guard isDue else { return }
        let all = max(1, Double(progress.tablesAll) + (progress.entriesAll > 0 ? 1 : 0))
        let entries = progress.entriesAll == 0 ? 0 : Double(progress.entriesDone) / Double(progress.entriesAll)
        let width = 30
        let done = min(width, Int((Double(progress.tablesDone) + entries) / all * Double(width)))
        let bar = String(repeating: "#", count: done) + String(repeating: ".", count: width - done)
        StandardError.write(
            "\r[\(bar)] tables \(progress.tablesDone)/\(progress.tablesAll)  entries "
                + "\(progress.entriesDone)/\(progress.entriesAll)  \(progress.bytesRead >> 20) MiB read\u{1B}[K")
    }

    /// Takes the line away.
    func end() {
        if isShown { StandardError.write("\r\u{1B}[K") }
    }
}
