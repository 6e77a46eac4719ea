import EtcdAPI
import Foundation
import T4Conformance
import Testing

/// Goal: whatever part of the network between three nodes and their store is cut, in one direction or both, those that can go on do,
/// the others answer no linearizable read and acknowledge nothing, and all are well once it is healed.
/// Method: proxies between processes; for each cut, clients at the nodes that are to go on, and at those that are not.
@Suite(
    .enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"),
    .enabled(if: S3Service.isInstalled, "there is no moto: run scripts/fetch-moto once, which installs it"),
    .timeLimit(.minutes(60)))
struct PartitionTests {
    /// Who is cut off from whom, for the leader and its two followers.
    private struct Scene: Sendable {
        var leader: Int
        var first: Int
        var second: Int

        var followers: [Int] { [first, second] }
        var all: [Int] { [leader, first, second] }

        init(_ cluster: FaultyCluster) async throws {
            leader = try await cluster.leader()
            let others = cluster.numbers.filter { [leader] in $0 != leader }
            (first, second) = (others[0], others[1])
        }

        static func way(_ from: Int, _ to: Int) -> [Wires.Direction] {
            [Wires.Direction(from: .node(from), to: .node(to))]
        }

        static func both(_ one: Int, _ other: Int) -> [Wires.Direction] { way(one, other) + way(other, one) }

        static func store(_ node: Int) -> [Wires.Direction] {
            [Wires.Direction(from: .node(node), to: .store), Wires.Direction(from: .store, to: .node(node))]
        }
    }

    private func with(_ body: @Sendable @escaping (FaultyCluster) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await FaultyCluster.with(in: folder, seed: TestEnvironment.seed) { try await body($0) }
            }
        }
    }

    /// Cuts, looks, and heals.
    private func cut(
        _ directions: [Wires.Direction], of cluster: FaultyCluster, goOn: [Int], areSilent: [Int], _ what: String
    ) async throws {
        cluster.wires.set(directions, .cut)
        try await cluster.expectProgress(at: goOn, "\(what): cut")
        await cluster.expectSilence(of: areSilent, what)
        cluster.wires.heal()
        try await cluster.expectProgress(at: cluster.numbers, "\(what): healed")
        try await cluster.cluster.untilInSync(3)
    }

    @Test func aLeaderWithoutItsFollowersGoesOnWithTheStore() async throws {
        try await with { cluster in
            let scene = try await Scene(cluster)
            try await cut(
                Scene.both(scene.leader, scene.first) + Scene.both(scene.leader, scene.second), of: cluster,
                goOn: [scene.leader], areSilent: scene.followers, "leader without followers")
            #expect(try await cluster.leader() == scene.leader)
        }
    }

    @Test func aLeaderWithoutAnybodyIsReplaced() async throws {
        try await with { cluster in
            let scene = try await Scene(cluster)
            try await cut(
                Scene.both(scene.leader, scene.first) + Scene.both(scene.leader, scene.second)
                    + Scene.store(scene.leader), of: cluster,
                goOn: scene.followers, areSilent: [scene.leader], "leader without anybody")
            #expect(try await cluster.leader() != scene.leader)
        }
    }

    @Test func nodesGoOnWithoutTheStore() async throws {
        try await with { cluster in
            let scene = try await Scene(cluster)
            try await cut(
                Scene.store(scene.leader), of: cluster, goOn: scene.all, areSilent: [], "leader without store")
            try await cut(
                Scene.store(scene.first), of: cluster, goOn: scene.all, areSilent: [], "follower without store")
            try await cut(
                scene.all.flatMap(Scene.store), of: cluster, goOn: scene.all, areSilent: [], "all without store")
            #expect(try await cluster.leader() == scene.leader)
        }
    }

    @Test func oneFollowerWithoutItsLeaderIsSilent() async throws {
        try await with { cluster in
            let scene = try await Scene(cluster)
            let (leader, lost) = (scene.leader, scene.first)
            try await cut(
                Scene.both(leader, lost), of: cluster, goOn: [leader, scene.second], areSilent: [lost],
                "follower without leader")
            try await cut(
                Scene.way(leader, lost), of: cluster, goOn: [leader, scene.second], areSilent: [lost],
                "follower that does not hear its leader")
            try await cut(
                Scene.way(lost, leader), of: cluster, goOn: [leader, scene.second], areSilent: [lost],
                "follower that its leader does not hear")
            // Those two have nothing to say to each other.
            try await cut(
                Scene.both(lost, scene.second), of: cluster, goOn: scene.all, areSilent: [],
                "followers without each other")
            #expect(try await cluster.leader() == leader)
        }
    }

    @Test func aLeaderThatIsHeardOrHearsOneWayGoesOnWithTheStore() async throws {
        try await with { cluster in
            let scene = try await Scene(cluster)
            let (leader, followers) = (scene.leader, scene.followers)
            try await cut(
                followers.flatMap { Scene.way(leader, $0) }, of: cluster, goOn: [leader], areSilent: followers,
                "leader that is not heard")
            try await cut(
                followers.flatMap { Scene.way($0, leader) }, of: cluster, goOn: [leader], areSilent: followers,
                "leader that hears nobody")
            #expect(try await cluster.leader() == leader)
        }
    }

    /// It cannot drop anybody, and so has to make way: as long as its heartbeats arrive nobody else may lead.
    @Test func aLeaderThatHearsNothingAtAllAcknowledgesNothing() async throws {
        try await with { cluster in
            let scene = try await Scene(cluster)
            let leader = scene.leader
            cluster.wires.set(
                scene.followers.flatMap { Scene.way($0, leader) } + Scene.store(leader), .cut)
            try await cluster.expectProgress(at: scene.followers, "leader that hears nothing at all")
            await cluster.expectSilence(of: [leader], "leader that hears nothing at all")
            cluster.wires.heal()
            try await cluster.expectProgress(at: cluster.numbers, "healed")
        }
    }

    @Test func nobodyGoesOnAlone() async throws {
        try await with { cluster in
            let scene = try await Scene(cluster)
            let pairs =
                Scene.both(scene.leader, scene.first) + Scene.both(scene.leader, scene.second)
                + Scene.both(scene.first, scene.second)
            // Leadership time ends, and what was under way before the cut.
            cluster.wires.set(pairs + scene.all.flatMap(Scene.store), .cut)
            await pause(.seconds(2))
            await cluster.expectSilence(of: scene.all, "everybody alone")
            cluster.wires.heal()
            try await cluster.expectProgress(at: cluster.numbers, "healed")
        }
    }

    /// TCP repeats what was lost, later; connections break and come back.
    @Test func packetsAreLost() async throws {
        try await with { cluster in
            let places = cluster.numbers.map(Wires.Place.node) + [.store]
            let all = places.flatMap { from in places.filter { $0 != from }.map { Wires.Direction(from: from, to: $0) }
            }
            cluster.wires.set(all, .lossy(percent: 20, delay: .milliseconds(400)))
            try await cluster.expectProgress(at: cluster.numbers, "packets are lost")
            for _ in 0..<5 {
                cluster.wires.set(all, .resets)
                await pause(.milliseconds(100))
                cluster.wires.heal()
                try await cluster.expectProgress(at: cluster.numbers, "connections are reset")
            }
        }
    }
}
