import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: whole nodes of a cluster serve, hand over, make checkpoints, and come back from nothing. Method: nodes on every engine
/// in one process, a store in memory.
@Suite(.serialized) struct ClusterNodeTests {
    /// Nodes that reach each other within the process.
    private final class Nodes: Sendable {
        let store: any ObjectStore
        let election: StoreElection
        let receivers = Mutex<[String: (address: String, receiver: ReplicaReceiver)]>([:])
        let nodes = Mutex<[Int: Node]>([:])
        /// Nodes that have to be started again, for their log ends before the oldest entry that is kept.
        let behind = Mutex<Set<Int>>([])
        let failures = Mutex<[String]>([])
        /// Nothing gets through to anybody.
        let isCut = Mutex(false)
        let engine: String
        let folder = FileManager.default.temporaryDirectory.appending(path: "t4-nodes-\(UUID().uuidString)")

        init(engine: String) async throws {
            self.engine = engine
            store = try await makeMemoryStore()
            election = try await StoreElection.open(store, key: "db/election")
        }

        deinit {
            do { try FileManager.default.removeItem(at: folder) } catch { fatalError("\(error)") }
        }

        struct Wires: ReplicaTransport {
            let nodes: Nodes

            func send(_ message: ReplicaMessage, entries: [LogEntry], to instance: String) {
                if nodes.isCut.withLock({ $0 }) { return }
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
                    asked.receiver.asked(request, answer: { answer(.success($0)) })
                else { return answer(.failure(.notSent("nobody is there"))) }
            }
        }

        @discardableResult
        func start(_ number: Int, clock: Clock = .system) async throws -> Node {
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
            cluster.electionTimeout = .milliseconds(600)
            cluster.leadershipTTL = .seconds(2)
            cluster.recordInterval = .milliseconds(200)
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

    @Test(arguments: ["memory", "lmdb"])
    func nodesComeAndGo(_ engine: String) async throws {
        let nodes = try await Nodes(engine: engine)
        do {
            try await comeAndGo(nodes)
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    /// A node whose clock is behind goes on from a checkpoint alone: nobody takes entries that are older than those before.
    @Test func aClockIsBehind() async throws {
        let nodes = try await Nodes(engine: "memory")
        do {
            let ahead = Clock { Clock.system.wall() + 3_600_000_000_000 }
            let first = try await nodes.start(1, clock: ahead)
            try await nodes.write("a", "1")
            _ = try await first.checkpoint()
            try await nodes.stop(1)
            let second = try await nodes.start(2)
            try await nodes.write("a", "2")
            try await nodes.start(1, clock: ahead)
            let rows = try await nodes.agree()
            #expect(rows.count == 2 && rows[0] == rows[1])
            #expect(second.revision >= Revision(4))
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    /// A log without entries has no file.
    @Test func aNodeFilledFromACheckpointStartsAgain() async throws {
        let nodes = try await Nodes(engine: "lmdb")
        do {
            let first = try await nodes.start(1)
            try await nodes.write("a", "1")
            _ = try await first.checkpoint()
            nodes.isCut.withLock { $0 = true }
            for _ in 0..<3 {
                #expect(try await nodes.start(2).revision == Revision(2))
                try await nodes.stop(2)
            }
            nodes.isCut.withLock { $0 = false }
            try await nodes.start(2)
            let rows = try await nodes.agree()
            #expect(rows.count == 2 && rows[0] == rows[1])
        } catch {
            try await nodes.stopAll()
            throw error
        }
        try await nodes.stopAll()
    }

    private func comeAndGo(_ nodes: Nodes) async throws {
        for number in 1...3 { try await nodes.start(number) }
        for count in 0..<120 { try await nodes.write("key-\(count % 11)", "\(count)") }
        // One after the other, as an operator does it.
        for number in 1...3 {
            try await nodes.stop(number)
            for count in 0..<10 { try await nodes.write("without-\(number)", "\(count)") }
            try await nodes.start(number)
        }
        // A disk is lost, and filled again.
        try await nodes.stop(2)
        try FileManager.default.removeItem(at: nodes.folder.appending(path: "2"))
        try await nodes.start(2)
        let rows = try await nodes.agree()
        #expect(rows.count == 3 && rows.allSatisfy { $0 == rows[0] })
        try await nodes.stopAll()
        // All of them were gone.
        for number in 1...3 { try await nodes.start(number) }
        let again = try await nodes.agree()
        #expect(again.allSatisfy { $0 == again[0] })
        let last = try await nodes.write("last", "1")
        #expect(try last.range(RangeRequest(key: [UInt8]("key-0"))).kvs.first?.value == [UInt8]("110"))
    }
}
