import Foundation
import Logging
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// A node whose log lies on a disk that can lose power, a history for it to live through, and what the database is like
/// after each step of that.
///
/// The engine's files are real. Where an engine does not survive power loss the boot of the machine changes with it, as it
/// does in life, and the engine finds whatever was in its files; where it says that it does it finds what it had at its
/// last sync, the least that it promises.
struct PowerLossWorld {
    enum Step {
        /// Proposals that are handed over together.
        case group([ProposalKind])
        /// A checkpoint, after which the log is cut.
        case checkpoint
    }

    /// What became of the proposals, in their order.
    struct Outcome {
        var results: [DatabaseError.Code?] = []

        /// How many were acknowledged, and how many at most have taken effect.
        var bounds: ClosedRange<Int> {
            let acknowledged = (results.lastIndex { $0 == nil } ?? -1) + 1
            let uncertain = (results.lastIndex { $0 == nil || $0 == .outcomeUnknown } ?? -1) + 1
            return acknowledged...max(acknowledged, uncertain)
        }

        /// Nothing was acknowledged behind a failure: a later one would build on a state that may not come back.
        var isInOrder: Bool { !results.drop { $0 == nil }.contains(nil) }
    }

    let engine: String
    let steps: [Step] = PowerLossWorld.history
    /// The database after so many proposals.
    let states: [DamageWorld.State]

    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// Blocks.
    init(engine: String) throws {
        self.engine = engine
        let life = try Life(engine)
        defer { life.remove() }
        let node = try life.start()
        var states: [DamageWorld.State] = []
        for case .group(let kinds) in PowerLossWorld.history {
            for kind in kinds {
                let codes = PowerLossWorld.submit([kind], node)
                #expect(codes == [nil])
                states.append(try DamageWorld.State(node.engine.snapshot()))
            }
        }
        try node.stopAndWait()
        // A database without any write, as a restart finds it.
        let empty = try Life(engine)
        defer { empty.remove() }
        try empty.start().stopAndWait()
        let again = try empty.start()
        states.insert(try DamageWorld.State(again.engine.snapshot()), at: 0)
        try again.stopAndWait()
        self.states = states
        #expect(Set(states).count == states.count, "each proposal changes something")
    }

    /// Puts, transactions over several keys, deletions, leases, compactions, values that fill segments, checkpoints.
    private static let history: [Step] = {
        func put(_ key: String, _ size: Int = 10, lease: Int64 = 0) -> ProposalKind {
            .put(PutRequest(key: [UInt8](key), value: [UInt8](repeating: UInt8(size % 251), count: size), lease: lease))
        }
        func txn(_ number: Int) -> ProposalKind {
            let puts = ["x", "y", "z"].map { key in
                RequestOperation.put(PutRequest(key: [UInt8](key), value: [UInt8]("\(number)")))
            }
            return .txn(TxnRequest(compares: [], success: puts, failure: []))
        }
        func delete(_ key: String) -> ProposalKind { .deleteRange(DeleteRangeRequest(key: [UInt8](key))) }
        return [
            .group([put("a")]), .group([put("b"), txn(1), put("c")]), .group([delete("b")]),
            .group([.grant(LeaseRecord(id: 7, ttl: 100_000)), put("leased", lease: 7)]),
            .group([put("big", 3000), put("big", 3001)]), .group([.compact(4)]), .group([txn(2), delete("a")]),
            .checkpoint,
            .group([put("big", 3002)]), .group([put("big", 3003), .revoke(lease: 7)]), .group([txn(3)]),
            .checkpoint,
            .group([put("last")]), .group([.compact(9), delete("x")]),
        ]
    }()

    /// Hands proposals over together, and waits for all answers. Blocks.
    static func submit(_ kinds: [ProposalKind], _ node: Node) -> [DatabaseError.Code?] {
        let answers = Monitor<[Int: DatabaseError.Code?]>([:])
        for (number, kind) in kinds.enumerated() {
            node.submit(kind) { result in
                var code: DatabaseError.Code?
                if case .failure(let error) = result { code = error.code }
                answers.withLock { $0[number] = .some(code) }
                answers.broadcast()
            }
        }
        return answers.wait { found in
            found.count == kinds.count ? kinds.indices.map { found[$0]! } : nil
        }
    }

    /// Runs the history; goes on to the end whatever fails. Blocks.
    func run(on node: Node) -> Outcome {
        var outcome = Outcome()
        for step in steps {
            switch step {
            case .group(let kinds): outcome.results += PowerLossWorld.submit(kinds, node)
            case .checkpoint:
                guard let checkpointer = node.checkpointer else { continue }
                let isDone = Monitor(false)
                checkpointer.request { _ in
                    isDone.withLock { $0 = true }
                    isDone.broadcast()
                }
                _ = isDone.wait { $0 ? true : nil }
            }
        }
        return outcome
    }

    /// Checks what a start brought back.
    func check(_ node: Node, _ outcome: Outcome, _ context: String) throws {
        let found = try DamageWorld.State(node.engine.snapshot())
        let place = states.firstIndex(of: found)
        #expect(
            place.map(outcome.bounds.contains) == true,
            "\(context): the state after \(place.map(String.init) ?? "no number of") writes, not \(outcome.bounds)")
    }

    /// A data directory, a store, and the files of the log.
    final class Life {
        let engine: String
        var files: SimulatedFileSystem
        private let directory: String
        private let store: any ObjectStore
        let failures = Monitor(0)

        /// Blocks.
        convenience init(_ engine: String) throws {
            let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
                "t4-power-\(UUID().uuidString)"
            ).path
            try self.init(engine, SimulatedFileSystem(), directory, Life.makeStore())
        }

        private init(
            _ engine: String, _ files: SimulatedFileSystem, _ directory: String, _ store: any ObjectStore
        ) throws {
            (self.engine, self.files, self.directory, self.store) = (engine, files, directory, store)
        }

        private static func makeStore() throws -> any ObjectStore {
            let made = Monitor<Result<any ObjectStore, any Error>?>(nil)
            Task {
                let result: Result<any ObjectStore, any Error>
                do { result = .success(try await makeMemoryStore()) } catch { result = .failure(error) }
                made.withLock { $0 = result }
                made.broadcast()
            }
            return try made.wait { $0 }.get()
        }

        /// Starts a node. Blocks.
        func start() throws -> Node {
            var configuration = NodeConfiguration(dataDirectory: directory, engine: engine)
            configuration.log = LogFixture.small
            configuration.log.segmentSizeMax = 8 << 10
            configuration.logFiles = files
            var settings = NodeStore(.opened(store), prefix: "db/")
            settings.checkpoints.interval = nil
            settings.stopTimeout = .milliseconds(1)
            configuration.store = settings
            let failures = failures
            configuration.onFailure = { _ in failures.withLock { $0 += 1 } }
            var registry = BackendRegistry.builtIn
            let builtIn = registry
            let engine = engine
            registry.register(engine: engine, settings: None.self) { _, context in
                SyncedCopyEngine(
                    try builtIn.makeEngine(engine, settings: NoSettings(), context: context),
                    directory: context.directory)
            }
            return try Node(configuration, registry: registry, logger: quiet, clock: .system, store: store)
        }

        private struct None: Decodable, Sendable {}

        /// The same after a power failure. The node must have stopped: what its stop did here did not happen there.
        func afterPowerLoss(_ random: inout SeededGenerator) throws -> Life {
            let next = try Life(
                engine, files.powerLoss(&random), "\(directory)-\(UInt64.random(in: 0...UInt64.max, using: &random))",
                copyOfStore())
            next.files.move(directory, to: next.directory)
            let manager = FileManager.default
            try manager.copyItem(atPath: directory, toPath: next.directory)
            for name in ["uploaded", "LOCK"] where manager.fileExists(atPath: "\(next.directory)/\(name)") {
                try manager.removeItem(atPath: "\(next.directory)/\(name)")
            }
            guard var state = try EngineHome.readState(next.directory + "/engine") else { return next }
            state.isClean = false
            state.boot = "before the power failure"
            try EngineHome.writeState(state, next.directory + "/engine")
            let path = EngineHome.path(next.directory + "/engine", generation: state.generation)
            let synced = path + SyncedCopyEngine.suffix
            // Only where the engine promises to open at its last sync.
            guard engine == "rocksdb" else { return next }
            try manager.removeItem(atPath: path)
            if manager.fileExists(atPath: synced) {
                try manager.moveItem(atPath: synced, toPath: path)
            } else {
                try manager.createDirectory(atPath: path, withIntermediateDirectories: true)
            }
            return next
        }

        private func copyOfStore() throws -> any ObjectStore {
            let copy = try Life.makeStore()
            let (source, target) = (BlockingStore(store), BlockingStore(copy))
            var keys: [ObjectKey] = []
            try source.list("") { keys.append($0.key) }
            for key in keys { _ = try target.put(key, source.get(key).bytes, when: .absent) }
            return copy
        }

        func remove() {
            do {
                try FileManager.default.removeItem(atPath: directory)
            } catch {
                Issue.record("a directory of a test could not be removed: \(error)")
            }
        }
    }
}

/// Keeps a copy of the files as they were at the last sync.
private final class SyncedCopyEngine: EngineWrapper {
    static let suffix = "-synced"

    let base: any LocalEngine
    private let directory: String

    init(_ base: any LocalEngine, directory: String) {
        (self.base, self.directory) = (base, directory)
    }

    func sync() throws(EngineError) {
        try base.sync()
        if base.capabilities.isVolatile { return }
        let (copy, manager) = (directory + SyncedCopyEngine.suffix, FileManager.default)
        do {
            if manager.fileExists(atPath: copy) { try manager.removeItem(atPath: copy) }
            try manager.copyItem(atPath: directory, toPath: copy)
        } catch {
            throw EngineError(.ioFailed, "the files could not be copied: \(error)")
        }
    }
}
