import EtcdAPI
import Foundation
import SwiftProtobuf
import T4Conformance
import Testing

/// Goal: a disk that is slow or full, and a wall clock that jumps, at one node of three, harm that node at most, and that no longer
/// than they last.
/// Method: a library in the nodes' processes, which delays syncs, refuses space, and shifts the wall clock while the test says so.
@Suite(
    .enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"),
    .enabled(if: S3Service.isInstalled, "there is no moto: run scripts/fetch-moto once, which installs it"),
    .timeLimit(.minutes(60)))
struct DiskAndClockTests {
    private func with(_ body: @Sendable @escaping (FaultyCluster) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await FaultyCluster.with(in: folder, seed: TestEnvironment.seed) { try await body($0) }
            }
        }
    }

    /// A follower that does not keep up is in sync no more; a leader whose disk is slow is slow.
    @Test func slowDisks() async throws {
        try await with { cluster in
            let leader = try await cluster.leader()
            let follower = try #require(cluster.numbers.first { $0 != leader })
            let others = cluster.numbers.filter { $0 != follower }
            try cluster.shim(follower).setSyncDelay(.seconds(3))
            try await cluster.expectProgress(at: others, "slow follower")
            // Writes wait for it no more.
            try await cluster.cluster.untilInSync(2)
            try await cluster.expectProgress(at: others, "without the slow follower")
            try cluster.heal()
            try await cluster.expectProgress(at: cluster.numbers, "follower is fast again")
            try await cluster.cluster.untilInSync(3)
            try cluster.shim(leader).setSyncDelay(.milliseconds(1500))
            try await cluster.expectProgress(at: cluster.numbers, "slow leader")
            try cluster.heal()
            try await cluster.expectProgress(at: cluster.numbers, "leader is fast again")
            try await cluster.cluster.untilInSync(3)
        }
    }

    /// Writes are refused where the leader's disk is full, and go on when there is space; a follower's keeps nobody else from writing.
    @Test func fullDisks() async throws {
        try await with { cluster in
            let leader = try await cluster.leader()
            let follower = try #require(cluster.numbers.first { $0 != leader })
            try cluster.shim(follower).setDisk(isFull: true)
            try await cluster.expectProgress(at: cluster.numbers.filter { $0 != follower }, "full disk of a follower")
            try cluster.heal()
            try await cluster.startWhoEnded()
            try await cluster.expectProgress(at: cluster.numbers, "a follower has space again")
            try await cluster.cluster.untilInSync(3)

            try cluster.shim(leader).setDisk(isFull: true)
            try await cluster.connected(to: leader, for: .seconds(60)) { client in
                await #expect(throws: (any Error).self) { _ = try await client.put("value", "more") }
                _ = try await client.row("value")
            }
            try cluster.heal()
            try await cluster.startWhoEnded()
            try await cluster.expectProgress(at: cluster.numbers, "the leader has space again")
            try await cluster.cluster.untilInSync(3)
        }
    }

    /// Nothing depends on what a wall clock says: no leases end, nobody stops leading, and requests go on.
    @Test func aClockJumps() async throws {
        try await with { cluster in
            let leader = try await cluster.leader()
            try await cluster.connected(to: leader, for: .seconds(60)) { client in
                let grant = EtcdLeaseGrantRequest.with { $0.ttl = 36000 }
                let lease = try await client.call("Lease/LeaseGrant", grant, EtcdLeaseGrantResponse.self).id
                for hours in [30, -30, 300, 0] {
                    for node in [leader] + cluster.numbers {
                        try cluster.shim(node).setClock(ahead: .seconds(3600 * hours))
                        try await cluster.expectProgress(at: cluster.numbers, "clock of \(node) is \(hours) h ahead")
                    }
                    let question = EtcdLeaseTimeToLiveRequest.with { $0.id = lease }
                    let answer = try await client.call(
                        "Lease/LeaseTimeToLive", question, EtcdLeaseTimeToLiveResponse.self)
                    #expect((1...36000).contains(answer.ttl))
                }
            }
            #expect(try await cluster.leader() == leader)
        }
    }
}
