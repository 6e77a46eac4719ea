import Logging
import Synchronization
import T4Protocols

@testable import T4Config

/// Settings of an engine that only tests know.
struct TapeSettings: Decodable, Sendable, Hashable {
    /// Required.
    var path: String
    var isFast: Bool?
    var tracks: UInt8?
    var ratio: Double?
    var password: String?
    var heads: [String]?

    enum CodingKeys: String, CodingKey {
        case path, tracks, ratio, password, heads
        case isFast = "is_fast"
    }
}

struct DrumSettings: Decodable, Sendable {}

/// What opening a toy engine ends with: there is none to open, and what would be opened is all that tests ask for.
struct Opened: Error, Equatable {
    var tape: TapeSettings
}

/// Two engines, one with settings of which one is required, and one without any.
let toyRegistry: BackendRegistry = {
    var registry = BackendRegistry()
    registry.register(
        engine: "tape", settings: TapeSettings.self,
        describedBy: [
            SettingDescription("path", value: "DIRECTORY", defaultText: "required", "Where the tape is."),
            SettingDescription("is_fast", value: "true|false", defaultTOML: "false", "Whether it runs twice as fast."),
        ]
    ) { settings, _ in throw Opened(tape: settings) }
    registry.register(engine: "drum", settings: DrumSettings.self) { _, context in
        throw EngineError(.unsupported, "no drum in \(context.directory)")
    }
    return registry
}()
