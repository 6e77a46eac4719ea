import Foundation
import T4Conformance
import Testing

/// Goal: what docs/operations.md says about authentication works as it stands there, and neither kill -9 nor a lost disk
/// opens a database or ends a login. Method: real t4 and etcdctl.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct AuthTests {
    private static let quick = ["--bcrypt-cost", "4"]

    /// Runs etcdctl against the server.
    /// - Returns: What it printed, both streams, and its exit code.
    private func etcdctl(
        _ server: ServerUnderTest, _ arguments: [String], input: String = "", user: String? = nil
    ) async throws -> (text: String, status: ExitStatus) {
        let user = user.map { ["--user", $0] } ?? []
        let all = ["--endpoints", server.address] + user + arguments
        let process = try ChildProcess(
            TestEnvironment.tool("etcdctl"), all, environment: TestEnvironment.forChildren)
        process.write(Array(input.utf8))
        process.closeInput()
        let status = try await process.wait(within: .seconds(300))
        return (process.output.value.description + process.errors.value.description, status)
    }

    private func succeeds(
        _ server: ServerUnderTest, _ arguments: String..., input: String = "", user: String? = nil,
        at location: SourceLocation = #_sourceLocation,
    ) async throws {
        let result = try await etcdctl(server, arguments, input: input, user: user)
        #expect(result.status == .code(0), "\(arguments): \(result.text)", sourceLocation: location)
    }

    /// The steps of the guide.
    private func bootstrap(_ server: ServerUnderTest) async throws {
        // The guide's prompt wants a terminal; this is the same command without one.
        try await succeeds(server, "user", "add", "root", "--interactive=false", input: "rootpw\n")
        try await succeeds(server, "auth", "enable")
        try await succeeds(server, "put", "/hello", "world", user: "root:rootpw")
        try await succeeds(server, "user", "add", "alice", "--interactive=false", input: "pw\n", user: "root:rootpw")
        try await succeeds(server, "role", "add", "reader", user: "root:rootpw")
        try await succeeds(
            server, "role", "grant-permission", "reader", "read", "/data/", "--prefix", user: "root:rootpw")
        try await succeeds(
            server, "role", "grant-permission", "reader", "write", "/config/app", user: "root:rootpw")
        try await succeeds(server, "user", "grant-role", "alice", "reader", user: "root:rootpw")
        try await succeeds(server, "user", "get", "alice", user: "root:rootpw")
    }

    /// What holds after the bootstrap, whatever happened since.
    private func expectProtected(
        _ server: ServerUnderTest, at location: SourceLocation = #_sourceLocation,
    ) async throws {
        let open = try await etcdctl(server, ["get", "/hello"])
        #expect(open.text.contains("user name is empty") && open.status != .code(0), sourceLocation: location)
        let root = try await etcdctl(server, ["get", "/hello"], user: "root:rootpw")
        #expect(root.text == "/hello\nworld\n", sourceLocation: location)
        let denied = try await etcdctl(server, ["get", "/hello"], user: "alice:pw")
        #expect(denied.text.contains("permission denied"), sourceLocation: location)
        try await succeeds(server, "get", "--prefix", "/data/", user: "alice:pw", at: location)
        try await succeeds(server, "put", "/config/app", "1", user: "alice:pw", at: location)
        let watch = try await etcdctl(server, ["watch", "/config/app"], user: "alice:pw")
        #expect(watch.text.contains("permission denied"), sourceLocation: location)
        let status = try await etcdctl(server, ["auth", "status"], user: "root:rootpw")
        #expect(status.text == "Authentication Status: true\nAuthRevision: 9\n", sourceLocation: location)
    }

    @Test(arguments: try await TestEnvironment.engines()) func accountsAndLoginsSurviveKills(_ engine: String)
        async throws
    {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                let options = ["--auth-enabled", "--token-ttl", "3000"] + Self.quick
                let first = try await ServerUnderTest.start(
                    .t4(engine: engine), dataDirectory: data, options: options)
                try await bootstrap(first)
                let client = try await EtcdClient.connect(to: first)
                let token = try await client.login("root", "rootpw")
                await first.crash()

                let second = try await ServerUnderTest.start(
                    .t4(engine: engine), dataDirectory: data, options: options)
                try await expectProtected(second)
                // Logins of before the kill are still good; an old password's are not.
                let again = try await EtcdClient.connect(to: second)
                #expect(try await again.value(of: "/hello", token: token) == "world")
                try await succeeds(
                    second, "user", "passwd", "root", "--interactive=false", input: "new\n", user: "root:rootpw")
                await second.crash()

                let third = try await ServerUnderTest.start(
                    .t4(engine: engine), dataDirectory: data, options: options)
                let last = try await EtcdClient.connect(to: third)
                await #expect(throws: (any Error).self) { try await last.value(of: "/hello", token: token) }
                let old = try await etcdctl(third, ["get", "/hello"], user: "root:rootpw")
                #expect(old.text.contains("invalid user ID or password"))
                try await succeeds(third, "get", "/hello", user: "root:new")
                await third.crash()
            }
        }
    }

    /// The node is told not to check, as somebody does who has lost the password of root; and then again to.
    @Test func theChecksCanBeTurnedOffForAStart() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                let first = try await ServerUnderTest.start(.t4(engine: nil), dataDirectory: data, options: Self.quick)
                try await bootstrap(first)
                try await first.stop()
                let open = try await ServerUnderTest.start(
                    .t4(engine: nil), dataDirectory: data, options: Self.quick + ["--auth-enabled=false"])
                #expect(try await etcdctl(open, ["get", "/hello"]).text == "/hello\nworld\n")
                _ = try await open.process.errors.wait(for: "the warning") {
                    $0.description.contains("serves everybody") ? true : nil
                }
                try await succeeds(open, "user", "passwd", "root", "--interactive=false", input: "found\n")
                try await open.stop()
                let closed = try await ServerUnderTest.start(.t4(engine: nil), dataDirectory: data, options: Self.quick)
                #expect(try await etcdctl(closed, ["get", "/hello"]).text.contains("user name is empty"))
                try await succeeds(closed, "auth", "disable", user: "root:found")
                try await succeeds(closed, "get", "/hello")
                try await closed.stop()
            }
        }
    }

    @Test func aLostDiskOpensNothing() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                let store = [
                    "--store-type", "filesystem", "--store-filesystem-path", folder.appending(path: "store").path,
                    "--store-prefix", "t4/",
                ]
                let first = try await ServerUnderTest.start(
                    .t4(engine: nil), dataDirectory: data, options: store + Self.quick)
                try await bootstrap(first)
                await first.crash()
                try FileManager.default.removeItem(at: data)
                let second = try await ServerUnderTest.start(
                    .t4(engine: nil), dataDirectory: data, options: store + Self.quick)
                try await expectProtected(second)
                // The stop makes a checkpoint, from which a restore fills another directory.
                try await second.stop()
                let restored = folder.appending(path: "restored")
                let process = try ChildProcess(
                    TestEnvironment.t4Binary(), ["restore", "checkpoint", "--data-dir", restored.path] + store,
                    environment: TestEnvironment.forChildren)
                let status = try await process.wait(within: .seconds(300))
                #expect(status == .code(0), "\(process.errors.value)")
                let third = try await ServerUnderTest.start(
                    .t4(engine: nil), dataDirectory: restored,
                    options: store.dropLast() + ["copy/"] + Self.quick)
                try await expectProtected(third)
                await third.crash()
            }
        }
    }

    /// A snapshot for etcd takes the accounts along: it must not open what was closed.
    @Test func aSnapshotKeepsTheAccounts() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let first = try await ServerUnderTest.start(
                    .t4(engine: nil), dataDirectory: folder.appending(path: "data"), options: Self.quick)
                try await bootstrap(first)
                let file = folder.appending(path: "snapshot.db").path
                try await succeeds(first, "snapshot", "save", file, user: "root:rootpw")
                await first.crash()
                let etcd = folder.appending(path: "etcd")
                let restored = try ChildProcess(
                    TestEnvironment.tool("etcdutl"),
                    [
                        "snapshot", "restore", file, "--data-dir", etcd.path, "--initial-cluster",
                        "default=http://127.0.0.1:0", "--initial-advertise-peer-urls", "http://127.0.0.1:0",
                    ], environment: TestEnvironment.forChildren)
                #expect(try await restored.wait(within: .seconds(300)) == .code(0), "\(restored.errors.value)")
                let second = try await ServerUnderTest.start(.etcd, dataDirectory: etcd)
                try await expectProtected(second)
                await second.crash()
            }
        }
    }
}
