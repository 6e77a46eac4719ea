import Foundation
import LogFileEngine
import Logging
import T4Config
import T4Conformance
import T4Core
import T4Protocols

/// An engine that t4 does not come with: is it right, and how is it chosen? Run it with `swift run` in this folder; the
/// exit code is 1 when the engine breaks a rule.
@main
struct CustomEngine {
    static func main() async throws {
        let engine = EngineUnderTest(
            name: "logfile",
            capabilities: EngineCapabilities(isPowerLossSafe: true, readsAreInline: false, isVolatile: false),
            damage: .detected, childProgram: .thisProgram
        ) { context in
            try LogFileEngine(context: context)
        }
        // Some rules start this program again, to kill it.
        EngineChild.runIfStarted(engine.open)

        let report = await EngineConformance.run(engine) { print($0) }
        guard report.isPassed else {
            print("\(report.broken.count) rules are broken")
            exit(1)
        }
        try await serve()
    }

    /// Runs a node on the engine, chosen in a TOML file as any other is.
    private static func serve() async throws {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("t4-custom-engine-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let file = directory.appendingPathComponent("t4.toml")
        let text = """
            [node]
            data_dir = "\(directory.path)/data"

            [engine]
            type = "logfile"

            [engine.logfile]
            waste_factor = 4
            """
        try Data(text.utf8).write(to: file)

        var registry = BackendRegistry()
        registry.register(engine: "logfile", settings: LogFileSettings.self) { settings, context in
            try LogFileEngine(settings, context: context)
        }
        let configuration = try Configuration.load(
            file: file.path, environment: [:], registry: registry)
        let nodeConfiguration = NodeConfiguration(
            dataDirectory: configuration.node.dataDirectory, engine: configuration.engine.type,
            engineSettings: configuration.engine.settings)
        var logger = Logger(label: "custom-engine")
        logger.logLevel = .warning

        var node = try await Node.start(nodeConfiguration, registry: registry, logger: logger)
        try await node.put(PutRequest(key: Array("/greeting".utf8), value: Array("hello".utf8)))
        try await node.stop()
        node = try await Node.start(nodeConfiguration, registry: registry, logger: logger)
        let found = try node.range(RangeRequest(key: Array("/greeting".utf8)))
        precondition(found.kvs.first?.value == Array("hello".utf8))
        try await node.stop()
        try await Checkpoints(directory: directory, logger: logger).check()
        try FileManager.default.removeItem(at: directory)
        print("a node on the engine \"\(configuration.engine.type)\" kept its data over a restart")
    }
}
