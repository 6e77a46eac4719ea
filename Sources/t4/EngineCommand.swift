import ArgumentParser
import FoundationEssentials
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// `t4 engine`: works on the engine of a stopped data directory.
struct EngineCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "engine", abstract: "Convert the local engine of a data directory.",
        subcommands: [Convert.self])

    /// `t4 engine convert`.
    struct Convert: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make the engine of a stopped data directory again, as one of another type.",
            discussion: """
                Copies all rows into a new engine, checks them, and puts it in the place of the old one. Nothing is \
                lost when it is cut off: either engine is then in use, whole. With the type that the directory has \
                already, the engine is made again: its files get as small as they can be, and settings that count \
                only when an engine is made take effect.

                The settings of both engines come from the configuration. Set engine.type in it afterwards: a node \
                refuses a directory with another engine. An engine that keeps nothing on disk (memory) can be neither \
                converted nor converted to.

                Exit codes: 0 when the directory is converted, 1 when not, 64 when the command line is wrong.
                """)

        @Option(help: "The engine to convert to.")
        var to: String

        @Option(help: "The data directory; else that of the configuration.")
        var dataDir: String?

        @Option(help: "Read settings from a TOML file. Environment: T4_CONFIG.")
        var config: String?

        @Flag(help: "Print JSON.")
        var json = false

        private struct Report: Encodable {
            var data_dir: String
            var engine_dir: String
            var from: String
            var to: String
            var rows: Int64
            var bytes: Int64
            var size_before: Int
            var size_after: Int
            var seconds: Double
        }

        func run() throws {
            do {
                try convert()
            } catch {
                throw fail(error)
            }
        }

        private func convert() throws {
            var arguments: [String] = []
            if let config { arguments += ["--config=\(config)"] }
            if let dataDir { arguments += ["--data-dir=\(dataDir)"] }
            let configuration = try ConfigurationSource(arguments: arguments).load(.builtIn)
            let logger = Logger(label: "t4") {
                LineLogHandler(label: $0, level: configuration.log.level, format: configuration.log.format)
            }
            let directory = configuration.node.dataDirectory
            let conversion = EngineConversion(dataDirectory: directory, registry: .builtIn, logger: logger) {
                configuration.engine.settings(of: $0)
            }
            let clock = ContinuousClock()
            let begin = clock.now
            let done = try conversion.run(to: to)
            let seconds = (clock.now - begin) / .seconds(1)
            if json {
                let report = Report(
                    data_dir: directory, engine_dir: done.engineDirectory, from: done.from, to: done.to,
                    rows: done.rows, bytes: done.bytes, size_before: done.sizeBefore, size_after: done.sizeAfter,
                    seconds: seconds)
                return StandardOutput.writeLine(try JSONText.of(report))
            }
            let lines = [
                ("Data dir", directory), ("Engine", "\(done.from) -> \(done.to)"),
                ("Engine dir", done.engineDirectory), ("Rows", "\(done.rows)"), ("Bytes", "\(done.bytes)"),
                ("Size on disk", "\(done.sizeBefore) -> \(done.sizeAfter)"),
                ("Time", "\(Int(seconds * 1000)) ms"),
            ]
            StandardOutput.writeLine(Table.labelled(lines))
            if configuration.engine.type != to {
                StandardError.write(
                    "t4: the configuration still names the engine \"\(configuration.engine.type)\": set engine.type to "
                        + "\"\(to)\" before the next start\n")
            }
        }
    }
}
