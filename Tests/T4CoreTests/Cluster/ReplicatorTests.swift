import Synchronization
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: nodes that replicate have the same state, and lose nothing that was acknowledged, whoever dies. Method: whole
/// clusters with real logs in one process.
@Suite(.serialized) struct ReplicatorTests {
    private func isAcknowledged(_ result: Result<ProposalResponse, DatabaseError>) -> Bool {
        if case .success = result { true } else { false }
    }

    /// Runs a cluster, and ends it whatever happens.
    private func withCluster(
        _ durability: ReplicaConfiguration.Durability = .replicated, nodes: Int = 3,
        _ body: (TestCluster) async throws -> Void
    ) async throws {
        let cluster = try await TestCluster(durability: durability)
        do {
            for number in 1...nodes { try await cluster.start(number) }
            try await body(cluster)
        } catch {
            try await cluster.stopAll()
            throw error
        }
        try await cluster.stopAll()
    }

    /// Waits until every node has applied everything, and compares their rows.
    private func expectAgreement(_ cluster: TestCluster, at revision: Revision) async throws {
        _ = try await cluster.wait("revision \(revision) everywhere") { members in
            members.allSatisfy { (try? StateReader($0.engine.snapshot()).meta.revision) ?? .none >= revision } ? true : nil
        }
        let dumps = try cluster.members.map { try dump($0.engine.snapshot()) }
        #expect(dumps.allSatisfy { $0 == dumps[0] })
        #expect(cluster.members.allSatisfy { $0.observer.failures.withLock { $0.isEmpty } })
    }

    @Test(arguments: [ReplicaConfiguration.Durability.replicated, .objectStore])
    func writesReachEveryNode(_ durability: ReplicaConfiguration.Durability) async throws {
        try await withCluster(durability) { cluster in
            let leader = try await cluster.leader()
            for count in 0..<50 { #expect(isAcknowledged(await leader.put("key-\(count % 7)", "\(count)"))) }
            try await expectAgreement(cluster, at: Revision(51))
            #expect(try cluster.members[2].value("key-0") == "49")
        }
    }

    @Test func oneNodeAlone() async throws {
        try await withCluster(nodes: 1) { cluster in
            let leader = try await cluster.leader()
            for count in 0..<20 { #expect(isAcknowledged(await leader.put("k", "\(count)"))) }
            try await cluster.crash(1)
            try await cluster.start(1)
            let again = try await cluster.leader()
            #expect(isAcknowledged(await again.put("k", "last")))
            #expect(try again.value("k") == "last")
        }
    }

    @Test func theLeaderDies() async throws {
        try await withCluster { cluster in
            let first = try await cluster.leader()
            _ = try await cluster.wait("a set of three") { members in
                members.first { $0.replicator.standing.record?.inSyncSet.count == 3 }?.number
            }
            for count in 0..<20 { #expect(isAcknowledged(await first.put("before-\(count)", "1"))) }
            try await cluster.crash(first.number)
            let second = try await cluster.leader()
            #expect(second.number != first.number)
            for count in 0..<20 { #expect(isAcknowledged(await second.put("after-\(count)", "2"))) }
            try await cluster.start(first.number)
            try await expectAgreement(cluster, at: Revision(41))
            #expect(try second.value("before-19") == "1")
        }
    }

    @Test func aLeaderHandsOver() async throws {
        try await withCluster { cluster in
            let first = try await cluster.leader()
            _ = try await cluster.wait("a set of three") { members in
                members.first { $0.replicator.standing.record?.inSyncSet.count == 3 }?.number
            }
            #expect(isAcknowledged(await first.put("a", "1")))
            try await cluster.stop(first.number)
            #expect(first.ended.withLock { $0 } == "in good order")
            let second = try await cluster.leader()
            #expect(isAcknowledged(await second.put("b", "2")))
            try await cluster.start(first.number)
            try await expectAgreement(cluster, at: Revision(3))
        }
    }

    /// A leader cut off from the others, and from nothing else, lets another one take over, or goes on alone.
    @Test func aLeaderIsCutOff() async throws {
        try await withCluster { cluster in
            let first = try await cluster.leader()
            #expect(isAcknowledged(await first.put("a", "1")))
            cluster.state.withLock { state in
                for other in 1...3 where other != first.number {
                    state.cut.insert([first.number, other])
                    state.cut.insert([other, first.number])
                }
            }
            // Whatever becomes of this one.
            async let undecided = first.put("b", "2")
            let wasAcknowledged = isAcknowledged(await undecided)
            cluster.state.withLock { $0.cut = [] }
            let leader = try await cluster.leader()
            #expect(isAcknowledged(await leader.put("c", "3")))
            try await expectAgreement(cluster, at: Revision(wasAcknowledged ? 4 : 3))
            if wasAcknowledged { #expect(try leader.value("b") == "2") }
        }
    }
}
