import EtcdAPI
import Foundation
import FoundationNetworking
import SwiftProtobuf
import T4Conformance
import TestCertificates
import Testing

/// Goal: several processes around one store are one database: each takes every request, and what was acknowledged outlives any
/// of them. Method: real processes that are really killed, and etcdctl.
@Suite(.enabled(if: TestEnvironment.subject != .etcd), .timeLimit(.minutes(30)))
struct ClusterTests {
    /// Many clients write through one node, which is killed, whether it leads or not. Then everything that it had acknowledged is
    /// shown by each of the others, and it comes back, sometimes with an empty disk.
    @Test func acknowledgedWritesSurviveAnyNode() async throws {
        let seed = TestEnvironment.seed
        let rounds = TestEnvironment.rounds(default: 6)
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let options = { @Sendable (_: Int) in ["--checkpoint-entries", "200", "--segment-max-size-mb", "2"] }
                try await ClusterUnderTest.with(3, in: folder, options: options) { cluster in
                    var generator = SeededGenerator(seed: seed)
                    var history = History(Load(writers: 24, seed: seed))
                    for round in 1...rounds {
                        let leader = try await cluster.leader()
                        let others = cluster.numbers.filter { $0 != leader }
                        let victim = round.isMultiple(of: 2) ? others.randomElement(using: &generator)! : leader
                        let witness = cluster.numbers.filter { $0 != victim }.randomElement(using: &generator)!
                        let client = try await EtcdClient.connect(to: cluster.node(witness))
                        let watch = try client.watch(from: 0)
                        try await watch.untilCreated()
                        let count = Int.random(in: 100...400, using: &generator)
                        let lost = try cluster.connectionsLost(by: leader)
                        try await history.load.run(on: try cluster.node(victim), until: count) {
                            try await cluster.crash(victim)
                        }
                        if victim != leader {
                            // What it had handed to the leader may be decided yet.
                            try await cluster.untilLost(lost + 1, by: leader)
                            let last = try await EtcdClient.connect(to: cluster.node(leader))
                            _ = try await last.delete("nobody's")
                            await last.close()
                        }
                        let context = "seed \(seed), round \(round), node \(victim) died, \(leader) led"
                        for number in cluster.numbers {
                            try await history.check(
                                try cluster.node(number), seen: watch.content.value.changes,
                                "\(context), node \(number)")
                        }
                        await client.close()
                        if round.isMultiple(of: 3) { try cluster.loseDisk(victim) }
                        try await cluster.start(victim)
                        try await history.check(
                            try cluster.node(victim), seen: [], "\(context), node \(victim) is back")
                    }
                }
            }
        }
    }

    /// What an operator does: look, move the leader, stop nodes one after the other until one is left, start others.
    @Test func anOperator() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await ClusterUnderTest.with(3, in: folder) { cluster in
                    var shell = try GuideShell(in: folder)
                    for number in 1...3 { shell.replace("node-\(number):3379", with: try cluster.node(number).address) }
                    for step in GuideShell.steps(
                        """
                        $ etcdctl --endpoints=node-1:3379 put /config/replicas 3
                        OK
                        $ etcdctl --endpoints=node-2:3379 put /config/replicas 4
                        OK
                        $ etcdctl --endpoints=node-3:3379 get /config/replicas
                        /config/replicas
                        4
                        $ etcdctl --endpoints=node-3:3379 member list | grep -c started
                        3
                        $ etcdctl --endpoints=node-2:3379 endpoint status --cluster | grep -c ' true, false,'
                        1
                        $ etcdctl --endpoints=node-1:3379,node-2:3379,node-3:3379 endpoint health 2>&1 | grep -c 'is healthy'
                        3
                        $ etcdctl --endpoints=node-2:3379 lock /locks/a echo held
                        held
                        """
                    ) { try await shell.run(step) }

                    try await cluster.untilInSync(3)
                    for step in GuideShell.steps(
                        (1...3).map { "$ etcdctl --endpoints=node-\($0):3379 endpoint status --cluster | wc -l\n3\n" }
                            .joined()
                    ) { try await shell.run(step) }
                    let leader = try await probedLeader(cluster)
                    let heir = try #require(cluster.numbers.first { $0 != leader })
                    let client = try await EtcdClient.connect(to: cluster.node(leader))
                    let move = EtcdMoveLeaderRequest.with { $0.targetID = 77 }
                    await #expect {
                        _ = try await client.call("Maintenance/MoveLeader", move, EtcdMoveLeaderResponse.self)
                    } throws: {
                        "\($0)".contains("etcdserver: bad leader transferee")
                    }
                    let heirClient = try await EtcdClient.connect(to: cluster.node(heir))
                    let target = try await heirClient.memberID()
                    let moved = EtcdMoveLeaderRequest.with { $0.targetID = target }
                    await #expect {
                        _ = try await heirClient.call("Maintenance/MoveLeader", moved, EtcdMoveLeaderResponse.self)
                    } throws: {
                        "\($0)".contains("etcdserver: not leader")
                    }
                    _ = try await client.call("Maintenance/MoveLeader", moved, EtcdMoveLeaderResponse.self)
                    #expect(try await cluster.leader() == heir)
                    await client.close()
                    await heirClient.close()

                    // Down to one, and up again with new disks.
                    for number in [heir, leader] {
                        #expect(try await cluster.stop(number) == .code(0))
                        try await write("after \(number)", on: cluster)
                    }
                    for number in [heir, leader] {
                        try cluster.loseDisk(number)
                        try await cluster.start(number)
                        try await write("with \(number)", on: cluster)
                    }
                }
            }
        }
    }

    /// The leader, as it says itself, as load balancers find it, and as the store has it: once all three agree.
    private func probedLeader(_ cluster: ClusterUnderTest) async throws -> Int {
        while true {
            let leader = try await cluster.leader()
            var isRight = try await cluster.status().contains("Leader\n  node: node-\(leader)\n")
            for number in cluster.numbers {
                let port = try cluster.node(number).port
                #expect(try await Self.status(port, "/healthz") == 200)
                #expect(try await Self.status(port, "/readyz") == 200)
                let expected = number == leader ? 200 : 503
                if try await Self.status(port, "/healthz/leader") != expected { isRight = false }
            }
            if isRight { return leader }
        }
    }

    private static func status(_ port: Int, _ path: String) async throws -> Int {
        let url = try #require(URL(string: "http://127.0.0.1:\(port)\(path)"))
        let (_, response) = try await URLSession.shared.data(from: url)
        return (response as? HTTPURLResponse)?.statusCode ?? 0
    }

    /// Writes through each node, and reads through each.
    private func write(_ value: String, on cluster: ClusterUnderTest) async throws {
        for number in cluster.numbers {
            let client = try await EtcdClient.connect(to: cluster.node(number))
            _ = try await client.put("value", "\(value) \(number)")
            for other in cluster.numbers {
                let reader = try await EtcdClient.connect(to: cluster.node(other))
                #expect(try await reader.value(of: "value") == "\(value) \(number)")
                await reader.close()
            }
            await client.close()
        }
    }

    /// A leader that stands still is replaced. When it goes on, the first thing that it sees is a read that has waited for it, and
    /// its leadership is over.
    @Test func aLeaderThatStoodStillShowsNothingOld() async throws {
        let rounds = TestEnvironment.rounds(default: 3)
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await ClusterUnderTest.with(3, in: folder) { cluster in
                    for round in 1...rounds {
                        let number = try await cluster.leader()
                        let other = try #require(cluster.numbers.first { $0 != number })
                        let leader = try cluster.node(number)
                        let there = try await EtcdClient.connect(to: leader)
                        let here = try await EtcdClient.connect(to: cluster.node(other))
                        _ = try await there.put("value", "before \(round)")
                        leader.process.signal(SIGSTOP)
                        defer { leader.process.signal(SIGCONT) }
                        // What was under way to the leader has an unknown outcome, and the others need time to notice.
                        var isWritten = false
                        while !isWritten {
                            do {
                                _ = try await here.put("value", "after \(round)")
                                isWritten = true
                            } catch {
                                guard "\(error)".contains("unavailable") else { throw error }
                            }
                        }
                        let read = Task { try await there.value(of: "value") }
                        // By the time that this is answered the other one has left.
                        for _ in 0..<20 { _ = try await here.value(of: "value") }
                        leader.process.signal(SIGCONT)
                        #expect(try await read.value == "after \(round)")
                        await there.close()
                        await here.close()
                    }
                }
            }
        }
    }

    /// Users and logins are those of the cluster: a token of one node counts with all of them, at once.
    @Test func loginsCountEverywhere() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await ClusterUnderTest.with(3, in: folder, options: { _ in ["--bcrypt-cost", "4"] }) { cluster in
                    var shell = try GuideShell(in: folder)
                    for number in 1...3 { shell.replace("node-\(number):3379", with: try cluster.node(number).address) }
                    for step in GuideShell.steps(
                        """
                        $ etcdctl --endpoints=node-1:3379 user add root:secret
                        User root created
                        $ etcdctl --endpoints=node-2:3379 user grant-role root root
                        Role root is granted to user root
                        $ etcdctl --endpoints=node-3:3379 auth enable
                        Authentication Enabled
                        $ etcdctl --endpoints=node-1:3379 --user root:secret put a b
                        OK
                        """
                    ) { try await shell.run(step) }
                    for number in cluster.numbers {
                        let client = try await EtcdClient.connect(to: cluster.node(number))
                        let token = try await client.login("root", "secret")
                        #expect(try await client.value(of: "a", token: token) == "b")
                        for other in cluster.numbers where other != number {
                            let reader = try await EtcdClient.connect(to: cluster.node(other))
                            // A stream is the first thing that the node sees of the token.
                            let request = EtcdRangeRequest.with { $0.key = Data("a".utf8) }
                            let answer = try await reader.call(
                                "KV/RangeStream", request, EtcdRangeStreamResponse.self, token: token)
                            #expect(answer.rangeResponse.kvs.first?.value == Data("b".utf8))
                            #expect(try await reader.value(of: "a", token: token) == "b")
                            await #expect { try await reader.value(of: "a") } throws: {
                                "\($0)".contains("user name is empty")
                            }
                            await reader.close()
                        }
                        await client.close()
                    }
                }
            }
        }
    }

    /// While all nodes are connected nobody asks the store who leads, however much is written and uploaded.
    @Test func aClusterAtWorkLeavesTheElectionAlone() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let place = try await StorePlace(.s3, in: folder)
                let service = try #require(place.service)
                let surroundings = ClusterUnderTest.Surroundings(
                    store: { _ in place.flags("t4/") }, environment: { _ in place.environment },
                    whenLaunched: { _, _ in })
                let options = { @Sendable (_: Int) in ["--checkpoint-entries", "300", "--segment-max-age-sec", "1"] }
                try await ClusterUnderTest.with(3, in: folder, surroundings, options: options) { cluster in
                    try await cluster.untilInSync(3)
                    let election = try await service.trap("leader-lock", .before)
                    let upload = try await service.trap("PUT .*/wal/", number: 3, .after)
                    var client = try await EtcdClient.connect(to: cluster.node(1))
                    var count = 0
                    while !upload.isCaught || count < 2000 {
                        count += 1
                        _ = try await client.put("key-\(count % 50)", "\(count)")
                    }
                    try await upload.letGo()
                    for number in cluster.numbers {
                        let reader = try await EtcdClient.connect(to: cluster.node(number))
                        #expect(try await reader.value(of: "key-\(count % 50)") == "\(count)")
                        await reader.close()
                    }
                    #expect(!election.isCaught)
                    await client.close()
                    // It would have been seen.
                    let leader = try await cluster.leader()
                    let follower = try #require(cluster.numbers.first { $0 != leader })
                    try await cluster.crash(follower)
                    try await election.caught()
                    try await election.letGo()
                    client = try await EtcdClient.connect(to: cluster.node(leader))
                    _ = try await client.put("last", "one")
                    await client.close()
                }
            }
        }
    }

    /// With certificates nodes speak TLS with each other, and one without any is let in by nobody.
    @Test func nodesShowCertificates() async throws {
        try await Slots.servers.use {
            try await TestCertificates.with { files in
                for number in 1...2 { try await files.makePeer("node-\(number)") }
                try await files.makeAuthority("other")
                try await files.makePeer("node-3", signer: "other")
                let options = { @Sendable [folder = files.folder.path] (number: Int) -> [String] in
                    [
                        "--peer-tls-cert", "\(folder)/node-\(number).crt", "--peer-tls-key",
                        "\(folder)/node-\(number).key",
                        "--peer-tls-ca", "\(folder)/ca.crt",
                    ]
                }
                try await withTemporaryDirectory { folder in
                    try await ClusterUnderTest.with(2, in: folder, options: options) { cluster in
                        try await write("encrypted", on: cluster)
                        let stranger = try await cluster.start(3)
                        let client = try await EtcdClient.connect(to: stranger)
                        // It asks in vain, and is told so.
                        await #expect {
                            _ = try await client.put("a", "b")
                        } throws: {
                            "\($0)".contains("etcdserver: no leader")
                        }
                        await client.close()
                        try await cluster.crash(3)
                        try await write("still", on: cluster)
                    }
                }
            }
        }
    }
}
