import ArgumentParser
import FoundationEssentials
import Logging
import T4BuiltIns
import T4Config
import T4Core
import T4Protocols

/// What every inspection needs.
struct InspectOptions: ParsableArguments {
    @Option(help: "The data directory. Environment: T4_DATA_DIR.")
    var dataDir: String?

    @Flag(help: "Print JSON.")
    var json = false

    /// Opens the directory, or ends the command with code 1 and a message.
    func open() throws -> Inspection {
        let environment = ProcessInfo.processInfo.environment["T4_DATA_DIR"].flatMap { $0.isEmpty ? nil : $0 }
        let directory = dataDir ?? environment ?? "/var/lib/t4"
        let logger = Logger(label: "t4") { LineLogHandler(label: $0, level: .warning, format: .text) }
        return try Inspection(dataDirectory: directory, registry: .builtIn, logger: logger)
    }

    /// Runs an inspection and prints what it gives.
    func run(_ body: (Inspection) throws -> Void) throws {
        do {
            try body(open())
        } catch let code as ExitCode {
            throw code
        } catch {
            throw fail(error)
        }
    }
}
