import EtcdAPI
import RPC
import Synchronization
import T4Conformance

/// What clients of all nodes do and see while a cluster is troubled.
final class FaultWorld: Sendable {
    /// What was asked and answered, of each workload.
    struct Tape: Sendable {
        var registers: [String: RegisterHistory] = [:]
        var lists: [String: ListHistory] = [:]
        var bank: BankHistory
        var lock = LockHistory()
        /// Revisions in answers that are linearizable, of all workloads.
        var revisions = VersionHistory()
        var acknowledged: [EventHistory.Write] = []
        var refused: [String] = []
    }

    /// All keys of this world have it.
    let prefix: String
    let cluster: FaultyCluster
    let tape: Mutex<Tape>
    /// Operations that were answered, by node.
    let answered = Observed<[Int: Int]>([:])
    let isOver = Atomic(false)
    private let start = ContinuousClock.now

    init(_ cluster: FaultyCluster, prefix: String) {
        self.cluster = cluster
        self.prefix = prefix
        tape = Mutex(Tape(bank: BankHistory(total: BankWork.total, accounts: BankWork.count)))
    }

    var now: Duration { ContinuousClock.now - start }

    /// Something was answered that is linearizable.
    func note(_ revision: Int64, isWrite: Bool, from begin: Duration, by node: Int, _ label: String) {
        let end = now
        tape.withLock {
            $0.revisions.note(revision, isWrite: isWrite, from: begin, to: end, "\(label) at node \(node)")
        }
        answered.update { $0[node, default: 0] += 1 }
    }

    /// A write was acknowledged.
    func note(_ pairs: [(key: String, value: String)], at revision: Int64) {
        tape.withLock { tape in
            tape.acknowledged += pairs.map { EventHistory.Write(key: $0.key, value: $0.value, revision: revision) }
        }
    }

    /// It was said that nothing comes of a write.
    func noteRefused(_ values: [String]) { tape.withLock { $0.refused += values } }

    /// Waits until each of some nodes has answered so many more operations.
    func progress(_ count: Int, of nodes: [Int], _ what: String = "") async throws {
        let goals = answered.value
        _ = try await answered.wait(for: "\(count) more answers of nodes \(nodes) \(what)") { answered in
            nodes.allSatisfy { answered[$0, default: 0] >= goals[$0, default: 0] + count } ? true : nil
        }
    }

    /// Whether an error says that nothing was done.
    static func isRefused(_ error: any Error) -> Bool {
        ["etcdserver: no leader", "etcdserver: too many requests", "database space exceeded"]
            .contains { "\(error)".contains($0) }
    }

    /// Starts clients at all nodes and ends them after `body`.
    func run(seed: UInt64, _ body: @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (place, node) in cluster.numbers.enumerated() {
                for kind in 0..<4 {
                    let number = 4 * place + kind
                    group.addTask { [self] in
                        let client = FaultClient(self, number: number, node: node, seed: seed &+ UInt64(number))
                        await client.run(
                            [RegisterWork() as any Work, ListWork(), BankWork(), LockWork()][kind])
                    }
                }
            }
            do {
                try await body()
                isOver.store(true, ordering: .releasing)
            } catch {
                isOver.store(true, ordering: .releasing)
                throw error
            }
            try await group.waitForAll()
        }
    }
}

/// What a client does again and again.
protocol Work: Sendable {
    /// Does it once, and notes what was asked and answered.
    /// - Throws: Where the client needs a new connection.
    mutating func step(_ client: EtcdClient, by owner: FaultClient, _ random: inout SeededGenerator) async throws
}

/// A client that stays at its node, whatever becomes of it.
struct FaultClient: Sendable {
    let world: FaultWorld
    let number: Int
    let node: Int
    private let seed: UInt64
    private static let patience = Duration.seconds(3)

    init(_ world: FaultWorld, number: Int, node: Int, seed: UInt64) {
        (self.world, self.number, self.node, self.seed) = (world, number, node, seed)
    }

    func run(_ work: any Work) async {
        var (work, random) = (work, SeededGenerator(seed: seed))
        var client: EtcdClient?
        while !world.isOver.load(ordering: .acquiring) {
            do {
                let connected: EtcdClient
                if let client {
                    connected = client
                } else {
                    connected = try await EtcdClient.connect(
                        to: world.cluster.cluster.node(node), patience: FaultClient.patience)
                }
                client = connected
                try await work.step(connected, by: self, &random)
                await pause(.milliseconds(Int.random(in: 0...20, using: &random)))
            } catch {
                await client?.close()
                client = nil
                await pause(.milliseconds(50))
            }
        }
        await client?.close()
    }

    /// Something that was answered.
    func note(_ revision: Int64, isWrite: Bool = false, from begin: Duration, _ label: String) {
        world.note(revision, isWrite: isWrite, from: begin, by: node, label)
    }
}
