// Goal: a node is one of a cluster where an address for peers is named, and what does not go with that stops it.
import T4BuiltIns
import T4Core
import Testing

@testable import T4Config

@Suite struct ClusterTests {
    private static let store = ["store-type": "filesystem", "store-filesystem-path": "/mnt/t4"]

    private func flags(_ more: [String: String]) -> [String: String] {
        Self.store.merging(["peer-listen": "10.0.0.1:3380"]) { $1 }.merging(more) { $1 }
    }

    @Test func aNodeIsAloneByDefault() throws {
        let configuration = try load()
        #expect(configuration.peer.address == nil && !configuration.peerTLS.isOn)
    }

    @Test func settings() throws {
        let file = try load(
            """
            [store]
            type = "filesystem"
            [store.filesystem]
            path = "/mnt/t4"
            [peer]
            listen = "0.0.0.0:3380"
            advertise = "node-a.internal:3380"
            [peer_tls]
            cert = "c"
            key = "k"
            ca = "a"
            [election]
            type = "file-lock"
            timeout = "500ms"
            leadership_ttl = "2s"
            [election.file-lock]
            path = "/mnt/election"
            """, registry: .builtIn)
        #expect(file.peer.address == ListenAddress(host: "0.0.0.0", port: 3380))
        #expect(file.peer.advertise == "node-a.internal:3380")
        #expect(file.peerTLS.isOn && file.peerTLS.key == "k" && file.peerTLS.authority == "a")
        #expect(file.election.timeout == .milliseconds(500) && file.election.leadershipTTL == .seconds(2))
        #expect(file.election.settings.text("path") == "/mnt/election")
        let flagged = try load(
            flags: flags([
                "election": "file-lock", "election-file-lock-path": "/e", "election-timeout": "1s",
                "wal-durability": "object-store",
            ]), registry: .builtIn)
        #expect(flagged.election.settings.text("path") == "/e" && flagged.wal.durability == .objectStore)
    }

    @Test func durability() throws {
        #expect(try load(flags: flags([:])).wal.durability == .replicated)
        #expect(try load(flags: Self.store).wal.durability == .objectStore)
        #expect(try load(flags: flags(["wal-sync-upload": "true"])).wal.durability == .objectStore)
    }

    /// Flags of T4's guides for which there is no need.
    @Test func whatT4AsksFor() throws {
        let taken = [
            "follower-wait-mode": "quorum", "leader-watch-interval-sec": "300", "follower-max-retries": "5",
        ]
        #expect(try load(flags: flags(taken)).warnings.count == 3)
        #expect(try load(flags: flags(["follower-wait-mode": "all"])).warnings.isEmpty)
    }

    @Test(arguments: [
        (
            ["peer-listen": "0.0.0.0:3380"],
            "--peer-listen: peer.listen: \"0.0.0.0:3380\" is no address that others can dial; say with --advertise-peer "
                + "HOST:PORT where they reach this node"
        ),
        (
            ["peer-listen": "nonsense"],
            "--peer-listen: peer.listen: expected an address such as \"0.0.0.0:3379\", found \"nonsense\"; write HOST:PORT, "
                + "with brackets around an IPv6 address"
        ),
        (
            ["advertise-peer": "0.0.0.0:3380"],
            "--advertise-peer: peer.advertise: \"0.0.0.0:3380\" is no address that others can dial"
        ),
        (
            ["wal-durability": "local"],
            "--wal-durability: wal.durability: \"local\" cannot be had with peer.listen, \"10.0.0.1:3380\""
        ),
        (
            ["peer-tls-cert": "c", "peer-tls-key": "k"],
            "--peer-tls-cert: peer_tls.cert: is of no use without peer_tls.ca; nodes show each other certificates: all three "
                + "files are needed"
        ),
        (
            ["election": "memory"],
            "--election: election.type: \"memory\" knows of no other process, so that each node would lead; choose "
                + "\"object-store\" or \"file-lock\""
        ),
        (
            ["election": "zookeeper"],
            "--election: election.type: no election named \"zookeeper\" in this build; known: file-lock, memory, "
                + "object-store, standalone"
        ),
        (
            ["election-timeout": "5s"],
            "--election-timeout: election.leadership_ttl: \"5s\" must be at least twice election.timeout, \"5s\""
        ),
        (
            ["follower-wait-mode": "none"],
            "--follower-wait-mode: every node that is in sync is waited for, and one that lags is in sync no more; nothing less "
                + "is offered, because a write that is acknowledged must survive its leader"
        ),
        (
            ["restore-point-time": "2024-06-01T12:00:00Z"],
            "--restore-point-time: restore.point_time: \"2024-06-01T12:00:00Z\" cannot be had with peer.listen, "
                + "\"10.0.0.1:3380\""
        ),
    ])
    func whatDoesNotGoTogether(_ wrong: [String: String], _ message: String) throws {
        #expect(try messages(flags: flags(wrong), registry: .builtIn) == message)
    }

    /// A script whose variable has no value must not start a node alone that is meant for a cluster.
    @Test func emptyValues() throws {
        #expect(
            try messages(environment: ["T4_PEER_LISTEN": ""])
                == "T4_PEER_LISTEN: peer.listen: it is empty; leave it out where none is meant")
    }
}
