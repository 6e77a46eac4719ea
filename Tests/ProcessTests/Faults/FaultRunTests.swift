import EtcdAPI
import Foundation
import SwiftProtobuf
import Synchronization
import T4Conformance
import Testing

/// Goal: whatever happens to processes, network, disks and clocks of a cluster, clients lose nothing that was acknowledged, see
/// nothing old, no event twice and none too few, never two holders of a lock, and no lease that ends early; and each node
/// is well again soon.
/// Method: clients at all nodes work on registers, lists, accounts and a lock, and watch everything, while a seed chooses a fault
/// every few seconds; judges look at what they noted.
@Suite(
    .enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"),
    .enabled(if: S3Service.isInstalled, "there is no moto: run scripts/fetch-moto once, which installs it"),
    .timeLimit(.minutes(240)))
struct FaultRunTests {
    /// Faults after which everything is judged, and clients begin anew with other keys.
    private static let faultsPerRun = 8

    @Test func noFaultBreaksAPromise() async throws {
        let seed = TestEnvironment.seed
        let rounds = TestEnvironment.rounds(default: 8, slow: 200)
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let options = ["--checkpoint-entries", "300", "--segment-max-size-mb", "2"]
                try await FaultyCluster.with(in: folder, seed: seed, options: options) { cluster in
                    var random = SeededGenerator(seed: seed)
                    var left = rounds
                    var number = 0
                    while left > 0 {
                        let count = min(left, Self.faultsPerRun)
                        try await run(cluster, "run\(number)/", count, seed: seed &+ UInt64(1000 * number), &random)
                        left -= count
                        number += 1
                    }
                }
            }
        }
    }

    private func run(
        _ cluster: FaultyCluster, _ prefix: String, _ count: Int, seed: UInt64, _ random: inout SeededGenerator
    ) async throws {
        let world = FaultWorld(cluster, prefix: prefix)
        let story = Story(seed: seed, prefix: prefix)
        let numbers = cluster.numbers
        let opener = try await EtcdClient.connect(to: cluster.cluster.node(numbers[0]))
        let before = try await opener.all()
        try await BankWork.open(opener, prefix)
        await opener.close()
        let watchers = numbers.map { _ in Watcher(world, behind: before.revision) }
        let end = Observed<Int64?>(nil)
        let faults = Mutex(random)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (watcher, node) in zip(watchers, numbers) {
                group.addTask { await watcher.run(first: node, seed: seed &+ UInt64(100 + node), end: end) }
            }
            do {
                try await world.run(seed: seed) {
                    try await world.progress(10, of: numbers, "at first")
                    for _ in 0..<count {
                        let leader = try await cluster.leader()
                        let (chosen, times) = faults.withLock { random in Self.choose(leader, numbers, using: &random) }
                        try await story.suffer(chosen, times, cluster, world)
                    }
                    try cluster.heal()
                }
                try await judge(world, watchers, before, end, story)
            } catch {
                group.cancelAll()
                throw StoryFailed(cause: error, story: story.text)
            }
            try await group.waitForAll()
        }
        random = faults.withLock { $0 }
    }

    /// One fault, or sometimes two at a time.
    private static func choose(
        _ leader: Int, _ numbers: [Int], using random: inout SeededGenerator
    ) -> ([Fault], [Duration]) {
        var faults = [Fault.random(leader: leader, of: numbers, using: &random)]
        if Int.random(in: 0..<4, using: &random) == 0 {
            let other = Fault.random(leader: leader, of: numbers, using: &random)
            // Processes that end and come back are one thing at a time.
            if case .network = other { faults.append(other) }
        }
        return (faults, faults.map { _ in .milliseconds(Int.random(in: 200...4000, using: &random)) })
    }

    /// Everything is well again, and nobody writes any more.
    private func judge(
        _ world: FaultWorld, _ watchers: [Watcher], _ before: DatabaseState, _ end: Observed<Int64?>, _ story: Story
    ) async throws {
        let cluster = world.cluster
        let client = try await EtcdClient.connect(to: cluster.cluster.node(1))
        let last = try await client.put("\(world.prefix)end", "end")
        end.update { $0 = last }
        for (number, watcher) in watchers.enumerated() {
            _ = try await watcher.changes.wait(for: "revision \(last) at watcher \(number)") { changes in
                (changes.last?.revision ?? 0) >= last ? true : nil
            }
        }
        let state = try await client.all(at: last)
        await client.close()
        var events = world.tape.withLock {
            EventHistory(start: before.revision, acknowledged: $0.acknowledged, refused: $0.refused)
        }
        events.watchers = watchers.map(\.changes.value)
        // The first state is that of the time at which it was read.
        let now = DatabaseState(revision: last, rows: state.rows)
        let tape = world.tape.withLock { $0 }
        let rows = Dictionary(uniqueKeysWithValues: now.rows.map { ($0.key, $0.value) })
        let context = story.text
        #expect(events.faults(finally: now, before: before.rows) == [], "\(context)")
        #expect(watchers.flatMap { $0.faults.withLock { $0 } } == [], "\(context)")
        #expect(tape.revisions.faults == [], "\(context)")
        for (key, history) in tape.registers {
            #expect(history.isLinearizable, "\(key): \(history.entries)\n\(context)")
        }
        for (key, history) in tape.lists {
            #expect(history.faults(finally: ListWork.elements(rows[key] ?? nil)) == [], "\(key)\n\(context)")
        }
        #expect(tape.bank.faults == [], "\(context)")
        #expect(tape.lock.faults == [], "\(context)")
        // Each of them has done something.
        #expect(tape.registers.count > 1 && tape.lists.count > 1 && !tape.bank.reads.isEmpty, "\(context)")
        #expect(!tape.lock.holds.isEmpty, "\(context)")
        try await checkDigests(cluster, at: last, context)
        story.tell(
            "answers \(world.answered.value), events \(events.watchers[0].count), locks \(tape.lock.holds.count)")
        if TestEnvironment.rounds(default: Self.faultsPerRun) > Self.faultsPerRun { print(story.text) }
    }

    /// All nodes hold the same.
    private func checkDigests(_ cluster: FaultyCluster, at revision: Int64, _ context: String) async throws {
        var hashes: Set<UInt32> = []
        for number in cluster.numbers {
            let client = try await EtcdClient.connect(to: cluster.cluster.node(number))
            // Brings the node up to date.
            _ = try await client.row("any")
            let request = EtcdHashKVRequest.with { $0.revision = revision }
            hashes.insert(try await client.call("Maintenance/HashKV", request, EtcdHashKVResponse.self).hash)
            await client.close()
        }
        #expect(hashes.count == 1, "\(context)")
    }
}

/// What happened in a run, and when.
private final class Story: Sendable {
    private let lines: Mutex<[String]>
    private let start = ContinuousClock.now

    init(seed: UInt64, prefix: String) { lines = Mutex(["seed \(seed), \(prefix)"]) }

    var text: String { lines.withLock { $0.joined(separator: "\n") } }

    func tell(_ line: String) {
        let time = (ContinuousClock.now - start) / .seconds(1)
        lines.withLock { $0.append("\((time * 1000).rounded() / 1000) s: \(line)") }
    }

    /// Makes faults at once, and waits until every node answers again.
    func suffer(_ faults: [Fault], _ times: [Duration], _ cluster: FaultyCluster, _ world: FaultWorld) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (fault, time) in zip(faults, times) {
                group.addTask {
                    self.tell("begins: \(fault), \(time)")
                    try await cluster.suffer(fault, for: time)
                    self.tell("is over: \(fault)")
                }
            }
            try await group.waitForAll()
        }
        try await world.progress(5, of: cluster.numbers, "after \(faults)")
        tell("all answer")
    }
}

/// A run could not go on.
private struct StoryFailed: Error, CustomStringConvertible {
    let cause: any Error
    let story: String

    var description: String { "\(cause)\n\(story)" }
}
