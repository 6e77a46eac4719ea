import ArgumentParser

/// The `t4` command.
@main
struct T4Command: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "t4",
        abstract: "A durable key-value database for infrastructure state that speaks the etcd v3 API.",
        subcommands: [
            RunCommand.self, InspectCommand.self, StatusCommand.self, VerifyCommand.self, BackupCommand.self,
            RestoreCommand.self, ShipCommand.self, ReplayCommand.self, BranchCommand.self, ImportCommand.self,
            ReplicateCommand.self, GCCommand.self,
            EngineCommand.self,
            RecoverCommand.self, ConfigCommand.self, VerifyStoreCommand.self,
            BenchCommand.self, BenchStoreCommand.self,
            VersionCommand.self,
        ])
}
