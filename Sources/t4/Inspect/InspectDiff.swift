import ArgumentParser
import T4Core
import T4Protocols

/// `t4 inspect diff`.
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
            let newest = inspection.summary.revision
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
