import ArgumentParser
import T4Core
import T4Protocols

/// `t4 inspect meta`.
struct InspectMeta: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "meta", abstract: "Where the database stands.")
    @OptionGroup var options: InspectOptions

    private struct Report: Encodable {
        var data_dir: String?
        var engine: String?
        var engine_dir: String?
        var checkpoint: String?
        var database_id: String
        var current_revision: Int64
        var compact_revision: Int64
        var total_keys: Int64
        var term: UInt64
        var last_index: UInt64
        var replayed_entries: UInt64?
    }

    func run() async throws {
        try await options.run { inspection in
            let summary = inspection.summary
            if options.json { return StandardOutput.writeLine(try JSONText.of(report(summary))) }
            var lines = [
                ("Database id", summary.databaseID), ("Current revision", "\(summary.revision)"),
                ("Compact revision", "\(summary.compactedRevision)"), ("Total keys", "\(summary.keyCount)"),
                ("Term", "\(summary.lastEntry.term)"), ("Last log index", "\(summary.lastEntry.index)"),
            ]
            switch summary.source {
            case .dataDirectory(let path, let engine, let engineDirectory, let replayed):
                lines = [("Data dir", path), ("Engine", engine), ("Engine dir", engineDirectory)] + lines
                lines.append(("Entries ahead of engine", "\(replayed)"))
            case .checkpoint(let name): lines = [("Checkpoint", name)] + lines
            }
            StandardOutput.writeLine(Table.labelled(lines))
        }
    }

    private func report(_ summary: Inspection.Summary) -> Report {
        var report = Report(
            database_id: summary.databaseID, current_revision: summary.revision.rawValue,
            compact_revision: summary.compactedRevision.rawValue, total_keys: summary.keyCount,
            term: summary.lastEntry.term, last_index: summary.lastEntry.index)
        switch summary.source {
        case .dataDirectory(let path, let engine, let engineDirectory, let replayed):
            (report.data_dir, report.engine, report.engine_dir) = (path, engine, engineDirectory)
            report.replayed_entries = replayed
        case .checkpoint(let name): report.checkpoint = name
        }
        return report
    }
}
