import ConformanceMutants
import Foundation
import Logging
import T4BuiltIns
import T4Conformance
import T4Protocols

/// The engines of this build, as the suite wants them.
enum BuiltIn {
    /// What an engine promises.
    private struct Expectation {
        var capabilities: EngineCapabilities
        var damage: EngineUnderTest.DamagePromise
    }

    private static let expectations = [
        "lmdb": Expectation(
            capabilities: EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: false),
            damage: .undefined),
        "memory": Expectation(
            capabilities: EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: true),
            damage: .undefined),
        "rocksdb": Expectation(
            capabilities: EngineCapabilities(isPowerLossSafe: true, readsAreInline: false, isVolatile: false),
            damage: .detected),
        "leveldb": Expectation(
            capabilities: EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: false),
            damage: .detected),
    ]

    static let engines: [EngineUnderTest] = BackendRegistry.builtIn.engineNames.map { name in
        let open: @Sendable (EngineContext) throws -> any LocalEngine = { context in
            try BackendRegistry.builtIn.makeEngine(name, settings: JSONSettings("{}"), context: context)
        }
        let expectation = expectations[name]
        return EngineUnderTest(
            name: name, capabilities: expectation?.capabilities ?? saidCapabilities(open),
            damage: expectation?.damage ?? .undefined, childProgram: .crashChild(name), open: open)
    }

    /// What an engine that is not in the table says of itself.
    private static func saidCapabilities(
        _ open: (EngineContext) throws -> any LocalEngine
    ) -> EngineCapabilities {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("t4-engine-\(UUID().uuidString)")
        do {
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: directory) }
            let engine = try open(
                EngineContext(directory: directory.path, isReadOnly: false, logger: Logger(label: "test")))
            let capabilities = engine.capabilities
            try engine.close()
            return capabilities
        } catch {
            fatalError("an engine of this build cannot be opened: \(error)")
        }
    }
}

extension ChildProgram {
    /// The child of these tests, which was built beside the test bundle; it opens the engine of that name.
    static func crashChild(_ engine: String) -> ChildProgram {
        let bundle = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        let path = bundle.deletingLastPathComponent().appendingPathComponent("CrashChild").path
        return ChildProgram(executable: path, arguments: [engine])
    }
}

extension EngineContext {
    /// For engines that keep no files.
    static var test: EngineContext {
        EngineContext(directory: "/nonexistent", isReadOnly: false, logger: Logger(label: "test"))
    }
}

/// Settings written as JSON.
struct JSONSettings: SettingsSource {
    let text: String

    init(_ text: String) { self.text = text }

    func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }
}
