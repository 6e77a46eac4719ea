import ArgumentParser
import T4Core

/// `t4 inspect history`.
struct InspectHistory: AsyncParsableCommand {
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

    func run() async throws {
        try await options.run { inspection in
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
