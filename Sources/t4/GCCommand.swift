import ArgumentParser
import Logging
import T4Config
import T4Core
import T4Protocols

/// `t4 gc`: deletes what nobody needs any more from the object store.
struct GCCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc",
        abstract: "Delete old checkpoints, tables and log segments from the object store.",
        discussion: """
            Keeps the newest checkpoints, everything that a restore to any moment of the retention window needs, and what \
            branches, backups and readers have pinned. Safe beside running nodes; of two collections at a time one gives \
            up. Settings that are not given as flags come from the environment and the file, as for `t4 run`.

            Exit codes: 0 when everything that could go is gone, 1 when the collection was given up (nothing that is \
            needed was deleted; it may be run again), 64 when the command line or the configuration is wrong.
            """)

    @OptionGroup var options: StoreOptions

    @Option(help: "How many of the newest checkpoints are kept; less than 1 counts as 1. Default: checkpoint.keep.")
    var keep: Int?

    @Option(help: "How far back every moment can be restored, as in 24h, 90m or 0. Default: checkpoint.retain.")
    var retain: String?

    @Flag(help: "Say what would be deleted, and delete nothing.")
    var dryRun = false

    @Flag(help: "Print JSON.")
    var json = false

    private struct Report: Encodable {
        var dryRun: Bool
        var checkpointsDeleted: Int
        var tablesDeleted: Int
        var walSegmentsDeleted: Int
        var bytesDeleted: UInt64
        var checkpointsKept: Int
        /// The last entry that the log does not hold any more.
        var walCutIndex: UInt64
        var pins: [String]
        var lapsedPins: [String]
    }

    func validate() throws {
        if let retain, Duration(parsing: retain) == nil {
            throw ValidationError("--retain \"\(retain)\" is no duration such as 24h, 90m or 0.")
        }
    }

    func run() async throws {
        let report: CollectionReport
        do {
            let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .notice, format: .text) }
            let configuration = try options.configuration()
            try configuration.requirePresentStore(for: "t4 gc")
            var policy = CollectionPolicy(configuration)
            if let keep { policy.keep = max(1, keep) }
            if let retain = retain.flatMap({ Duration(parsing: $0) }) { policy.retain = retain }
            let opened = try await options.open(configuration, logger: logger)
            report = try await collect(opened, policy, logger: logger)
        } catch {
            throw fail(error)
        }
        for pin in report.lapsedPins {
            StandardError.write("t4: warning: \(pin) pins a checkpoint that is gone; remove it if nobody is using it\n")
        }
        if json {
            StandardOutput.writeLine(
                try JSONText.of(
                    Report(
                        dryRun: dryRun, checkpointsDeleted: report.checkpointCount, tablesDeleted: report.tableCount,
                        walSegmentsDeleted: report.logObjectCount, bytesDeleted: report.deletedSize,
                        checkpointsKept: report.keptCheckpointCount, walCutIndex: report.logCutIndex,
                        pins: report.pins, lapsedPins: report.lapsedPins)))
            return
        }
        StandardOutput.writeLine(dryRun ? "GC dry run, nothing is deleted" : "GC complete")
        StandardOutput.writeLine("  checkpoints deleted: \(report.checkpointCount)")
        StandardOutput.writeLine("  orphan SSTs deleted: \(report.tableCount)")
        StandardOutput.writeLine("  WAL segments deleted: \(report.logObjectCount)")
    }

    private func collect(
        _ opened: OpenedStore, _ policy: CollectionPolicy, logger: Logger
    ) async throws -> CollectionReport {
        let report: CollectionReport
        do {
            report = try await GarbageCollection.run(
                in: opened.store, policy: policy, isDryRun: dryRun, logger: logger)
        } catch {
            await opened.close()
            throw opened.explained(error)
        }
        await opened.close()
        return report
    }
}

extension CollectionPolicy {
    /// What the configuration keeps.
    init(_ configuration: Configuration) {
        self.init(keep: configuration.checkpoint.keepCount, retain: configuration.checkpoint.retention)
    }
}
