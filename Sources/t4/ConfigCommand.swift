import ArgumentParser
import T4BuiltIns
import T4Config
import T4Protocols

/// `t4 config`: looks at the configuration without starting a node.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Check, show or begin a configuration.",
        discussion: """
            Exit codes: 0 when the configuration is good, 64 when something in it or in the command line is wrong.
            """,
        subcommands: [Check.self, Show.self, Example.self])

    /// `t4 config check`.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Report everything that is wrong with a configuration.", usage: usage(of: "check"),
            discussion: flagNote)

        @Argument(parsing: .captureForPassthrough, help: .hidden)
        var arguments: [String] = []

        func run() throws {
            guard let configuration = try loadConfiguration(arguments, for: Check.self) else { return }
            StandardOutput.writeLine(
                "ok: node \(configuration.node.id), engine \(configuration.engine.type), "
                    + "store \(configuration.storeName), \(configuration.node.listen)")
        }
    }

    /// `t4 config show`.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print every setting with the origin of its value, as TOML without secrets.",
            usage: usage(of: "show"), discussion: flagNote)

        @Argument(parsing: .captureForPassthrough, help: .hidden)
        var arguments: [String] = []

        func run() throws {
            guard let configuration = try loadConfiguration(arguments, for: Show.self) else { return }
            print(configuration.describe(), terminator: "")
        }
    }

    /// `t4 config example`.
    struct Example: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print a TOML file that shows every setting.")

        @Flag(help: "Print the reference page docs/configuration.md instead.")
        var markdown = false

        func run() {
            let registry = BackendRegistry.builtIn
            print(
                markdown ? Configuration.referenceMarkdown(registry) : Configuration.exampleTOML(registry),
                terminator: "")
        }
    }
}

private let flagNote = "The settings are those of `t4 run`, which lists them with --help."

private func usage(of name: String) -> String { "t4 config \(name) [--config FILE] [SETTINGS]" }

/// Reads file, environment and flags as `t4 run` does.
/// - Returns: Nil when the arguments ask for help, which has then been printed.
/// - Throws: `ExitCode` after the problems have been written to standard error.
private func loadConfiguration(
    _ arguments: [String], for command: any ParsableCommand.Type
) throws -> Configuration? {
    if arguments.contains("--help") || arguments.contains("-h") {
        StandardOutput.writeLine(ConfigCommand.helpMessage(for: command))
        return nil
    }
    do {
        let configuration = try ConfigurationSource(arguments: arguments).load(BackendRegistry.builtIn)
        for warning in configuration.warnings { StandardError.write("t4: warning: \(warning)\n") }
        return configuration
    } catch {
        throw fail(error)
    }
}
