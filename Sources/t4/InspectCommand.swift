import ArgumentParser
import FoundationEssentials
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// `t4 inspect`: reads a data directory, stopped or running, and changes nothing.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Look into a data directory without changing it, also while a node runs in it.",
        subcommands: [
            InspectMeta.self, InspectGet.self, InspectList.self, InspectCount.self, InspectHistory.self,
            InspectDiff.self,
        ])
}

/// What every inspection needs.
struct InspectOptions: ParsableArguments {
    @Option(help: "The data directory. Environment: T4_DATA_DIR.")
    var dataDir: String?

    @Flag(help: "Print JSON.")
    var json = false

    /// Opens the directory, or ends the command with code 1 and a message.
    func open() throws -> Inspection {
        let environment = ProcessInfo.processInfo.environment["T4_DATA_DIR"].flatMap { $0.isEmpty ? nil : $0 }
        let directory = dataDir ?? environment ?? "/var/lib/t4"
        let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
        return try Inspection(dataDirectory: directory, registry: .builtIn, logger: logger)
    }

    /// Runs an inspection and prints what it gives.
    func run(_ body: (Inspection) throws -> Void) throws {
        do {
            try body(open())
        } catch let code as ExitCode {
            throw code
        } catch {
            throw fail(error)
        }
    }
}

struct InspectMeta: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "meta", abstract: "Where the database stands.")
    @OptionGroup var options: InspectOptions

    private struct Report: Encodable {
        var data_dir: String
        var engine: String
        var engine_dir: String
        var database_id: String
        var current_revision: Int64
        var compact_revision: Int64
        var total_keys: Int64
        var term: UInt64
        var last_index: UInt64
        var replayed_entries: UInt64
    }

    func run() throws {
        try options.run { inspection in
            let summary = try inspection.summary()
            if options.json {
                let report = Report(
                    data_dir: summary.dataDirectory, engine: summary.engine, engine_dir: summary.engineDirectory,
                    database_id: summary.databaseID, current_revision: summary.revision.rawValue,
                    compact_revision: summary.compactedRevision.rawValue, total_keys: summary.keyCount,
                    term: summary.lastEntry.term, last_index: summary.lastEntry.index,
                    replayed_entries: summary.entriesReplayed)
                return StandardOutput.writeLine(try JSONText.of(report))
            }
            let lines = [
                ("Data dir", summary.dataDirectory), ("Engine", summary.engine),
                ("Engine dir", summary.engineDirectory), ("Database id", summary.databaseID),
                ("Current revision", "\(summary.revision)"), ("Compact revision", "\(summary.compactedRevision)"),
                ("Total keys", "\(summary.keyCount)"), ("Term", "\(summary.lastEntry.term)"),
                ("Last log index", "\(summary.lastEntry.index)"),
                ("Entries ahead of engine", "\(summary.entriesReplayed)"),
            ]
            StandardOutput.writeLine(Table.labelled(lines))
        }
    }
}

struct InspectGet: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "get", abstract: "One key.")
    @OptionGroup var options: InspectOptions
    @Argument(help: "The key.") var key: String

    func run() throws {
        try options.run { inspection in
            guard let version = try inspection.get(Array(key.utf8)) else {
                throw CommandFailure(description: "key \(Table.text(Array(key.utf8))) not found")
            }
            if options.json { return StandardOutput.writeLine(try JSONText.of(VersionReport(version))) }
            StandardOutput.writeLine(
                Table.labelled([
                    ("Key", Table.text(version.kv.key)), ("Value", Table.text(version.kv.value)),
                    ("Revision", "\(version.kv.modRevision)"), ("Create revision", "\(version.kv.createRevision)"),
                    ("Prev revision", "\(version.previousRevision)"), ("Version", "\(version.kv.version)"),
                    ("Lease", "\(version.kv.lease)"),
                ]))
        }
    }
}

struct InspectList: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "Keys with a prefix.")
    @OptionGroup var options: InspectOptions
    @Argument(help: "The prefix.") var positionalPrefix: String?
    @Option(help: "The prefix.") var prefix: String?
    @Option(help: "Most keys to print; 0 for all.") var limit = 100

    func validate() throws {
        if prefix != nil && positionalPrefix != nil {
            throw ValidationError("give the prefix as an argument or as --prefix, not both")
        }
        if limit < 0 { throw ValidationError("--limit must be 0 or more") }
    }

    func run() throws {
        try options.run { inspection in
            let versions = try inspection.list(prefix: Array((prefix ?? positionalPrefix ?? "").utf8), limit: limit)
            if options.json { return StandardOutput.writeLine(try JSONText.of(versions.map(VersionReport.init))) }
            let rows = versions.map { version in
                [
                    Table.text(version.kv.key), "\(version.kv.modRevision)", "\(version.kv.createRevision)",
                    "\(version.previousRevision)", "\(version.kv.lease)", Table.text(version.kv.value),
                ]
            }
            StandardOutput.writeLine(Table.columns([["KEY", "REV", "CREATE", "PREV", "LEASE", "VALUE"]] + rows))
            StandardOutput.writeLine("\nListed \(rows.count) key(s)")
        }
    }
}

struct InspectCount: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "count", abstract: "Number of keys.")
    @OptionGroup var options: InspectOptions
    @Option(help: "Only keys that start with it.") var prefix = ""

    private struct Report: Encodable {
        var prefix: String
        var count: Int64
    }

    func run() throws {
        try options.run { inspection in
            let count = try inspection.count(prefix: Array(prefix.utf8))
            if options.json {
                return StandardOutput.writeLine(try JSONText.of(Report(prefix: prefix, count: count)))
            }
            StandardOutput.writeLine(prefix.isEmpty ? "\(count)" : "\(prefix): \(count)")
        }
    }
}

struct InspectHistory: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "history", abstract: "The versions of a key that are left, oldest first.")
    @OptionGroup var options: InspectOptions
    @Argument(help: "The key.") var key: String
    @Option(help: "Print the last this many; 0 for all.") var limit = 100

    private struct Report: Encodable {
        /// 0 for a put, 1 for a deletion.
        var `Type`: Int
        var KV: VersionReport
    }

    func run() throws {
        try options.run { inspection in
            let versions = try inspection.history(Array(key.utf8), limit: limit)
            if options.json {
                let reports = versions.map { Report(Type: $0.isDeletion ? 1 : 0, KV: VersionReport($0)) }
                return StandardOutput.writeLine(try JSONText.of(reports))
            }
            let rows = versions.map { version in
                [
                    "\(version.kv.modRevision)", version.isDeletion ? "delete" : "put",
                    "\(version.kv.createRevision)", "\(version.previousRevision)", "\(version.kv.lease)",
                    version.isDeletion ? "(absent)" : Table.text(version.kv.value),
                ]
            }
            StandardOutput.writeLine(Table.columns([["REV", "TYPE", "CREATE", "PREV", "LEASE", "VALUE"]] + rows))
            StandardOutput.writeLine("\nListed \(rows.count) event(s)")
        }
    }
}

struct InspectDiff: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "What a span of revisions did to each key.")
    @OptionGroup var options: InspectOptions
    @Option(help: "Only keys that start with it.") var prefix = ""
    @Option(help: "First revision.") var fromRev: Int64 = 1
    @Option(help: "Last revision; 0 for the newest.") var toRev: Int64 = 0

    private struct Report: Encodable {
        struct Change: Encodable {
            var key: String
            var type: String
            var first_revision: Int64
            var last_revision: Int64
            var operations: Int
            var before_value: String?
            var after_value: String?
        }
        var prefix: String
        var from_revision: Int64
        var to_revision: Int64
        var changes: [Change]
    }

    func run() throws {
        try options.run { inspection in
            let newest = inspection.revision
            let last = toRev == 0 ? newest : Revision(toRev)
            guard fromRev >= 1 else { throw CommandFailure(description: "--from-rev must be 1 or more") }
            guard last.rawValue >= fromRev else {
                throw CommandFailure(description: "--to-rev \(last) is before --from-rev \(fromRev)")
            }
            guard last <= newest else {
                throw CommandFailure(description: "--to-rev \(last) is not reached yet, the newest is \(newest)")
            }
            let (changes, first) = try inspection.diff(
                prefix: Array(prefix.utf8), from: Revision(fromRev), to: last)
            if first.rawValue > fromRev, first.rawValue > 1 {
                StandardError.write("t4: revisions below \(first) are compacted; the comparison begins there\n")
            }
            if options.json {
                let report = Report(
                    prefix: prefix, from_revision: fromRev, to_revision: last.rawValue,
                    changes: changes.map { change in
                        Report.Change(
                            key: Table.text(change.key), type: change.kind.rawValue,
                            first_revision: change.firstRevision.rawValue,
                            last_revision: change.lastRevision.rawValue, operations: change.operations,
                            before_value: change.before.map(Table.text), after_value: change.after.map(Table.text))
                    })
                return StandardOutput.writeLine(try JSONText.of(report))
            }
            let rows = changes.map { change in
                [
                    Table.text(change.key), change.kind.rawValue, "\(change.firstRevision)",
                    "\(change.lastRevision)", "\(change.operations)", change.before.map(Table.text) ?? "(absent)",
                    change.after.map(Table.text) ?? "(absent)",
                ]
            }
            let header = ["KEY", "TYPE", "FIRST_REV", "LAST_REV", "OPS", "BEFORE", "AFTER"]
            StandardOutput.writeLine(Table.columns([header] + rows))
            StandardOutput.writeLine("\nChanged \(rows.count) key(s)")
        }
    }
}

/// A version as JSON; keys and values in base64.
private struct VersionReport: Encodable {
    var Key: String
    var Value: String
    var Revision: Int64
    var CreateRevision: Int64
    var PrevRevision: Int64
    var Version: Int64
    var Lease: Int64

    init(_ version: Inspection.Version) {
        Key = Data(version.kv.key).base64EncodedString()
        Value = Data(version.kv.value).base64EncodedString()
        Revision = version.kv.modRevision.rawValue
        CreateRevision = version.kv.createRevision.rawValue
        PrevRevision = version.previousRevision.rawValue
        self.Version = version.kv.version
        Lease = version.kv.lease
    }
}
