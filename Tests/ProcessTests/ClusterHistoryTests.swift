import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import Synchronization
import T4Conformance
import Testing

/// Goal: whatever happens to the nodes of a cluster, clients see one register for each key. Method: clients at all nodes read,
/// write and swap a few keys and note what they asked, what they heard, and when, while nodes are killed, stand still, end, lose
/// their disks and hand over; a judge looks for an order in which all of that could have happened.
@Suite(.enabled(if: TestEnvironment.subject != .etcd), .timeLimit(.minutes(90)))
struct ClusterHistoryTests {
    private static let keys = (0..<4).map { "register/\($0)" }
    private static let clientCount = 9

    private final class World: Sendable {
        let cluster: ClusterUnderTest
        let histories = Mutex<[String: RegisterHistory]>([:])
        /// Operations that were answered.
        let answered = Observed(0)
        let isOver = Atomic(false)
        let start = ContinuousClock.now

        init(_ cluster: ClusterUnderTest) { self.cluster = cluster }

        var now: Duration { ContinuousClock.now - start }

        func note(_ operation: RegisterHistory.Operation, on key: String, from begin: Duration, isKnown: Bool) {
            let end = isKnown ? now : nil
            histories.withLock {
                $0[key, default: RegisterHistory()].entries.append(.init(operation: operation, begin: begin, end: end))
            }
            if isKnown { answered.update { $0 += 1 } }
        }
    }

    @Test func registersAreLinearizable() async throws {
        let seed = TestEnvironment.seed
        let rounds = TestEnvironment.rounds(default: 8, slow: 400)
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let options = { @Sendable (_: Int) in ["--checkpoint-entries", "300", "--segment-max-size-mb", "2"] }
                try await ClusterUnderTest.with(3, in: folder, options: options) { cluster in
                    let world = World(cluster)
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        for number in 0..<Self.clientCount {
                            group.addTask {
                                try await run(number, SeededGenerator(seed: seed &+ UInt64(number)), world)
                            }
                        }
                        group.addTask {
                            defer { world.isOver.store(true, ordering: .releasing) }
                            var generator = SeededGenerator(seed: seed &+ 1000)
                            for _ in 0..<rounds { try await trouble(world, &generator) }
                            try await progress(world, by: 100)
                        }
                        try await group.waitForAll()
                    }
                    for (key, history) in world.histories.withLock({ $0 }) {
                        #expect(history.entries.count > 20)
                        #expect(history.isLinearizable, "\(key), seed \(seed): \(history.entries)")
                    }
                    try await checkDigests(cluster)
                }
            }
        }
    }

    /// Waits until so many more operations were answered.
    private func progress(_ world: World, by count: Int) async throws {
        let target = world.answered.value + count
        _ = try await world.answered.wait(for: "\(count) more answers") { $0 >= target ? true : nil }
    }

    /// One thing happens to one node, and is over when this returns.
    private func trouble(_ world: World, _ generator: inout SeededGenerator) async throws {
        try await progress(world, by: Int.random(in: 20...150, using: &generator))
        let cluster = world.cluster
        let leader = try await cluster.leader()
        let leads = Bool.random(using: &generator)
        let victim = leads ? leader : cluster.numbers.randomElement(using: &generator)!
        switch Int.random(in: 0..<6, using: &generator) {
        case 0, 1:
            try await cluster.crash(victim)
            try await progress(world, by: Int.random(in: 1...100, using: &generator))
            if Int.random(in: 0..<3, using: &generator) == 0 { try cluster.loseDisk(victim) }
            try await cluster.start(victim)
        case 2, 3:
            let node = try cluster.node(victim)
            node.process.signal(SIGSTOP)
            defer { node.process.signal(SIGCONT) }
            try await progress(world, by: Int.random(in: 1...100, using: &generator))
        case 4:
            #expect(try await cluster.stop(victim) == .code(0))
            try await progress(world, by: Int.random(in: 1...50, using: &generator))
            try await cluster.start(victim)
        default:
            let heir = cluster.numbers.filter { $0 != leader }.randomElement(using: &generator)!
            do {
                let to = try await EtcdClient.connect(to: cluster.node(heir))
                let target = try await to.memberID()
                await to.close()
                let from = try await EtcdClient.connect(to: cluster.node(leader))
                _ = try await from.call(
                    "Maintenance/MoveLeader", EtcdMoveLeaderRequest.with { $0.targetID = target },
                    EtcdMoveLeaderResponse.self)
                await from.close()
            } catch {
                // It is not in sync just now, leads no more, or starts anew.
            }
        }
    }

    /// One client of one node: while that stands still, those of the others go on.
    private func run(_ number: Int, _ generator: SeededGenerator, _ world: World) async throws {
        var generator = generator
        var client: EtcdClient?
        var count = 0
        while !world.isOver.load(ordering: .acquiring) {
            guard let connected = client else {
                do {
                    client = try await EtcdClient.connect(to: world.cluster.node(number % 3 + 1))
                } catch {
                    // It does not run now.
                    await Task.yield()
                }
                continue
            }
            count += 1
            let key = Self.keys.randomElement(using: &generator)!
            if await !act(connected, key, "\(number)-\(count)", &generator, world) {
                await connected.close()
                client = nil
            }
        }
        await client?.close()
    }

    /// - Returns: False where the node is to be left.
    private func act(
        _ client: EtcdClient, _ key: String, _ value: String, _ generator: inout SeededGenerator, _ world: World
    ) async -> Bool {
        let begin = world.now
        let kind = Int.random(in: 0..<4, using: &generator)
        var old: String?
        do {
            switch kind {
            case 0:
                _ = try await client.put(key, value)
                world.note(.write(value), on: key, from: begin, isKnown: true)
            case 1:
                old = try await client.value(of: key)
                world.note(.read(old), on: key, from: begin, isKnown: true)
                let begin = world.now
                do {
                    let isDone = try await client.swap(key, old, value).isDone
                    world.note(.swap(old: old, new: value, isDone: isDone), on: key, from: begin, isKnown: true)
                } catch {
                    if !isRefused(error) {
                        world.note(.swap(old: old, new: value, isDone: nil), on: key, from: begin, isKnown: false)
                    }
                    return false
                }
            default:
                world.note(.read(try await client.value(of: key)), on: key, from: begin, isKnown: true)
            }
            return true
        } catch {
            if kind == 0, !isRefused(error) { world.note(.write(value), on: key, from: begin, isKnown: false) }
            return false
        }
    }

    /// Whether an error says that nothing was done.
    private func isRefused(_ error: any Error) -> Bool {
        ["etcdserver: no leader", "etcdserver: too many requests"].contains { "\(error)".contains($0) }
    }

    /// All nodes hold the same.
    private func checkDigests(_ cluster: ClusterUnderTest) async throws {
        var hashes: Set<UInt32> = []
        var revision: Int64 = 0
        for number in cluster.numbers {
            let client = try await EtcdClient.connect(to: cluster.node(number))
            // Brings the node up to date.
            _ = try await client.value(of: Self.keys[0])
            let request = EtcdHashKVRequest.with { $0.revision = revision }
            let answer = try await client.call("Maintenance/HashKV", request, EtcdHashKVResponse.self)
            revision = answer.hashRevision
            hashes.insert(answer.hash)
            await client.close()
        }
        #expect(hashes.count == 1 && revision > 1)
    }
}
