import ArgumentParser
import T4Core
import T4Protocols

/// `t4 inspect diff`.
struct InspectDiff: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "What a span of revisions did to each key.")
    @OptionGroup var options: InspectOptions
    @Option(help: "Only keys that start with it.") var prefix = ""
    @Option(help: "First revision; by default 1.") var fromRev: Int64?
    @Option(help: "Last revision; by default, or 0, the newest.") var toRev: Int64?
    @Option(help: "Compare the checkpoint of --checkpoint with this later one, or with latest.")
    var withCheckpoint: String?

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

    func validate() throws {
        guard withCheckpoint != nil else { return }
        if options.checkpoint == nil { throw ValidationError("--with-checkpoint needs --checkpoint, the older one") }
        if fromRev != nil || toRev != nil {
            throw ValidationError(
                "two checkpoints say where a comparison begins and ends, without --from-rev and --to-rev")
        }
    }

    func run() async throws {
        if let withCheckpoint {
            try await options.compare(with: withCheckpoint) { older, newer in
                let changes = try Inspection.diff(prefix: Array(prefix.utf8), from: older, to: newer)
                let (first, last) = (older.revision.next, newer.revision)
                if newer.compactedRevision >= first {
                    StandardError.write(
                        "t4: revisions up to \(newer.compactedRevision) are compacted; what happened there is not counted\n"
                    )
                }
                try show(changes, from: first, to: last)
            }
            return
        }
        try await options.run { inspection in
            let newest = inspection.summary.revision
            let first = fromRev ?? 1
            let last = toRev.flatMap { $0 == 0 ? nil : Revision($0) } ?? newest
            guard first >= 1 else { throw CommandFailure(description: "--from-rev must be 1 or more") }
            guard last.rawValue >= first else {
                throw CommandFailure(description: "--to-rev \(last) is before --from-rev \(first)")
            }
            guard last <= newest else {
                throw CommandFailure(description: "--to-rev \(last) is not reached yet, the newest is \(newest)")
            }
            let found = try inspection.diff(prefix: Array(prefix.utf8), from: Revision(first), to: last)
            if found.first.rawValue > first, found.first.rawValue > 1 {
                StandardError.write(
                    "t4: revisions below \(found.first) are compacted; the comparison begins there\n")
            }
            try show(found.changes, from: Revision(first), to: last)
        }
    }

    private func show(_ changes: [Inspection.KeyChange], from first: Revision, to last: Revision) throws {
        if options.json {
            let report = Report(
                prefix: prefix, from_revision: first.rawValue, to_revision: last.rawValue,
                changes: changes.map { change in
                    Report.Change(
                        key: Table.text(change.key), type: change.kind.rawValue,
                        first_revision: change.firstRevision.rawValue, last_revision: change.lastRevision.rawValue,
                        operations: change.operations, before_value: change.before.map(Table.text),
                        after_value: change.after.map(Table.text))
                })
            return StandardOutput.writeLine(try JSONText.of(report))
        }
        let rows = changes.map { change in
            [
                Table.text(change.key), change.kind.rawValue, "\(change.firstRevision)", "\(change.lastRevision)",
                "\(change.operations)", change.before.map(Table.text) ?? "(absent)",
                change.after.map(Table.text) ?? "(absent)",
            ]
        }
        let header = ["KEY", "TYPE", "FIRST_REV", "LAST_REV", "OPS", "BEFORE", "AFTER"]
        StandardOutput.writeLine(Table.columns([header] + rows))
        StandardOutput.writeLine("\nChanged \(rows.count) key(s)")
    }
}
