import ArgumentParser
import FoundationEssentials
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// Where an inspection looks, and how it answers.
struct InspectOptions: ParsableArguments {
    @OptionGroup var store: StoreOptions

    @Option(
        help: "Look into a checkpoint in the object store instead: its name, or latest.",
        transform: CheckpointName.parse)
    var checkpoint: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        if checkpoint == nil, let flag = store.flagsOfStore.first {
            throw ValidationError("--\(flag) names an object store: say with --checkpoint what to look at in it")
        }
    }

    /// Runs an inspection on a thread that may block.
    func run(_ body: @escaping @Sendable (Inspection) throws -> Void) async throws {
        try await reportingFailure {
            if let checkpoint {
                try await store.with { opened in
                    let view = try StoredCheckpoints(opened).view(checkpoint)
                    try body(Inspection(view.snapshot, name: view.name))
                }
            } else {
                let directory = dataDirectory
                let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
                try await SystemThread.run("inspect") {
                    try body(Inspection(dataDirectory: directory, registry: .builtIn, logger: logger))
                }
            }
        }
    }

    /// Runs a comparison of `checkpoint` with another one.
    func compare(
        with other: String, _ body: @escaping @Sendable (CheckpointSnapshot, CheckpointSnapshot) throws -> Void
    ) async throws {
        guard let checkpoint else { throw ValidationError("--with-checkpoint needs --checkpoint") }
        try await reportingFailure {
            try await store.with { opened in
                let stored = try StoredCheckpoints(opened)
                try body(stored.view(checkpoint).snapshot, stored.view(other).snapshot)
            }
        }
    }

    private var dataDirectory: String {
        let environment = ProcessInfo.processInfo.environment["T4_DATA_DIR"].flatMap { $0.isEmpty ? nil : $0 }
        return store.dataDir ?? environment ?? "/var/lib/t4"
    }

    /// Ends the command with code 1 and a message when something throws.
    private func reportingFailure(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let code as ExitCode {
            throw code
        } catch {
            throw fail(error)
        }
    }
}

extension StoreOptions {
    /// Flags that were given and say something about an object store alone.
    fileprivate var flagsOfStore: [String] {
        [
            ("config", config), ("store-type", storeType), ("store-prefix", storePrefix),
            ("store-filesystem-path", storeFilesystemPath), ("s3-bucket", s3Bucket), ("s3-prefix", s3Prefix),
            ("s3-endpoint", s3Endpoint), ("s3-as-of", s3AsOf),
        ].compactMap { flag, value in value == nil ? nil : flag }
    }
}
