import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols

@testable import T4Core

/// A cluster within this process: real logs on disk, a store and an election, and wires that can be cut.
final class TestCluster: Sendable {
    struct State {
        var members: [Int: TestMember] = [:]
        /// Pairs of nodes between which nothing gets through, in that direction.
        var cut: Set<[Int]> = []
        /// Nodes that ended for themselves, and why.
        var failures: [String] = []
    }

    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    let store: any ObjectStore
    let durability: ReplicaConfiguration.Durability
    let database: DatabaseID
    let directory: URL
    /// Broadcast whenever something may have changed.
    let state = Monitor(State())

    init(durability: ReplicaConfiguration.Durability = .replicated) async throws {
        store = try await makeMemoryStore()
        self.durability = durability
        var generator = SystemRandomNumberGenerator()
        database = .random(using: &generator)
        directory = FileManager.default.temporaryDirectory.appending(path: "t4-cluster-\(UUID().uuidString)")
    }

    deinit {
        do { try FileManager.default.removeItem(at: directory) } catch { fatalError("\(error)") }
    }

    /// Starts a node on the directory it had.
    @discardableResult
    func start(_ number: Int) async throws -> TestMember {
        let election = try await StoreElection.open(store)
        let member = try await SystemThread.run("start") { try TestMember(number, self, election) }
        state.withLock { $0.members[number] = member }
        member.replicator.start()
        return member
    }

    /// Ends a node as a crash does, but for what is not fsynced.
    func crash(_ number: Int) async throws {
        guard let member = state.withLock({ $0.members.removeValue(forKey: number) }) else { return }
        for other in members { other.replicator.disconnected(member.instance) }
        try await member.end()
    }

    /// Ends a node in good order.
    func stop(_ number: Int) async throws {
        guard let member = state.withLock({ $0.members[number] }) else { return }
        member.replicator.resign()
        _ = member.ended.wait { $0 }
        try await crash(number)
    }

    func stopAll() async throws {
        for number in state.withLock({ $0.members.keys.sorted() }) { try await crash(number) }
    }

    var members: [TestMember] { state.withLock { $0.members.values.sorted { $0.number < $1.number } } }

    /// Waits until something holds.
    func wait<Found>(_ what: String, for find: @escaping @Sendable ([TestMember]) -> Found?) async throws -> Found
    where Found: Sendable {
        let found: Result<Found, Failure> = try await SystemThread.run("wait") {
            self.state.wait { state in
                guard state.failures.isEmpty else {
                    return .failure(Failure(description: "\(what): \(state.failures)"))
                }
                return find(state.members.values.sorted { $0.number < $1.number }).map { .success($0) }
            }
        }
        return try found.get()
    }

    func changed() {
        // A waiter is before its look, or waits.
        state.withLock { _ in }
        state.broadcast()
    }

    /// The one that takes writes.
    func leader() async throws -> TestMember {
        try await wait("a leader") { members in members.first { $0.replicator.standing.isServing } }
    }

    /// Writes, again and again until somebody who leads says that it is done: on a busy machine leaders change.
    @discardableResult
    func write(_ key: String, _ value: String) async throws -> TestMember {
        while true {
            let leader = try await leader()
            if case .success = await leader.put(key, value) { return leader }
        }
    }

    /// Waits until every node has everything that was committed before.
    /// - Returns: The rows of each.
    func agree() async throws -> [[EngineRow]] {
        let leader = try await write("end", "end")
        let revision = try StateReader(leader.engine.snapshot()).meta.revision
        _ = try await wait("revision \(revision) everywhere") { members in
            members.allSatisfy { (try? StateReader($0.engine.snapshot()).meta.revision) ?? .none >= revision }
                ? true : nil
        }
        return try members.map { try dump($0.engine.snapshot()) }
    }

    func wires(of number: Int) -> Wires { Wires(cluster: self, number: number) }

    /// Carries messages from one node to the others.
    struct Wires: ReplicaTransport {
        let cluster: TestCluster
        let number: Int

        func send(_ message: ReplicaMessage, entries: [LogEntry], to instance: String) {
            deliver(message, entries) { $0.instance == instance }
        }

        func greet(_ address: String, _ message: ReplicaMessage) { deliver(message, []) { $0.address == address } }

        func ask(
            _ instance: String, _ request: [UInt8], timeout: Duration,
            answer: @escaping @Sendable (Result<[UInt8], PeerCallError>) -> Void
        ) { answer(.failure(.notSent("members without clients"))) }

        private func deliver(_ message: ReplicaMessage, _ entries: [LogEntry], _ isIt: (TestMember) -> Bool) {
            let target: TestMember? = cluster.state.withLock { state in
                state.members.values.first { isIt($0) && !state.cut.contains([number, $0.number]) }
            }
            target?.replicator.receive(message, entries: entries)
        }
    }
}

/// A node of it.
final class TestMember: Sendable {
    let number: Int
    let instance: String
    let address: String
    let engine: any LocalEngine
    let stage: ApplyStage
    let queue: ProposalQueue
    let replicator: Replicator
    let observer: ClusterObserver
    /// How it ended: broadcast once.
    let ended: Monitor<String?>
    private let applying: SystemThread

    init(_ number: Int, _ cluster: TestCluster, _ election: StoreElection) throws {
        self.number = number
        observer = ClusterObserver(cluster)
        address = "node-\(number)"
        let folder = cluster.directory.appending(path: "\(number)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let name = folder.appending(path: "instance")
        if let known = try? String(contentsOf: name, encoding: .utf8) {
            instance = known
        } else {
            instance = "i\(number)-\(UInt32.random(in: 0...(.max)))"
            try instance.write(to: name, atomically: true, encoding: .utf8)
        }
        var logs = LogConfiguration()
        logs.segmentSizeMax = 64 << 10
        logs.recentSizeMax = 1 << 20
        let opened = try Log.open(
            directory: folder.appending(path: "wal").path, databaseID: cluster.database, configuration: logs)
        engine = try CheckpointHistory.makeEngine()
        let blocking = BlockingStore(cluster.store)
        let chain = StoreChain(
            LogChain(blocking, databaseID: cluster.database), CheckpointStore(blocking, databaseID: cluster.database))
        var configuration = ReplicaConfiguration(
            nodeID: "n\(number)", instanceID: instance, address: address, durability: cluster.durability,
            seed: .random(in: 0...(.max)))
        configuration.electionTimeout = .milliseconds(600)
        configuration.leadershipTTL = .seconds(2)
        configuration.recordInterval = .milliseconds(200)
        let (replica, time) = try ReplicaOpening(configuration, engine: engine, chain: chain).run(opened) {
            try BlockingCall.wait { try await election.current() }
        }
        let reader = try StateReader(engine.snapshot())
        let stage = ApplyStage(
            engine: engine, meta: reader.meta, position: try engine.appliedPosition, observer: observer)
        self.stage = stage
        let queue = ProposalQueue(countMax: 10_000, bytesMax: 64 << 20)
        queue.pause(LeaderDuties.noLeader, by: .leader)
        self.queue = queue
        let log = ClusterLog(opened.writer)
        let (engine, observer, store) = (engine, observer, cluster.store)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let ended = Monitor<String?>(nil)
        self.ended = ended
        var parts = Replicator.Parts(
            log: log, chain: chain, election: election, transport: cluster.wires(of: number), engine: engine,
            stage: stage,
            makeLeading: { replicator, beginning in
                var parts = LeaderDuties.Parts(
                    engine: engine, log: log, queue: queue, stage: stage, observer: observer)
                parts.makeStore = { beginning, replicator in
                    var settings = LogUploader.Settings()
                    settings.ageMax = .milliseconds(50)
                    return UploadAlone(
                        LogUploader(
                            store: store, databaseID: cluster.database, term: beginning.term, end: beginning.fenced,
                            endTerm: beginning.term, settings: settings, logger: logger,
                            readBack: { range in
                                guard
                                    case .entries(let found) = try log.entries.entries(
                                        from: range.lowerBound, through: range.upperBound, maxBytes: .max)
                                else { return [] }
                                return found
                            },
                            onStored: { replicator.stored(through: $0.index, term: beginning.term) },
                            onFailure: { replicator.uploadFailed($0, term: beginning.term) }))
                }
                return try LeaderDuties(beginning, replicator, parts)
            }, logger: logger,
            onEnd: { end in
                if let end { cluster.state.withLock { $0.failures.append("node \(number): \(end)") } }
                ended.withLock { $0 = end.map { "\($0)" } ?? "in good order" }
                ended.broadcast()
                cluster.changed()
            })
        parts.onChange = { _ in cluster.changed() }
        replicator = try Replicator(replica, time: time, parts)
        applying = SystemThread(name: "apply") { stage.run() }
    }

    func end() async throws {
        try await SystemThread.run("end") { [replicator, queue, stage, applying, engine] in
            replicator.stop()
            queue.close(DatabaseError(.stopped, "the node is gone"))
            stage.stop()
            applying.join()
            try engine.close()
        }
    }

    /// Proposes on this node; the answer comes once somebody who leads has decided.
    func propose(_ kind: ProposalKind) async -> Result<ProposalResponse, DatabaseError> {
        await withCheckedContinuation { continuation in
            queue.submit(Proposal(kind) { continuation.resume(returning: $0) })
        }
    }

    func put(_ key: String, _ value: String) async -> Result<ProposalResponse, DatabaseError> {
        await propose(.put(PutRequest(key: [UInt8](key), value: [UInt8](value))))
    }

    func value(_ key: String) throws -> String? {
        try StateReader(engine.snapshot()).latest([UInt8](key)).map { String(decoding: $0.value, as: UTF8.self) }
    }
}

/// Uploads the log, and makes no checkpoints.
private final class UploadAlone: LeaderStore {
    let uploader: LogUploader
    private let thread: SystemThread

    init(_ uploader: LogUploader) {
        self.uploader = uploader
        thread = SystemThread(name: "t4-upload") { uploader.run() }
    }

    func serve() {}

    func stop() {
        uploader.stop()
        thread.join()
    }
}

/// Tells a cluster that something was committed.
final class ClusterObserver: CommitObserver {
    private weak let cluster: TestCluster?
    let failures = Mutex<[String]>([])

    init(_ cluster: TestCluster) { self.cluster = cluster }

    func willApply(_ groups: [CommittedGroup]) {}
    func committed(_ groups: [CommittedGroup], meta: MetaRow) { cluster?.changed() }
    func spaceRanOut(_ error: EngineError) {}
    func spaceReturned() {}
    func roomChanged(isShort: Bool) {}
    func failed(_ error: any Error) { failures.withLock { $0.append("\(error)") } }
}
