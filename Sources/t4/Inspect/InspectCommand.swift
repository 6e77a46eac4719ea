import ArgumentParser

/// `t4 inspect`: reads a database and changes nothing.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Look into a data directory or a checkpoint without changing it.",
        discussion: """
            Into a data directory also while a node runs in it; into a checkpoint where it lies in the object store, \
            with --checkpoint, without restoring it: only what the answer needs is read.

            Exit codes: 0 with an answer, 1 without, 64 when the command line or the configuration is wrong.
            """,
        subcommands: [
            InspectMeta.self, InspectGet.self, InspectList.self, InspectCount.self, InspectHistory.self,
            InspectDiff.self,
        ])
}
