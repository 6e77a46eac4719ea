import ArgumentParser
import T4BuiltIns
import T4Config
import T4Protocols

/// `t4 config`: looks at the configuration without starting a node.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Check, show or begin a configuration.",
        discussion: """
            Exit codes: 0 when the configuration is good, 1 when something in it is wrong, 64 when the command line is.
            """,
        subcommands: [Check.self, Show.self, Example.self])

    /// `t4 config check`.
    struct Check: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Report everything that is wrong with a configuration.")

        @OptionGroup var options: ConfigurationOptions

        func run() throws {
            let configuration = try options.load(engineNames: BackendRegistry.builtIn.engineNames)
            print("ok: node \(configuration.node.id), engine \(configuration.engine.type), \(configuration.node.listen)")
        }
    }

    /// `t4 config show`.
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print every setting with the origin of its value, as TOML without secrets.")

        @OptionGroup var options: ConfigurationOptions

        func run() throws {
            print(try options.load(engineNames: BackendRegistry.builtIn.engineNames).describe(), terminator: "")
        }
    }

    /// `t4 config example`.
    struct Example: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print a TOML file that shows every setting.")

        @Flag(help: "Print the reference page docs/configuration.md instead.")
        var markdown = false

        func run() {
            print(markdown ? Configuration.referenceMarkdown : Configuration.exampleTOML, terminator: "")
        }
    }
}
