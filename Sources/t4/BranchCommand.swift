import ArgumentParser
import T4Config
import T4Core
import T4Protocols

/// `t4 branch`: registers databases that begin as a part of another one.
struct BranchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "branch", abstract: "Fork a database without copying it, and list and forget its branches.",
        discussion: """
            A branch is a database with a prefix of its own in the same store. It begins with the tables of a checkpoint \
            of its parent, where they lie, and writes its own from then on.
            """,
        subcommands: [BranchForkCommand.self, BranchListCommand.self, BranchUnforkCommand.self])
}

/// `t4 branch fork`.
struct BranchForkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fork", abstract: "Register a branch and print what its first node is to be given.",
        discussion: """
            Prints the value for --branch-checkpoint; --branch-prefix is the prefix that is given here. Without a target \
            the branch begins at the newest checkpoint. What the branch may need is kept until `t4 branch unfork`.

            Exit codes: 0 when the branch is registered, 1 when not, 64 when the command line is wrong.
            """)

    @Option(help: "The branch's name: 1 to 128 letters, digits, dots, hyphens and underscores.")
    var branchId: String

    @Option(help: "Begin at this checkpoint, named as `t4 restore list` shows it.", transform: CheckpointName.parse)
    var checkpoint: String?

    @Option(help: "Begin behind the write that made this revision.")
    var toRevision: Int64?

    @Option(help: "Begin at this time, as RFC 3339 writes it: 2024-06-01T12:00:00Z.", transform: PointInTime.parse)
    var toTime: Timestamp?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var options: StoreOptions

    private struct Report: Encodable {
        var branch: String
        var prefix: String
        var checkpoint: String
    }

    func validate() throws {
        guard [checkpoint != nil, toRevision != nil, toTime != nil].count(where: { $0 }) <= 1 else {
            throw ValidationError("--checkpoint, --to-revision and --to-time cannot be had together")
        }
    }

    func run() async throws {
        try await options.report(writer: "t4 branch fork") { opened in
            var target = RestorePoint.Target.latestCheckpoint
            if let checkpoint { target = .checkpoint(ObjectKey(checkpoint)) }
            if let toRevision { target = .revision(Revision(toRevision)) }
            if let toTime { target = .time(toTime.nanoseconds) }
            let point = try await Branches(store: opened.root, prefix: opened.prefix).fork(branchId, at: target)
            let report = Report(branch: branchId, prefix: point.prefix, checkpoint: "\(point)")
            StandardOutput.writeLine(json ? try JSONText.of(report) : "\(point)")
        }
    }
}

/// `t4 branch list`.
struct BranchListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List the registered branches of a database.")

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var options: StoreOptions

    private struct Report: Encodable {
        var branch: String
        var checkpoint: String
        var revision: Int64
        var created: UInt64
    }

    func run() async throws {
        try await options.report { opened in
            let entries = try await Branches(store: opened.root, prefix: opened.prefix).list()
            if json {
                let reports = entries.map {
                    Report(
                        branch: $0.id, checkpoint: $0.checkpoint, revision: $0.revision.rawValue,
                        created: $0.createdTime)
                }
                StandardOutput.writeLine(try JSONText.of(reports))
            } else if entries.isEmpty {
                StandardOutput.writeLine("no branches of \(opened.displayName)")
            } else {
                let rows = entries.map { [$0.id, "\($0.revision)", $0.checkpoint] }
                StandardOutput.writeLine(Table.columns([["BRANCH", "REVISION", "CHECKPOINT"]] + rows))
            }
        }
    }
}

/// `t4 branch unfork`.
struct BranchUnforkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "unfork", abstract: "Forget a branch, so that collections may remove what only it used.",
        discussion: """
            The branch's nodes must not run any more: what they still use of their parent's tables goes with the next \
            `t4 gc`. `t4 status` of the branch says how many tables its newest checkpoint has inherited; a branch that \
            is to stay, and has none in any of its checkpoints, needs no registration either. A name that is not \
            registered is no error.
            """)

    @Option(help: "The branch's name.")
    var branchId: String

    @OptionGroup var options: StoreOptions

    func run() async throws {
        try await options.report(writer: "t4 branch unfork") { opened in
            let wasThere = try await Branches(store: opened.root, prefix: opened.prefix).unfork(branchId)
            StandardOutput.writeLine(
                wasThere
                    ? "branch \(branchId) of \(opened.displayName) is forgotten"
                    : "no branch \(branchId) of \(opened.displayName)")
        }
    }
}
