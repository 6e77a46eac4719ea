import ArgumentParser

/// `t4 restore`: lists the checkpoints of an object store, and makes a data directory from one.
struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Restore a database from a backup, or from what its object store keeps.",
        subcommands: [RestoreFileCommand.self, RestoreListCommand.self, RestoreCheckpointCommand.self],
        defaultSubcommand: RestoreFileCommand.self)
}
