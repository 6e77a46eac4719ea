import ExampleEngine
import Foundation
import T4BuiltIns
package import T4Conformance
package import T4Protocols
import WriteBehindEngine

/// An engine that is right: what mutants are made from, and wrappers that must not be noticed.
package struct BaseEngine: Sendable {
    package var name: String
    package var capabilities: EngineCapabilities
    package var damage = EngineUnderTest.DamagePromise.undefined
    package var open: @Sendable (EngineContext) throws -> any LocalEngine

    /// The memory engine.
    static let memory = BaseEngine(
        name: "memory", capabilities: EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: true)
    ) { try BackendRegistry.builtIn.makeEngine("memory", settings: TextSettings(), context: $0) }

    /// The engine of `Examples/CustomEngine`.
    static let logFile = BaseEngine(
        name: "logfile",
        capabilities: EngineCapabilities(isPowerLossSafe: true, readsAreInline: false, isVolatile: false),
        damage: .detected
    ) { try LogFileEngine(context: $0) }

    /// Engines that keep every rule, beside those of the build.
    package static let all =
        [
            logFile,
            memory.wrapped("unbroken memory") { FlawedEngine($0, Flaw()) },
            memory.wrapped("memory without faults") { FaultyEngine($0, plan: .none) },
            BaseEngine(
                name: "logfile written behind", capabilities: logFile.capabilities, damage: .detected
            ) { try DelayedEngine(logFile.open($0), context: $0) },
            logFile.behindBuffer(bytes: 4000), memory.behindBuffer(bytes: 200),
        ] + lmdbBuffers

    /// The engine `lmdb` with other buffers than by default.
    private static var lmdbBuffers: [BaseEngine] {
        guard BackendRegistry.builtIn.engineNames.contains("lmdb") else { return [] }
        return ["0", "8KiB"].map { size in
            BaseEngine(
                name: "lmdb with a buffer of \(size)",
                capabilities: EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: false)
            ) {
                try BackendRegistry.builtIn.makeEngine(
                    "lmdb", settings: TextSettings(json: #"{"write_buffer_size": "\#(size)"}"#), context: $0)
            }
        }
    }

    /// The engine as the suite wants it.
    package func underTest(childProgram: ChildProgram) -> EngineUnderTest {
        EngineUnderTest(name: name, capabilities: capabilities, damage: damage, childProgram: childProgram, open: open)
    }

    private func behindBuffer(bytes: Int) -> BaseEngine {
        var behind = self
        behind.name += " behind a buffer"
        behind.open = { [open] context in
            let engine = try open(context)
            return context.isReadOnly ? engine : try WriteBehindEngine(engine, bufferBytes: bytes)
        }
        return behind
    }

    private func wrapped(
        _ name: String, _ wrap: @escaping @Sendable (any LocalEngine) -> any LocalEngine
    ) -> BaseEngine {
        var wrapped = self
        wrapped.name = name
        wrapped.open = { wrap(try open($0)) }
        return wrapped
    }
}

/// Opens an engine of this build, a base or a mutant by its name: what the child program does with its argument.
package func openSubject(_ name: String, _ context: EngineContext) throws -> any LocalEngine {
    if let base = BaseEngine.all.first(where: { $0.name == name }) { return try base.open(context) }
    if let mutant = Mutant.all.first(where: { $0.name == name }) { return try mutant.open(context) }
    return try BackendRegistry.builtIn.makeEngine(name, settings: TextSettings(), context: context)
}

/// A table of settings, written as JSON.
struct TextSettings: SettingsSource {
    var json = "{}"

    func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
        try JSONDecoder().decode(type, from: Data(json.utf8))
    }
}
