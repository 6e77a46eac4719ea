import ArgumentParser

/// `t4 inspect`: reads a data directory, stopped or running, and changes nothing.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Look into a data directory without changing it, also while a node runs in it.",
        subcommands: [
            InspectMeta.self, InspectGet.self, InspectList.self, InspectCount.self, InspectHistory.self,
            InspectDiff.self,
        ])
}
