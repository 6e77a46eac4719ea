import EtcdAPI
import Foundation
import T4Conformance
import Testing

/// Goal: a cluster says what it waits for, and goes on when somebody who may decide that tells it to. Method: real processes, kill -9,
/// directories that are moved away and back.
@Suite(.enabled(if: TestEnvironment.subject != .etcd), .timeLimit(.minutes(30)))
struct ClusterRecoveryTests {
    /// Short times, so that nobody waits for long.
    @Sendable private static func quick(_ number: Int) -> [String] {
        ["--election-timeout", "500ms", "--leadership-ttl", "1s"]
    }

    /// The disks of all nodes in sync are lost. The one that was not in sync says so and leads nothing; after `t4 recover` it begins
    /// with what it has. A disk that comes back after all is set aside.
    @Test func everyDiskInSyncIsLost() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await ClusterUnderTest.with(3, in: folder, options: Self.quick) { cluster in
                    try await cluster.untilInSync(3)
                    try await Self.put("known", "to all", on: cluster.node(3))
                    #expect(try await cluster.stop(3) == .code(0))
                    try await cluster.untilInSync(2)
                    try await Self.put("known", "to two", on: cluster.node(1))
                    let leader = try await cluster.leader()
                    let follower = 3 - leader
                    try await Self.put("lost", "soon", on: cluster.node(follower))
                    let (refused, _, notEmpty) = try await Self.recover(cluster, 3, [])
                    #expect(refused == .code(1))
                    #expect(notEmpty.contains("something listens on 127.0.0.1:"))
                    // The follower has applied all of it, and closed its engine; the leader has no time to upload anything.
                    try cluster.node(leader).process.signal(SIGSTOP)
                    #expect(try await cluster.stop(follower) == .code(0))
                    try await cluster.crash(leader)
                    let kept = folder.appending(path: "kept")
                    try FileManager.default.moveItem(at: cluster.directory(follower), to: kept)
                    try cluster.loseDisk(leader)

                    let left = try await cluster.start(3)
                    _ = try await left.process.errors.wait(for: "the node to say what it waits for") { said in
                        said.description.contains("nobody leads, and nobody may take over") ? true : nil
                    }
                    #expect(left.process.errors.value.description.contains("t4 recover"))
                    let (inUse, _, why) = try await Self.recover(cluster, 3, ["--accept-data-loss"])
                    #expect(inUse == .code(1) && why.contains("is in use by another t4 process"))
                    #expect(try await cluster.stop(3) == .code(0))

                    let (looked, report, _) = try await Self.recover(cluster, 3, [])
                    #expect(looked == .code(0))
                    #expect(report.contains("The data directory has more."), "\(report)")
                    #expect(report.contains("  nodes in sync, none of which is left: "))
                    #expect(try await !cluster.status().contains("resigned"))
                    let (done, text, _) = try await Self.recover(cluster, 3, ["--accept-data-loss"])
                    #expect(done == .code(0))
                    #expect(text.contains("Recovered: the cluster begins with what the data directory has."), "\(text)")

                    try await cluster.start(3)
                    #expect(try await cluster.leader() == 3)
                    #expect(try await Self.value("known", on: cluster.node(3)) == "to all")
                    #expect(try await Self.value("lost", on: cluster.node(3)) == nil)
                    for count in 0..<20 { try await Self.put("new", "\(count)", on: cluster.node(3)) }

                    // The disk that was thought lost has entries that were given up.
                    try FileManager.default.moveItem(at: kept, to: cluster.directory(follower))
                    for number in [1, 2] { try await cluster.start(number) }
                    try await cluster.untilInSync(3)
                    #expect(
                        FileManager.default.fileExists(
                            atPath: cluster.directory(follower).appending(path: "aside-1/database").path))
                    for number in 1...3 {
                        #expect(try await Self.value("known", on: cluster.node(number)) == "to all")
                        #expect(try await Self.value("lost", on: cluster.node(number)) == nil)
                        #expect(try await Self.value("new", on: cluster.node(number)) == "19")
                    }
                    let (needless, _, unneeded) = try await Self.recover(cluster, 4, ["--json"])
                    #expect(needless == .code(1) && unneeded.contains("something listens on"))
                }
            }
        }
    }

    /// Where everything is in the store there is nothing to recover, and nobody needs to.
    @Test func nothingToRecover() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await ClusterUnderTest.with(1, in: folder, options: Self.quick) { cluster in
                    try await Self.put("a", "b", on: cluster.node(1))
                    #expect(try await cluster.stop(1) == .code(0))
                    try cluster.loseDisk(1)
                    let (status, _, said) = try await Self.recover(cluster, 1, ["--accept-data-loss"])
                    #expect(status == .code(1) && said.contains("nothing is to be recovered"), "\(said)")
                    try await cluster.start(1)
                    #expect(try await Self.value("a", on: cluster.node(1)) == "b")
                }
            }
        }
    }

    /// A node alone does not take the log away from a cluster that has not ended. After one that has ended it goes on alone, and a
    /// cluster after it.
    @Test func aNodeAloneLeavesAClusterInPeace() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await ClusterUnderTest.with(2, in: folder, options: Self.quick) { cluster in
                    try await cluster.untilInSync(2)
                    try await Self.put("a", "of two", on: cluster.node(1))
                    let stranger = try ServerUnderTest.launch(
                        .t4(engine: nil), dataDirectory: folder.appending(path: "alone"),
                        options: cluster.store(of: nil))
                    #expect(try await stranger.wait() == .code(1))
                    #expect(stranger.errors.value.description.contains("start the node with --peer-listen"))
                    try await Self.put("a", "still", on: cluster.node(2))
                    try await Self.stopBoth(cluster)

                    let alone = try await ServerUnderTest.start(
                        .t4(engine: nil), dataDirectory: cluster.directory(2), options: cluster.store(of: nil))
                    #expect(try await Self.value("a", on: alone) == "still")
                    try await Self.put("a", "alone", on: alone)
                    #expect(try await alone.stop() == .code(0))
                    for number in [1, 2] { try await cluster.start(number) }
                    try await cluster.untilInSync(2)
                    for number in [1, 2] { #expect(try await Self.value("a", on: cluster.node(number)) == "alone") }
                    try await Self.put("a", "of two again", on: cluster.node(1))
                }
            }
        }
    }

    /// What a node alone has acknowledged on a cluster's database is not forgotten when it dies: while that is on its disk alone, the
    /// others wait for it; what is in the store they take over.
    @Test func aNodeAloneIsNotForgotten() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                try await ClusterUnderTest.with(2, in: folder, options: Self.quick) { cluster in
                    try await cluster.untilInSync(2)
                    try await Self.stopBoth(cluster)

                    let alone = try await ServerUnderTest.start(
                        .t4(engine: nil), dataDirectory: cluster.directory(2),
                        options: cluster.store(of: nil) + [
                            "--node-id", "loner", "--wal-durability", "local", "--segment-max-age-sec", "1h",
                        ])
                    try await Self.put("a", "on one disk", on: alone)
                    await alone.crash()
                    let waiting = try await cluster.start(1)
                    _ = try await waiting.process.errors.wait(for: "the node to say what it waits for") { said in
                        said.description.contains("nobody leads, and nobody may take over") ? true : nil
                    }
                    let (_, _, stranger) = try await Self.outcome(
                        cluster.store(of: nil), in: folder.appending(path: "stranger"))
                    #expect(stranger.contains("loner has acknowledged writes that are not in the store"), "\(stranger)")
                    try await cluster.start(2)
                    try await cluster.untilInSync(2)
                    for number in [1, 2] {
                        #expect(try await Self.value("a", on: cluster.node(number)) == "on one disk")
                    }
                    try await Self.stopBoth(cluster)

                    let other = try await ServerUnderTest.start(
                        .t4(engine: nil), dataDirectory: folder.appending(path: "other"),
                        options: cluster.store(of: nil) + ["--wal-durability", "object-store"])
                    try await Self.put("a", "in the store", on: other)
                    await other.crash()
                    try await cluster.start(1)
                    try await cluster.untilInSync(1)
                    #expect(try await Self.value("a", on: cluster.node(1)) == "in the store")
                }
            }
        }
    }

    /// A read-only node shows everything and changes nothing; nothing waits for it, and it never leads.
    @Test func aReadOnlyNode() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let options = { @Sendable (number: Int) in
                    Self.quick(number) + (number == 3 ? ["--read-only"] : []) + ["--bcrypt-cost", "4"]
                }
                try await ClusterUnderTest.with(3, in: folder, options: options) { cluster in
                    try await cluster.untilInSync(2)
                    try await Self.put("a", "1", on: cluster.node(1))
                    let reader = try await EtcdClient.connect(to: cluster.node(3))
                    let watch = try reader.watch(from: 0)
                    try await watch.untilCreated()
                    #expect(try await reader.value(of: "a") == "1")
                    await #expect {
                        _ = try await reader.put("a", "2")
                    } throws: {
                        "\($0)".contains("etcdserver: rpc not supported for learner")
                    }
                    let members = try await reader.call(
                        "Cluster/MemberList", EtcdMemberListRequest(), EtcdMemberListResponse.self
                    ).members
                    #expect(members.count == 3)
                    #expect(members.filter(\.isLearner).map(\.name) == ["node-3"])
                    let status = try await reader.call(
                        "Maintenance/Status", EtcdStatusRequest(), EtcdStatusResponse.self)
                    #expect(status.isLearner)
                    var shell = try GuideShell(in: folder)
                    for number in 1...3 { shell.replace("node-\(number):3379", with: try cluster.node(number).address) }
                    for step in GuideShell.steps(
                        """
                        $ etcdctl --endpoints=node-1:3379 user add root:secret
                        User root created
                        $ etcdctl --endpoints=node-1:3379 user grant-role root root
                        Role root is granted to user root
                        $ etcdctl --endpoints=node-1:3379 auth enable
                        Authentication Enabled
                        $ etcdctl --endpoints=node-3:3379 --user root:secret get a
                        a
                        1
                        $ etcdctl --endpoints=node-1:3379 --user root:secret auth disable
                        Authentication Disabled
                        """
                    ) { try await shell.run(step) }
                    await reader.close()

                    // It stands still, and nobody notices.
                    let node = try cluster.node(3)
                    node.process.signal(SIGSTOP)
                    for count in 0..<50 { try await Self.put("b", "\(count)", on: cluster.node(2)) }
                    node.process.signal(SIGCONT)
                    #expect(try await Self.value("b", on: node) == "49")
                    try await Self.stopBoth(cluster)
                    // The two others have left everything in the store: any other node would lead now.
                    let last = try await EtcdClient.connect(to: node)
                    await #expect {
                        _ = try await last.value(of: "b")
                    } throws: {
                        "\($0)".contains("etcdserver: no leader")
                    }
                    await last.close()
                    try await cluster.start(1)
                    try await Self.put("c", "1", on: cluster.node(1))
                    #expect(try await Self.value("c", on: node) == "1")
                }
            }
        }
    }

    /// Where two nodes have to be in sync, one alone takes no writes, and shows what there is.
    @Test func writesWantEnoughNodes() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let options = { @Sendable (number: Int) in Self.quick(number) + ["--min-in-sync", "2"] }
                try await ClusterUnderTest.with(2, in: folder, options: options) { cluster in
                    try await cluster.untilInSync(2)
                    try await Self.put("a", "1", on: cluster.node(1))
                    let leader = try await cluster.leader()
                    try await cluster.crash(3 - leader)
                    try await cluster.untilInSync(1)
                    let client = try await EtcdClient.connect(to: cluster.node(leader))
                    var refusal = ""
                    while !refusal.contains("too few nodes are in sync") {
                        do {
                            _ = try await client.put("a", "2")
                            Issue.record("one node acknowledged a write")
                        } catch {
                            refusal = "\(error)"
                        }
                    }
                    #expect(try await client.value(of: "a") == "1")
                    // It leads as before when the other one is back.
                    try await cluster.start(3 - leader)
                    try await cluster.untilInSync(2)
                    try await Self.put("a", "3", on: cluster.node(3 - leader))
                    #expect(try await client.value(of: "a") == "3")
                    #expect(try await cluster.leader() == leader)
                    await client.close()
                }
            }
        }
    }

    // MARK: Help

    /// In good order: the second one only once it leads, or led before.
    private static func stopBoth(_ cluster: ClusterUnderTest) async throws {
        #expect(try await cluster.stop(1) == .code(0))
        try await cluster.untilInSync(1)
        #expect(try await cluster.stop(2) == .code(0))
    }

    private static func put(_ key: String, _ value: String, on node: ServerUnderTest) async throws {
        let client = try await EtcdClient.connect(to: node)
        var isDone = false
        while !isDone {
            do {
                _ = try await client.put(key, value)
                isDone = true
            } catch {
                guard "\(error)".contains("unavailable") else { throw error }
            }
        }
        await client.close()
    }

    private static func value(_ key: String, on node: ServerUnderTest) async throws -> String? {
        let client = try await EtcdClient.connect(to: node)
        let value = try await client.value(of: key)
        await client.close()
        return value
    }

    /// How a node ended that was started alone.
    private static func outcome(
        _ options: [String], in directory: URL
    ) async throws -> (status: ExitStatus, output: String, errors: String) {
        let process = try ServerUnderTest.launch(.t4(engine: nil), dataDirectory: directory, options: options)
        let status = try await process.wait()
        return (status, process.output.value.description, process.errors.value.description)
    }

    /// `t4 recover` for the data directory of a node.
    private static func recover(
        _ cluster: ClusterUnderTest, _ number: Int, _ flags: [String]
    ) async throws -> (status: ExitStatus, output: String, errors: String) {
        let process = try ChildProcess(
            try TestEnvironment.t4Binary(),
            ["recover", "--data-dir", cluster.directory(number).path] + cluster.arguments(number) + flags,
            environment: TestEnvironment.forChildren)
        let status = try await process.wait()
        return (status, process.output.value.description, process.errors.value.description)
    }
}
