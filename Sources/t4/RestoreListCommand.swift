import ArgumentParser
import Logging
import T4Config
import T4Core
import T4Protocols

/// `t4 restore list`: the checkpoints below a prefix.
struct RestoreListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the checkpoints in the object store.",
        discussion: """
            Oldest first; the newest, with which a restore begins, is marked as the latest. Settings that are not given as \
            flags come from the environment and the file, as for `t4 run`.

            Exit codes: 0 when the store was read, whether there are checkpoints or not; 1 when it cannot be read, does \
            not say which checkpoint is the latest, or holds no database there; 64 when the command line or the \
            configuration is wrong.
            """)

    @OptionGroup var options: StoreOptions

    @Flag(help: "Print JSON.")
    var json = false

    private struct Report: Encodable {
        var checkpoint: String
        var revision: Int64
        var term: UInt64
        var latest: Bool
    }

    func run() async throws {
        let listing: CheckpointListing
        let name: String
        do {
            let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
            let opened = try await options.open(logger: logger)
            name = opened.displayName
            listing = try await read(opened)
        } catch {
            throw fail(error)
        }
        let reports = listing.entries.map {
            Report(
                checkpoint: $0.key.rawValue, revision: $0.revision.rawValue, term: $0.term,
                latest: $0.key == listing.latest)
        }
        if json {
            StandardOutput.writeLine(try JSONText.of(reports))
        } else if reports.isEmpty {
            StandardOutput.writeLine("no checkpoints below \(name)")
        } else {
            StandardOutput.writeLine(RestoreListCommand.table(reports))
        }
        if let problem = listing.problem { throw fail(problem) }
    }

    private func read(_ opened: OpenedStore) async throws -> CheckpointListing {
        let listing: CheckpointListing
        do {
            listing = try await CheckpointListing(of: opened.store)
        } catch {
            await opened.close()
            throw opened.explained(error)
        }
        await opened.close()
        return listing
    }

    /// Columns of fixed width, so that scripts which read T4's output go on working.
    private static func table(_ reports: [Report]) -> String {
        func line(_ name: String, _ revision: String, _ term: String, isLatest: Bool = false) -> String {
            let spaces = { (count: Int) in String(repeating: " ", count: max(0, count)) }
            return name + spaces(72 - name.count) + "  " + spaces(10 - revision.count) + revision + "  "
                + spaces(6 - term.count) + term + (isLatest ? "  (latest)" : "")
        }
        let lines = reports.map { line($0.checkpoint, "\($0.revision)", "\($0.term)", isLatest: $0.latest) }
        return ([line("CHECKPOINT", "REVISION", "TERM")] + lines).joined(separator: "\n")
    }
}
