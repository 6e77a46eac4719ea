import Synchronization
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: nodes that replicate have the same state, and lose nothing that was acknowledged, whoever dies. Method: whole
/// clusters with real logs in one process.
@Suite(.serialized) struct ReplicatorTests {
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

    private func expectAgreement(_ cluster: TestCluster) async throws {
        let dumps = try await cluster.agree()
        #expect(dumps.allSatisfy { $0 == dumps[0] })
        #expect(cluster.members.allSatisfy { $0.observer.failures.withLock { $0.isEmpty } })
    }

    private func waitForSetOfThree(_ cluster: TestCluster) async throws {
        _ = try await cluster.wait("a set of three") { members in
            members.first { $0.replicator.standing.record?.inSyncSet.count == 3 }?.number
        }
    }

    @Test(arguments: [ReplicaConfiguration.Durability.replicated, .objectStore])
    func writesReachEveryNode(_ durability: ReplicaConfiguration.Durability) async throws {
        try await withCluster(durability) { cluster in
            for count in 0..<50 { try await cluster.write("key-\(count % 7)", "\(count)") }
            try await expectAgreement(cluster)
            #expect(try cluster.members[2].value("key-0") == "49")
        }
    }

    @Test func oneNodeAlone() async throws {
        try await withCluster(nodes: 1) { cluster in
            for count in 0..<20 { try await cluster.write("k", "\(count)") }
            try await cluster.crash(1)
            try await cluster.start(1)
            let again = try await cluster.leader()
            #expect(try again.value("k") == "19")
            try await cluster.write("k", "last")
            #expect(try again.value("k") == "last")
        }
    }

    @Test func theLeaderDies() async throws {
        try await withCluster { cluster in
            try await waitForSetOfThree(cluster)
            for count in 0..<20 { try await cluster.write("before-\(count)", "1") }
            let first = try await cluster.leader()
            try await cluster.crash(first.number)
            let second = try await cluster.write("after", "2")
            #expect(second.number != first.number)
            #expect(try second.value("before-19") == "1")
            try await cluster.start(first.number)
            try await expectAgreement(cluster)
        }
    }

    @Test func aLeaderHandsOver() async throws {
        try await withCluster { cluster in
            try await waitForSetOfThree(cluster)
            let first = try await cluster.write("a", "1")
            try await cluster.stop(first.number)
            #expect(first.ended.withLock { $0 } == "in good order")
            let second = try await cluster.write("b", "2")
            #expect(try second.value("a") == "1")
            try await cluster.start(first.number)
            try await expectAgreement(cluster)
        }
    }

    /// A leader cut off from the others, and from nothing else, lets another one take over, or goes on alone.
    @Test func aLeaderIsCutOff() async throws {
        try await withCluster { cluster in
            let first = try await cluster.write("a", "1")
            cluster.state.withLock { state in
                for other in 1...3 where other != first.number {
                    state.cut.insert([first.number, other])
                    state.cut.insert([other, first.number])
                }
            }
            let answer = await first.put("b", "2")
            cluster.state.withLock { $0.cut = [] }
            let leader = try await cluster.write("c", "3")
            try await expectAgreement(cluster)
            if case .success = answer { #expect(try leader.value("b") == "2") }
            #expect(try leader.value("a") == "1")
        }
    }
}
