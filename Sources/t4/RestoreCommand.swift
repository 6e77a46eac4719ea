import ArgumentParser

/// `t4 restore`: looks at the checkpoints of an object store.
struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "List the checkpoints of a database in its object store.",
        subcommands: [RestoreListCommand.self])
}
