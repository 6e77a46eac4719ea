import ArgumentParser
import Glibc
import Logging
import T4Config
import T4Core
import T4Protocols

/// `t4 status`: what a database has in its object store.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what the database has in the object store.",
        discussion: """
            Reads which checkpoint is the newest and lists names; needs no running node. Of a branch it also says how many \
            tables of the newest checkpoint still lie below the prefixes of other databases, of a cluster who leads it and how \
            many nodes are in sync.

            With --watch it does so again and again until it is ended: on a terminal in place of what was there, else one \
            report below the other, each behind a line with its time; with --json without that line. What goes wrong \
            meanwhile is said on standard error.

            Exit codes: 0 when the store was read, 1 when it cannot be read or holds no database there, 64 when the \
            command line or the configuration is wrong.
            """)

    @OptionGroup var options: StoreOptions

    @Flag(help: "Print JSON.")
    var json = false

    @Option(
        defaultAsFlag: "2s",
        help: ArgumentHelp("Look again and again, with so long in between: 500ms, 1m.", valueName: "interval"))
    var watch: String?

    private struct Report: Encodable {
        struct Checkpoint: Encodable {
            var key: String
            var revision: Int64
            var term: UInt64
            var index: UInt64
        }

        /// Who leads the cluster, or led it last.
        struct Leader: Encodable {
            var node: String
            var address: String
            var term: UInt64
            var in_sync: Int
            var resigned: Bool
        }

        struct Count: Encodable {
            var objects: Int
            var bytes: UInt64
        }

        struct Branch: Encodable {
            var id: String
            var checkpoint: String
        }

        struct Inherited: Encodable {
            var prefix: String
            var tables: Int
        }

        var store: String
        var latest_checkpoint: Checkpoint?
        /// Only of a cluster whose record is kept in the store.
        var leader: Leader?
        var checkpoints: Count
        var wal_segments: Count
        var ssts: Count
        var branches: [Branch]
        /// Tables of the newest checkpoint below other prefixes; only of a branch.
        var inherited_tables: [Inherited]?
    }

    func validate() throws {
        guard let watch else { return }
        guard let interval = Duration(parsing: watch), interval >= StatusCommand.intervalMin else {
            throw ValidationError("--watch takes a time of 100ms or more, such as 2s")
        }
    }

    private static let intervalMin = Duration.milliseconds(100)

    func run() async throws {
        let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
        do {
            let opened = try await options.open(logger: logger)
            do {
                try await show(opened)
            } catch {
                await opened.close()
                throw opened.explained(error)
            }
            await opened.close()
        } catch {
            throw fail(error)
        }
    }

    /// What the store has: once, or until the process is ended.
    private func show(_ opened: OpenedStore) async throws {
        let first = try await report(opened)
        guard let interval = watch.flatMap({ Duration(parsing: $0) }) else { return StandardOutput.writeLine(first) }
        StandardOutput.writeLine(heading + first)
        while true {
            await BackoffTimer.system.pause(interval)
            do {
                StandardOutput.writeLine(heading + (try await report(opened)))
            } catch {
                StandardError.write("t4: \(opened.explained(error))\n")
            }
        }
    }

    /// What stands before one of several reports.
    private var heading: String {
        if isatty(STDOUT_FILENO) != 0 { return StatusCommand.clearScreen + WallClock.timestamp + "\n" }
        return json ? "" : "\n\(WallClock.timestamp)\n"
    }

    private static let clearScreen = "\u{1B}[H\u{1B}[2J"

    private func report(_ opened: OpenedStore) async throws -> String {
        let status = try await SystemThread.run("command") { try StoreStatus(BlockingStore(opened.store)) }
        let report = StatusCommand.report(status, opened.displayName)
        return try json ? JSONText.of(report) : text(report, type: opened.type)
    }

    private static func report(_ status: StoreStatus, _ store: String) -> Report {
        func count(_ count: StoreStatus.Count) -> Report.Count { .init(objects: count.objects, bytes: count.bytes) }
        return Report(
            store: store,
            latest_checkpoint: status.head.map {
                .init(key: $0.checkpoint, revision: $0.revision, term: $0.term, index: $0.index)
            },
            leader: status.leader.map {
                .init(
                    node: $0.nodeID, address: $0.address, term: $0.term, in_sync: $0.inSyncSet.count,
                    resigned: $0.isResigned)
            }, checkpoints: count(status.checkpoints), wal_segments: count(status.log), ssts: count(status.tables),
            branches: status.branches.map { .init(id: $0.id, checkpoint: $0.checkpoint) },
            inherited_tables: status.inherited?.map { .init(prefix: $0.prefix, tables: $0.tables) })
    }

    private func text(_ report: Report, type: String) -> String {
        let sum = report.checkpoints.bytes + report.wal_segments.bytes + report.ssts.bytes
        var lines = ["\(type == "s3" ? "S3" : "Store") status \(report.store)", "", "Latest checkpoint"]
        if let latest = report.latest_checkpoint {
            lines += ["  key: \(latest.key)", "  revision: \(latest.revision)", "  term: \(latest.term)"]
        } else {
            lines.append("  (none)")
        }
        if let leader = report.leader {
            lines += [
                "", "Leader", "  node: \(leader.node)" + (leader.resigned ? " (resigned)" : ""),
                "  address: \(leader.address.isEmpty ? "(alone)" : leader.address)", "  term: \(leader.term)",
                "  in sync: \(leader.in_sync)",
            ]
        }
        lines += [
            "", "Storage objects", "  checkpoints: \(report.checkpoints.objects)",
            "  WAL segments: \(report.wal_segments.objects)", "  SSTs: \(report.ssts.objects)", "  bytes: \(sum)",
        ]
        if let inherited = report.inherited_tables {
            let places = inherited.map { "\($0.tables) (below \($0.prefix))" }
            lines.append("  inherited tables: " + (places.isEmpty ? "0" : places.joined(separator: ", ")))
        }
        lines += ["", "Branch forks"]
        lines += report.branches.isEmpty ? ["  (none)"] : report.branches.map { "  \($0.id): \($0.checkpoint)" }
        return lines.joined(separator: "\n")
    }
}
