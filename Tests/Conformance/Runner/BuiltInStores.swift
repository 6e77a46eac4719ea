import Foundation
import Logging
import T4BuiltIns
import T4Conformance
import T4Core
import T4Protocols

extension BuiltIn {
    /// The stores that need no server, and each wrapper.
    static let stores: [StoreUnderTest] =
        [memoryStore, filesystemStore(), filesystemStore(#""conditional_puts": "off""#, isConditional: false)]
        + wrappers

    static let memoryStore = StoreUnderTest(
        name: "memory",
        capabilities: ObjectStoreCapabilities(putsIfAbsent: true, putsIfUnchanged: true, isDurable: false)
    ) {
        // The clients of one registry share its storage.
        let registry = BackendRegistry.builtIn
        return StoreStorage(open: { try await openStore("memory", registry: registry) }, remove: {})
    }

    /// - Parameter settings: More members of the JSON object of the settings.
    static func filesystemStore(_ settings: String = "", isConditional: Bool = true) -> StoreUnderTest {
        StoreUnderTest(
            name: settings.isEmpty ? "filesystem" : "filesystem (\(settings))",
            capabilities: ObjectStoreCapabilities(
                putsIfAbsent: isConditional, putsIfUnchanged: isConditional, isDurable: true)
        ) {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("t4-store-\(UUID().uuidString)")
            return StoreStorage(
                open: { try await openStore("filesystem", "{\(settings)}", dataDirectory: folder.path) },
                remove: { try FileManager.default.removeItem(at: folder) })
        }
    }

    /// Keeps what it has read of an object: for parts of objects that nobody else replaces.
    static let readAhead = memoryStore.wrapped("reading ahead") { ReadAheadStore($0) }

    /// The beginnings of the names of rules where one client reads parts of what another one replaces.
    static let rulesOfReplacedParts = ["random operations match"]

    static func openStore(
        _ name: String, _ settings: String = "{}", dataDirectory: String = "/nonexistent",
        registry: BackendRegistry = .builtIn
    ) async throws -> any ObjectStore {
        var logger = Logger(label: "conformance")
        logger.logLevel = .critical
        return try await registry.makeStore(
            name, settings: JSONSettings(settings),
            context: StoreContext(dataDirectory: dataDirectory, logger: logger))
    }

    private static let wrappers = [
        memoryStore.wrapped("prefixed") { PrefixedStore($0, prefix: "t4/\u{E9}") },
        memoryStore.wrapped("retrying") { RetryingStore($0) },
        // As nodes and those who read their stores have it.
        memoryStore.wrapped("retrying with a timer to end") {
            RetryingStore($0, timer: EndableTimer(.system).timer)
        },
        memoryStore.wrapped("retrying after the end of its timer") {
            let timer = EndableTimer(.system)
            timer.end()
            return RetryingStore($0, timer: timer.timer)
        },
        memoryStore.wrapped("metered") { MeteredStore($0) { _ in } },
        memoryStore.wrapped("throttled to 1") { ThrottledStore($0, parallelMax: 1) },
        memoryStore.wrapped("throttled to 3") { ThrottledStore($0, parallelMax: 3) },
        memoryStore.wrapped("faultless faulty") { FaultyStore($0) },
        memoryStore.wrapped("retrying over faulty") { base in
            let refusals = [StoreFault(nil, .beforeEffect, .random(0.2))]
            let lostAnswers = [.get, .info, .list].map { StoreFault($0, .afterEffect, .random(0.2)) }
            let unsure = StoreFault(.delete, .afterEffect, .random(0.2), error: .outcomeUnknown)
            return RetryingStore(
                FaultyStore(base, faults: refusals + lostAnswers + [unsure], seed: 7), timer: .impatient)
        },
        filesystemStore().wrapped("all wrappers") {
            MeteredStore(RetryingStore(ThrottledStore(PrefixedStore($0, prefix: "a/b/"), parallelMax: 4))) { _ in }
        },
    ]
}

extension BackoffTimer {
    /// Does not wait, and never runs out of time: a busy machine must not make a store give up.
    static let impatient = BackoffTimer(clock: StoppedClock()) { _ in await Task.yield() }

    private struct StoppedClock: ElapsedClock {
        let now = Duration.zero
    }
}
