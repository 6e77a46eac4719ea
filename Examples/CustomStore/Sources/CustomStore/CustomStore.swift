import Foundation
import Logging
import OneFileStore
import T4BuiltIns
import T4Config
import T4Conformance
import T4Core
import T4Protocols

/// An object store that t4 does not come with: is it right, and how does a node use it? Run it with `swift run` in this
/// folder; the exit code is 1 when the store breaks a rule.
@main
struct CustomStore {
    static func main() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
            "t4-custom-store-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let isRight = await keepsTheRules(directory)
        if isRight { try await serve(directory) }
        try FileManager.default.removeItem(at: directory)
        exit(isRight ? 0 : 1)
    }

    private static func keepsTheRules(_ directory: URL) async -> Bool {
        let store = StoreUnderTest(
            name: "onefile",
            capabilities: ObjectStoreCapabilities(putsIfAbsent: true, putsIfUnchanged: true, isDurable: true)
        ) {
            let file = directory.appendingPathComponent(UUID().uuidString)
            return StoreStorage(
                open: { try await OneFileStore(OneFileSettings(path: file.path)) },
                remove: { try FileManager.default.removeItem(at: file) })
        }
        let report = await StoreConformance.run(store) { print($0) }
        if !report.isPassed { print("\(report.broken.count) rules are broken") }
        return report.isPassed
    }

    /// Runs a node on the store, chosen in a TOML file as any other is, and takes the node's disk away.
    private static func serve(_ directory: URL) async throws {
        let file = directory.appendingPathComponent("t4.toml")
        let text = """
            [node]
            data_dir = "\(directory.path)/data"

            [engine]
            type = "memory"

            [store]
            type = "onefile"

            [store.onefile]
            path = "\(directory.path)/objects"
            """
        try Data(text.utf8).write(to: file)

        var registry = BackendRegistry.builtIn
        registry.register(
            store: "onefile", settings: OneFileSettings.self, describedBy: OneFileSettings.descriptions
        ) { settings, _ in
            try await OneFileStore(settings)
        }
        let configuration = try Configuration.load(file: file.path, environment: [:], registry: registry)
        var nodeConfiguration = NodeConfiguration(
            dataDirectory: configuration.node.dataDirectory, engine: configuration.engine.type,
            engineSettings: configuration.engine.settings)
        nodeConfiguration.store = NodeStore(
            .registered(configuration.store.type, settings: configuration.store.settings),
            prefix: configuration.store.prefix)
        // What the file says or, as here, what suits a store outside of the data directory: writes wait for the store.
        nodeConfiguration.durability = configuration.wal.durability
        precondition(nodeConfiguration.durability == .objectStore)
        var logger = Logger(label: "custom-store")
        logger.logLevel = .warning

        var node = try await Node.start(nodeConfiguration, registry: registry, logger: logger)
        for number in 1...100 { try await node.put(request(number, "before")) }
        let checkpoint = try await node.checkpoint()
        precondition(checkpoint != nil)
        // These are in the log alone.
        for number in 51...150 { try await node.put(request(number, "after")) }
        let revision = node.revision
        try await node.stop()

        try FileManager.default.removeItem(atPath: configuration.node.dataDirectory)
        node = try await Node.start(nodeConfiguration, registry: registry, logger: logger)
        precondition(node.revision == revision)
        let found = try node.range(RangeRequest(key: Array("/key/".utf8), rangeEnd: Array("/key0".utf8)))
        precondition(found.kvs.count == 150)
        for number in 1...150 {
            let expected = request(number, number <= 50 ? "before" : "after")
            precondition(found.kvs[number - 1].key == expected.key && found.kvs[number - 1].value == expected.value)
        }
        try await node.stop()
        print("a node on the store \"\(configuration.store.type)\" lost its disk and had everything back")
    }

    private static func request(_ number: Int, _ value: String) -> PutRequest {
        PutRequest(key: Array("/key/\(1000 + number)".utf8), value: Array("\(value) \(number)".utf8))
    }
}
