import Foundation
import Logging
import T4BuiltIns
import T4Conformance
import T4Protocols

/// The engines of this build, as the suite wants them.
enum BuiltIn {
    static let engines: [EngineUnderTest] = BackendRegistry.builtIn.engineNames.map { name in
        EngineUnderTest(
            name: name, capabilities: promises[name] ?? promises["lmdb"]!
        ) { context in
            try BackendRegistry.builtIn.makeEngine(name, settings: JSONSettings("{}"), context: context)
        }
    }

    /// What each engine has to promise; as `lmdb` where it is not named.
    private static let promises = [
        "lmdb": EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: false),
        "memory": EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: true),
        "rocksdb": EngineCapabilities(isPowerLossSafe: true, readsAreInline: false, isVolatile: false),
    ]
}

/// Settings written as JSON.
struct JSONSettings: SettingsSource {
    let text: String

    init(_ text: String) { self.text = text }

    func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }
}
