import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Core
import T4Protocols

/// What all parts of the benchmark share: where they work, how they open nodes, how they write.
struct StoreBench: Sendable {
    struct Settings: Sendable {
        var directory: String
        var engine = "lmdb"
        var keys = 1_000_000
        var valueSize = 300
        var updates = 10_000
        var rounds = 3
        var delay = Duration.milliseconds(20)
        var duration = Duration.seconds(5)
        var objects = 100_000
        var rate = 500
        var span = Duration.seconds(60)
    }

    let settings: Settings
    let logger: Logger
    let registry = BackendRegistry.builtIn

    func path(_ name: String) -> String { "\(settings.directory)/\(name)" }

    func remove(_ name: String) throws {
        if FileManager.default.fileExists(atPath: path(name)) {
            try FileManager.default.removeItem(atPath: path(name))
        }
    }

    /// A store in a folder of that name.
    func folderStore(_ name: String) async throws -> any ObjectStore {
        try await registry.makeStore(
            "filesystem", settings: NoSettings(), context: StoreContext(dataDirectory: path(name), logger: logger))
    }

    /// An empty store in memory.
    func memoryStore() async throws -> any ObjectStore {
        try await BackendRegistry.builtIn.makeStore(
            "memory", settings: NoSettings(), context: StoreContext(dataDirectory: settings.directory, logger: logger))
    }

    func node(
        _ name: String, _ store: any ObjectStore, _ durability: Durability, checkpoints: Duration? = nil
    ) async throws -> Node {
        var nodeStore = NodeStore(.opened(store))
        nodeStore.checkpoints.interval = checkpoints
        var configuration = NodeConfiguration(dataDirectory: path(name), engine: settings.engine)
        configuration.store = nodeStore
        configuration.durability = durability
        return try await Node.start(configuration, registry: registry, logger: logger)
    }

    /// Restores a state from the store into a directory of that name, which is removed again.
    /// - Returns: What was done, and the seconds it took.
    func restore(
        _ store: any ObjectStore, to target: RestorePoint.Target, into name: String
    ) async throws -> (report: RestoreReport, seconds: Double) {
        let clock = ContinuousClock()
        let begin = clock.now
        let report = try await RestorePoint(store: store, target: target).restore(
            into: RestoreDestination(dataDirectory: path(name), engine: settings.engine), registry: registry,
            logger: logger)
        let seconds = (clock.now - begin) / .seconds(1)
        try remove(name)
        return (report, seconds)
    }

    // MARK: - Writing

    static func key(_ number: Int) -> [UInt8] {
        let digits = String(number)
        return Array("bench-store/\(String(repeating: "0", count: max(0, 20 - digits.count)))\(digits)".utf8)
    }

    func put(_ number: Int) -> PutRequest {
        var value = [UInt8](repeating: UInt8(ascii: "v"), count: settings.valueSize)
        var random = SystemRandomNumberGenerator()
        for place in value.indices.prefix(8) { value[place] = .random(in: 0...255, using: &random) }
        return PutRequest(key: Self.key(number), value: value)
    }

    /// Writes every key once, a hundred in a transaction.
    func fill(_ node: Node) async throws {
        try await share(settings.keys, among: 16, inStepsOf: 100) { range in
            try await node.txn(TxnRequest(compares: [], success: range.map { .put(put($0)) }))
        }
    }

    /// Writes keys chosen at random, one a call.
    func update(_ node: Node, count: Int) async throws {
        try await share(count, among: 64, inStepsOf: 1) { _ in
            try await node.put(put(.random(in: 0..<settings.keys)))
        }
    }

    private func share(
        _ count: Int, among tasks: Int, inStepsOf step: Int,
        _ work: @escaping @Sendable (Range<Int>) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<tasks {
                group.addTask {
                    for start in stride(from: task * step, to: count, by: tasks * step) {
                        try await work(start..<min(start + step, count))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    /// What a load of puts gave.
    struct Load {
        var latencies = LatencyHistogram()
        var seconds = 0.0

        var rate: Double { Double(latencies.count) / seconds }
        func milliseconds(_ share: Double) -> Double { Double(latencies.percentile(share)) / 1e6 }
    }

    /// Who writes.
    enum Writers: Sendable {
        /// Tasks, which share few threads.
        case tasks(Int)
        /// Threads, which wait for nothing but their answers.
        case threads(Int)

        var count: Int {
            switch self {
            case .tasks(let count), .threads(let count): count
            }
        }
    }

    /// Lets a number of writers put keys chosen at random, each one after the other, until they are told to end.
    func load(_ node: Node, _ writers: Writers, while goesOn: @escaping @Sendable () -> Bool) async throws -> Load {
        let clock = ContinuousClock()
        let begin = clock.now
        return try await withThrowingTaskGroup(of: LatencyHistogram.self) { group in
            for _ in 0..<writers.count {
                group.addTask {
                    if case .threads = writers {
                        return try await SystemThread.run("t4-bench") { try write(node, while: goesOn) }
                    }
                    var latencies = LatencyHistogram()
                    while goesOn() {
                        let request = put(.random(in: 0..<settings.keys))
                        let sent = clock.now
                        try await node.put(request)
                        latencies.record(UInt64((clock.now - sent) / .nanoseconds(1)))
                    }
                    return latencies
                }
            }
            var load = Load()
            for try await latencies in group { load.latencies.add(latencies) }
            load.seconds = (clock.now - begin) / .seconds(1)
            return load
        }
    }

    /// One writer of a load, on this thread.
    private func write(_ node: Node, while goesOn: () -> Bool) throws -> LatencyHistogram {
        let clock = ContinuousClock()
        var latencies = LatencyHistogram()
        while goesOn() {
            let request = put(.random(in: 0..<settings.keys))
            let answer = Monitor<Result<ProposalResponse, DatabaseError>?>(nil)
            let sent = clock.now
            node.submit(.put(request)) { result in
                answer.withLock { $0 = result }
                answer.signal()
            }
            _ = try answer.wait { $0 }.get()
            latencies.record(UInt64((clock.now - sent) / .nanoseconds(1)))
        }
        return latencies
    }

    /// A load for the configured time.
    func load(_ node: Node, _ writers: Writers, for duration: Duration) async throws -> Load {
        let clock = ContinuousClock()
        let end = clock.now + duration
        return try await load(node, writers) { clock.now < end }
    }
}

/// Told once that something is over.
final class Ending: Sendable {
    private let isReached = Atomic(false)

    var goesOn: Bool { !isReached.load(ordering: .relaxed) }
    func reach() { isReached.store(true, ordering: .relaxed) }
}
