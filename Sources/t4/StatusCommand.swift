import ArgumentParser
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

            Exit codes: 0 when the store was read, 1 when it cannot be read or holds no database there, 64 when the \
            command line or the configuration is wrong.
            """)

    @OptionGroup var options: StoreOptions

    @Flag(help: "Print JSON.")
    var json = false

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

    func run() async throws {
        let report: Report
        let type: String
        do {
            (report, type) = try await options.with { opened in
                (StatusCommand.report(try StoreStatus(BlockingStore(opened.store)), opened.displayName), opened.type)
            }
        } catch {
            throw fail(error)
        }
        StandardOutput.writeLine(try json ? JSONText.of(report) : text(report, type: type))
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
                "  address: \(leader.address)", "  term: \(leader.term)", "  in sync: \(leader.in_sync)",
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
