import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Nodes that reach each other within the process.
final class ClusterNodes: Sendable {
    let store: any ObjectStore
    let election: StoreElection
    let receivers = Mutex<[String: (address: String, receiver: ReplicaReceiver)]>([:])
    let nodes = Mutex<[Int: Node]>([:])
    /// Nodes that have to be started again, for their log ends before the oldest entry that is kept.
    let behind = Mutex<Set<Int>>([])
    let failures = Mutex<[String]>([])
    /// One of so many answers to questions is lost; 0: none.
    let answersLost = Mutex(0)
    /// Answers to questions and to proposals that were handed on.
    let answerCount = Mutex(0)
    /// Nothing gets through to anybody.
    let isCut = Mutex(false)
    /// What these nodes say to others is lost.
    let mute = Mutex<Set<String>>([])
    let electionTimeout: Duration
    let engine: String
    let folder = FileManager.default.temporaryDirectory.appending(path: "t4-nodes-\(UUID().uuidString)")

    init(engine: String, electionTimeout: Duration = .milliseconds(600)) async throws {
        self.engine = engine
        self.electionTimeout = electionTimeout
        store = try await makeMemoryStore()
        election = try await StoreElection.open(store, key: "db/election")
    }

    deinit {
        do { try FileManager.default.removeItem(at: folder) } catch { fatalError("\(error)") }
    }

    struct Wires: ReplicaTransport {
        let nodes: ClusterNodes

        func send(_ message: ReplicaMessage, entries: [LogEntry], to instance: String) {
            if nodes.isCut.withLock({ $0 }) || nodes.mute.withLock({ $0.contains(message.sender) }) { return }
            nodes.receivers.withLock { $0[instance] }?.receiver.receive(message, entries: entries)
        }

        func greet(_ address: String, _ message: ReplicaMessage) {
            if nodes.isCut.withLock({ $0 }) { return }
            nodes.receivers.withLock { all in all.values.first { $0.address == address } }?.receiver
                .receive(message, entries: [])
        }

        func ask(
            _ instance: String, _ request: [UInt8], timeout: Duration,
            answer: @escaping @Sendable (Result<[UInt8], PeerCallError>) -> Void
        ) {
            let asked = nodes.receivers.withLock { $0[instance] }
            guard let asked, !nodes.isCut.withLock({ $0 }),
                asked.receiver.asked(
                    request, answer: { answer(nodes.isAnswerLost ? .failure(.outcomeUnknown("lost")) : .success($0)) })
            else { return answer(.failure(.notSent("nobody is there"))) }
        }
    }

    private var isAnswerLost: Bool {
        let every = answersLost.withLock { $0 }
        let count = answerCount.withLock { count in
            count += 1
            return count
        }
        // Without a rhythm, which requests could fall into.
        return every > 0 && ((count &* 2_654_435_761) >> 16) % every == 0
    }

    @discardableResult
    func start(
        _ number: Int, clock: Clock = .system, requestWait: Duration = .seconds(1200)
    ) async throws -> Node {
        var settings = NodeStore(.opened(store), prefix: "db/")
        settings.checkpoints.interval = nil
        settings.checkpoints.entries = 50
        settings.uploadAgeMax = .milliseconds(50)
        var configuration = NodeConfiguration(
            dataDirectory: folder.appending(path: "\(number)").path, engine: engine)
        configuration.segmentSizeMax = 64 << 10
        configuration.store = settings
        configuration.name = "n\(number)"
        configuration.log.recentSizeMax = 1 << 20
        var cluster = NodeCluster(election: election, durability: .replicated) { member, receiver in
            self.receivers.withLock { $0[member.instance] = ("node-\(number)", receiver) }
            return NodeCluster.Connection(
                transport: Wires(nodes: self), address: "node-\(number)",
                close: { self.receivers.withLock { $0[member.instance] = nil } })
        }
        cluster.electionTimeout = electionTimeout
        cluster.leadershipTTL = .seconds(2)
        cluster.recordInterval = .milliseconds(200)
        cluster.requestWait = requestWait
        cluster.pruneInterval = .milliseconds(20)
        configuration.cluster = cluster
        configuration.onFailure = { error in
            if case .restore? = error as? Replicator.End {
                _ = self.behind.withLock { $0.insert(number) }
            } else {
                self.failures.withLock { $0.append("node \(number): \(error)") }
            }
        }
        let (final, store) = (configuration, store)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let node = try await SystemThread.run("start") {
            try Node(final, registry: .builtIn, logger: logger, clock: clock, store: store)
        }
        nodes.withLock { $0[number] = node }
        return node
    }

    func stop(_ number: Int) async throws {
        guard let node = nodes.withLock({ $0.removeValue(forKey: number) }) else { return }
        try await node.stop()
    }

    func stopAll() async throws {
        for number in nodes.withLock({ $0.keys.sorted() }) { try await stop(number) }
    }

    private func restartThoseBehind() async throws {
        for number in behind.withLock({ $0.sorted() }) {
            behind.withLock { _ = $0.remove(number) }
            try await stop(number)
            try await start(number)
        }
    }

    /// Writes through whichever node leads, again and again until one says that it is done.
    @discardableResult
    func write(_ key: String, _ value: String) async throws -> Node {
        while true {
            for node in nodes.withLock({ Array($0.values) }) {
                do throws(DatabaseError) {
                    _ = try await node.put(PutRequest(key: [UInt8](key), value: [UInt8](value)))
                    return node
                } catch {
                    guard [.noLeader, .outcomeUnknown, .stopped].contains(error.code) else { throw error }
                }
            }
            try #require(failures.withLock { $0 } == [])
            try await restartThoseBehind()
            await Task.yield()
        }
    }

    /// Waits until every node shows what was written, and gives their rows.
    func agree() async throws -> [[EngineRow]] {
        let leader = try await write("end", "end")
        let revision = leader.revision
        while !nodes.withLock({ $0.values.allSatisfy { $0.revision >= revision } }) {
            try #require(failures.withLock { $0 } == [])
            try await restartThoseBehind()
            await Task.yield()
        }
        return try nodes.withLock { try $0.values.map { try dump($0.engine.snapshot()) } }
    }
}
