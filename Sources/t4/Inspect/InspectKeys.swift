import ArgumentParser
import T4Core

/// `t4 inspect get`.
struct InspectGet: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "get", abstract: "One key.")
    @OptionGroup var options: InspectOptions
    @Argument(help: "The key.") var key: String

    func run() async throws {
        try await options.run { inspection in
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

/// `t4 inspect list`.
struct InspectList: AsyncParsableCommand {
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

    func run() async throws {
        try await options.run { inspection in
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

/// `t4 inspect count`.
struct InspectCount: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "count", abstract: "Number of keys.")
    @OptionGroup var options: InspectOptions
    @Option(help: "Only keys that start with it.") var prefix = ""

    private struct Report: Encodable {
        var prefix: String
        var count: Int64
    }

    func run() async throws {
        try await options.run { inspection in
            let count = try inspection.count(prefix: Array(prefix.utf8))
            if options.json {
                return StandardOutput.writeLine(try JSONText.of(Report(prefix: prefix, count: count)))
            }
            StandardOutput.writeLine(prefix.isEmpty ? "\(count)" : "\(prefix): \(count)")
        }
    }
}
