import Logging
import Synchronization
import T4BuiltIns
import T4Core
import T4Protocols

/// An empty store in memory.
func makeMemoryStore() async throws -> any ObjectStore {
    try await BackendRegistry.builtIn.makeStore(
        "memory", settings: NoStoreSettings(),
        context: StoreContext(dataDirectory: "/nonexistent", logger: Logger(label: "test")))
}

private struct NoStoreSettings: SettingsSource {
    private struct Empty: Decoder {
        var codingPath: [any CodingKey] { [] }
        var userInfo: [CodingUserInfoKey: Any] { [:] }
        func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "there are no settings"))
        }
        func unkeyedContainer() throws -> any UnkeyedDecodingContainer { fatalError("no settings are a list") }
        func singleValueContainer() throws -> any SingleValueDecodingContainer { fatalError("no settings are a value") }
    }

    func decode<Settings: Decodable & Sendable>(_ type: Settings.Type) throws -> Settings {
        try Settings(from: Empty())
    }
}

/// Time that passes only in pauses.
final class PausedTime: ElapsedClock {
    private let state = Mutex<[Duration]>([])

    var now: Duration { pauses.reduce(.zero, +) }
    var pauses: [Duration] { state.withLock { $0 } }

    var timer: BackoffTimer {
        BackoffTimer(clock: self) { duration in self.state.withLock { $0.append(duration) } }
    }
}

extension ObjectStore {
    /// Puts text.
    @discardableResult
    func put(
        _ key: ObjectKey, _ text: String, when condition: PutCondition = .always
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try await put(key, .bytes(Array(text.utf8)), when: condition)
    }
}
