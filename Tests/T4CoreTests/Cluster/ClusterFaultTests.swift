import Foundation
import Synchronization
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: whatever is acknowledged stays, at the revision that was told, and reads see it, while nodes die, leave, come back, lose
/// their disks and the wires between them. Method: clients write and read without a pause; after each fault they have to get on.
@Suite(.serialized) struct ClusterFaultTests {
    /// Faults in each test: `T4_TEST_ROUNDS`.
    private static let rounds = ProcessInfo.processInfo.environment["T4_TEST_ROUNDS"].flatMap { Int($0) } ?? 8

    /// What a client was told.
    private struct Acknowledged: Sendable {
        var key: String
        var value: Int
        var revision: Revision
    }

    /// What clients share.
    private final class Ledger: Sendable {
        let writes = Mutex<[Acknowledged]>([])
        let wrong = Mutex<[String]>([])
        let isOver = Atomic(false)

        var count: Int { writes.withLock { $0.count } }

        /// Waits until there are so many more.
        func waitForMore(_ more: Int, _ cluster: TestCluster) async throws {
            let goal = count + more
            _ = try await cluster.wait("\(more) more writes") { _ in self.count >= goal ? true : nil }
        }
    }

    @Test(arguments: 0..<3 as Range<UInt64>)
    func nothingAcknowledgedIsLost(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let cluster = try await TestCluster(durability: seed % 2 == 0 ? .replicated : .objectStore)
        let ledger = Ledger()
        for number in 1...3 { try await cluster.start(number) }
        let clients = (0..<4).map { number in Task { await self.write("client-\(number)", cluster, ledger) } }
        let readers = (0..<2).map { _ in Task { await self.read(cluster, ledger) } }
        do {
            try await ledger.waitForMore(20, cluster)
            for _ in 0..<Self.rounds {
                try await self.disturb(cluster, ledger, &random)
            }
        } catch {
            Issue.record("seed \(seed): \(error)")
        }
        ledger.isOver.store(true, ordering: .releasing)
        cluster.changed()
        for client in clients + readers { await client.value }
        #expect(ledger.wrong.withLock { $0 } == [], "seed \(seed)")
        try await check(cluster, ledger, seed)
        try await cluster.stopAll()
    }

    /// One fault, and its end: clients get on during it and after it.
    private func disturb(_ cluster: TestCluster, _ ledger: Ledger, _ random: inout SeededGenerator) async throws {
        let number = Int.random(in: 1...3, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0:
            try await cluster.crash(number)
            try await ledger.waitForMore(10, cluster)
            try await cluster.start(number)
        case 1:
            try await cluster.stop(number)
            try await ledger.waitForMore(10, cluster)
            try await cluster.start(number)
        case 2:
            let leader = try await cluster.leader()
            try await cluster.crash(leader.number)
            try await ledger.waitForMore(10, cluster)
            try await cluster.start(leader.number)
        case 3:
            let other = number % 3 + 1
            let isOneWay = Bool.random(using: &random)
            cluster.state.withLock { state in
                state.cut.insert([number, other])
                if !isOneWay { state.cut.insert([other, number]) }
            }
            try await ledger.waitForMore(10, cluster)
            cluster.state.withLock { $0.cut = [] }
        default:
            // One disk at a time: the others have everything.
            _ = try await cluster.wait("a set of three") { members in
                members.first {
                    $0.replicator.standing.record?.inSyncSet.count == 3 && $0.replicator.standing.isServing
                }?
                .number
            }
            try await cluster.crash(number)
            try FileManager.default.removeItem(at: cluster.directory.appending(path: "\(number)"))
            try await cluster.start(number)
        }
        try await ledger.waitForMore(10, cluster)
    }

    /// Writes rising numbers to a key of its own.
    private func write(_ key: String, _ cluster: TestCluster, _ ledger: Ledger) async {
        var value = 0
        while !ledger.isOver.load(ordering: .acquiring) {
            guard let leader = await serving(cluster, ledger) else { return }
            value += 1
            guard case .success(.put(let response)) = await leader.put(key, "\(value)") else { continue }
            ledger.writes.withLock { $0.append(Acknowledged(key: key, value: value, revision: response.revision)) }
            cluster.changed()
        }
    }

    /// Reads keys on whichever node, which has to show what was acknowledged before.
    private func read(_ cluster: TestCluster, _ ledger: Ledger) async {
        while !ledger.isOver.load(ordering: .acquiring) {
            guard let leader = await serving(cluster, ledger), let last = ledger.writes.withLock({ $0.last }) else {
                continue
            }
            let index: UInt64? = await withCheckedContinuation { continuation in
                leader.replicator.read { continuation.resume(returning: $0) }
            }
            guard let index, let reader = cluster.members.randomElement() else { continue }
            let value: Int? = try? await cluster.wait("entry \(index) on node \(reader.number)") { members in
                guard members.contains(where: { $0 === reader }), let at = try? reader.engine.appliedPosition.index
                else { return .some(nil) }
                guard at >= index else { return nil }
                return .some((try? reader.value(last.key)).flatMap { $0 }.flatMap { Int($0) })
            }
            if let value, value < last.value {
                ledger.wrong.withLock { $0.append("\(last) was acknowledged, and a read of \(index) sees \(value)") }
            }
        }
    }

    private func serving(_ cluster: TestCluster, _ ledger: Ledger) async -> TestMember? {
        try? await cluster.wait("a leader") { members in
            if ledger.isOver.load(ordering: .acquiring) { return .some(nil) }
            return members.first { $0.replicator.standing.isServing }.map { .some($0) }
        }
    }

    private func check(_ cluster: TestCluster, _ ledger: Ledger, _ seed: UInt64) async throws {
        let dumps = try await cluster.agree()
        #expect(dumps.allSatisfy { $0 == dumps[0] }, "seed \(seed)")
        let reader = try StateReader(cluster.members[0].engine.snapshot())
        let writes = ledger.writes.withLock { $0 }
        #expect(Set(writes.map(\.revision)).count == writes.count, "seed \(seed)")
        for write in writes {
            let found = try reader.version(of: [UInt8](write.key), at: write.revision)
            let value = found.map { String(decoding: $0.value, as: UTF8.self) }
            #expect(value == "\(write.value)" && found?.mod == write.revision, "seed \(seed): \(write)")
        }
    }
}
