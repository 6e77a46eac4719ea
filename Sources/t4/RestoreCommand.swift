import ArgumentParser

/// `t4 restore`: lists the checkpoints of an object store, and makes a data directory from one.
struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "List what an object store keeps of a database, and restore it.",
        subcommands: [RestoreListCommand.self, RestoreCheckpointCommand.self])
}
