import Foundation
import Logging
import T4BuiltIns
import T4Protocols

@testable import T4Core

/// A node with an object store: the store stays when the disk goes, and the other way round.
final class StoreNode {
    let directory: String
    let engine: String
    var durability: Durability
    /// Makes the node a read replica.
    var replicaInterval: Duration?
    /// The objects, without any wrapper.
    let base: any ObjectStore
    /// What nodes get.
    var store: any ObjectStore
    var settings: NodeStore
    /// Hears of failures of the node.
    let failures = Monitor<[String]>([])
    /// Where commit times come from.
    var clock = Clock.system
    /// Time that passes.
    var elapsed: any ElapsedClock = BootClock()
    /// Pauses take no longer than this.
    var pauseMax = Duration.seconds(60)
    var registry = BackendRegistry.builtIn
    var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private(set) var node: Node!

    init(
        _ durability: Durability, engine: String = "memory", on given: (any ObjectStore)? = nil,
        through store: (any ObjectStore)? = nil
    ) async throws {
        let base: any ObjectStore
        if let given { base = given } else { base = try await makeMemoryStore() }
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("t4-store-\(UUID().uuidString)").path
        self.engine = engine
        self.durability = durability
        self.base = base
        self.store = store ?? base
        settings = NodeStore(.opened(base), prefix: "db/")
        // So that a test decides when there is a checkpoint.
        settings.checkpoints.interval = nil
        settings.stopTimeout = .milliseconds(200)
    }

    deinit {
        do { try removeDisk() } catch { fatalError("a test's directory could not be removed: \(error)") }
    }

    func start() async throws {
        var settings = settings
        settings.source = .opened(store)
        var configuration = NodeConfiguration(dataDirectory: directory, engine: engine)
        configuration.segmentSizeMax = 64 << 10
        configuration.store = settings
        configuration.durability = durability
        configuration.replicaInterval = replicaInterval
        configuration.name = "node"
        let failures = failures
        configuration.onFailure = { error in
            failures.withLock { $0.append("\(error)") }
            failures.broadcast()
        }
        let pauseMax = pauseMax
        let timer = BackoffTimer(clock: elapsed) { await BackoffTimer.system.pause(min($0, pauseMax)) }
        let (final, store, clock, registry, logger) = (configuration, store, clock, registry, logger)
        node = try await SystemThread.run("start") {
            try Node(final, registry: registry, logger: logger, clock: clock, timer: timer, store: store)
        }
    }

    func stop() async throws {
        try await node?.stop()
        node = nil
    }

    func restart() async throws {
        try await stop()
        try await start()
    }

    /// What a lost disk leaves.
    func removeDisk() throws {
        if FileManager.default.fileExists(atPath: directory) { try FileManager.default.removeItem(atPath: directory) }
    }

    /// The database in the store.
    var chain: LogChain {
        get async throws {
            let store = PrefixedStore(base, prefix: "db/")
            return try await onThread {
                let blocking = BlockingStore(store)
                return LogChain(blocking, databaseID: try DatabaseObject.read(blocking)!.id)
            }
        }
    }

    func put(_ key: String, _ value: String) async throws {
        try await node.put(PutRequest(key: Array(key), value: Array(value)))
    }

    /// Everything that exists, as text.
    func all() throws -> [String] {
        try node.range(RangeRequest(key: [0], rangeEnd: [0])).kvs.map(\.text)
    }

    /// Names of objects below the prefix.
    func objects(_ prefix: String) async throws -> [String] {
        var names: [String] = []
        while true {
            let page = try await base.list(
                prefix: ObjectKey("db/" + prefix), after: names.last.map { ObjectKey("db/" + $0) }, limit: 1000)
            names += page.objects.map { String($0.key.rawValue.dropFirst(3)) }
            if !page.hasMore { return names }
        }
    }
}
