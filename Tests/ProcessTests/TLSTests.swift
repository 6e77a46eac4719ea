import Foundation
import T4Conformance
import TestCertificates
import Testing

/// Goal: what docs/operations.md says about TLS works as it stands there, for etcd's own clients, and a node that cannot
/// have it does not start. Method: real t4, etcdctl and etcd, certificates of a CA of the test.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct TLSTests {
    /// A node with a certificate for localhost and 127.0.0.1.
    /// - Parameter mutual: Whether clients need a certificate too.
    private static func options(
        _ pair: TestCertificates.Pair, mutual authority: String? = nil
    ) -> [String] {
        ["--client-tls-cert", pair.certificate, "--client-tls-key", pair.key]
            + (authority.map { ["--client-tls-ca", $0] } ?? [])
    }

    private static func flags(_ authority: String, _ pair: TestCertificates.Pair? = nil) -> [String] {
        ["--cacert", authority] + (pair.map { ["--cert", $0.certificate, "--key", $0.key] } ?? [])
    }

    /// Runs etcdctl, patiently: a busy machine is no failure.
    /// - Parameter isQuick: For what cannot succeed: etcdctl tries again until its time is over.
    /// - Returns: What it said without its log, and its exit code.
    private func etcdctl(
        _ arguments: [String], at endpoint: String, input: String = "", isQuick: Bool = false
    ) async throws -> (text: String, status: ExitStatus) {
        let limit = isQuick ? "2s" : "300s"
        let process = try ChildProcess(
            TestEnvironment.tool("etcdctl"),
            ["--endpoints=\(endpoint)", "--command-timeout", limit, "--dial-timeout", limit] + arguments,
            environment: TestEnvironment.forChildren)
        process.write(Array(input.utf8))
        process.closeInput()
        let status = try await process.wait(within: .seconds(600))
        let said = process.output.value.description + process.errors.value.description
        let lines = said.split(separator: "\n").filter { !$0.hasPrefix("{\"level\"") }
        return (lines.joined(separator: "\n"), status)
    }

    /// Runs a body beside a server.
    private func with(
        _ kind: ServerUnderTest.Kind, _ options: [String], _ body: (ServerUnderTest) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory { folder in
            let server = try await ServerUnderTest.start(
                kind, dataDirectory: folder.appending(path: "data"), options: options)
            do {
                try await body(server)
            } catch {
                await server.crash()
                throw error
            }
            let end = try await server.stop()
            // etcd ends by the signal.
            #expect(end == .code(0) || kind == .etcd)
        }
    }

    /// A node that speaks TLS, and what its clients need.
    private struct SecureNode {
        let files: TestCertificates
        let server: ServerUnderTest
        /// The node's own.
        let pair: TestCertificates.Pair
        /// What a client shows, where it needs a certificate.
        let client: TestCertificates.Pair?

        var authority: String { files.authority() }
        /// For etcdctl and what has the same flags.
        var flags: [String] { TLSTests.flags(authority, client) }
        var endpoint: String { "https://localhost:\(server.port)" }
        var log: Observed<Output> { server.process.errors }
    }

    /// Runs a body beside a node.
    /// - Parameter mutual: Whether clients need a certificate too.
    private func withNode(mutual: Bool = false, _ body: @Sendable (SecureNode) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await TestCertificates.with { files in
                let pair = try await files.makeServer()
                let client = try await mutual ? files.makeClient("client") : nil
                let options = Self.options(pair, mutual: mutual ? files.authority() : nil)
                try await with(.t4(engine: nil), options) { server in
                    try await body(SecureNode(files: files, server: server, pair: pair, client: client))
                }
            }
        }
    }

    /// The first half of the guide: clients need no certificate.
    @Test func theGuideForServersOnly() async throws {
        try await withNode { node in
            let (here, output) = (node.endpoint, node.server.process.output)
            try await output.untilSaid("t4 is ready: etcd endpoint https://127.0.0.1:\(node.server.port)\n")
            try await output.untilSaid(
                "  try: etcdctl --endpoints=https://\(node.server.address) --cacert FILE put /hello world\n")
            let put = try await etcdctl(node.flags + ["put", "/hello", "world"], at: here)
            #expect(put.text == "OK" && put.status == .code(0))
            let blind = ["--insecure-skip-tls-verify", "--insecure-transport=false", "get", "/hello"]
            #expect(try await etcdctl(blind, at: here).text == "/hello\nworld")
            let members = try await etcdctl(node.flags + ["member", "list"], at: here)
            #expect(members.text.contains("https://127.0.0.1:\(node.server.port)"), "\(members)")
            // Without TLS, and by somebody who trusts another CA.
            try await node.files.makeAuthority("stranger")
            let plain = try await etcdctl(["get", "/hello"], at: "http://\(node.server.address)", isQuick: true)
            #expect(plain.status != .code(0))
            let wrong = try await etcdctl(
                Self.flags(node.files.authority("stranger")) + ["get", "/hello"], at: here, isQuick: true)
            #expect(wrong.status != .code(0))
            try await node.log.untilSaid("no TLS handshake, and this port speaks TLS only")
            try await node.log.untilSaid("info TLS is on certificate=\(node.pair.certificate) expires=")
            let again = try await etcdctl(node.flags + ["get", "/hello"], at: here)
            #expect(again.text == "/hello\nworld")
        }
    }

    @Test func aMirrorFollowsASourceWithTLS() async throws {
        try await withNode(mutual: true) { node in
            #expect(try await etcdctl(node.flags + ["put", "/hello", "world"], at: node.endpoint).text == "OK")
            try await withTemporaryDirectory { folder in
                let mirror = try ChildProcess(
                    TestEnvironment.t4Binary(),
                    ["replicate", "--from", node.endpoint, "--data-dir", folder.appending(path: "t4").path]
                        + node.flags + ["--until-caught-up"], environment: TestEnvironment.forChildren)
                #expect(try await mirror.wait() == .code(0), "\(mirror.errors.value)")
                #expect(mirror.output.value.description == "The mirror stands at revision 2.\n")
            }
        }
    }

    /// As curl asks for the health of a node: both versions of HTTP are there, and who offers both gets the newer one.
    @Test func theGatewayBehindTLS() async throws {
        try await withNode { node in
            for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
                let answer = try await CurlClient(port: node.server.port, authority: node.authority, options: [option])
                    .answer("GET", "/health")
                #expect(answer.statusLine.hasPrefix("HTTP/\(version) 200") && answer.headers["date"] != nil)
                #expect(answer.body == #"{"health":"true","reason":""}"#)
            }
        }
    }

    /// The second half: who has no certificate does not get in.
    @Test func theGuideForClientsWithCertificates() async throws {
        try await withNode(mutual: true) { node in
            let put = try await etcdctl(node.flags + ["put", "/hello", "world"], at: node.endpoint)
            #expect(put.text == "OK" && put.status == .code(0))
            let refused = try await etcdctl(
                Self.flags(node.authority) + ["get", "/hello"], at: node.endpoint, isQuick: true)
            #expect(refused.status != .code(0) && !refused.text.contains("world"))
            try await node.log.untilSaid("reason=peer did not return a certificate")
            try await node.log.untilSaid("info TLS is on, and clients need a certificate ")
            try await node.server.process.output.untilSaid(" --cacert FILE --cert FILE --key FILE put ")
        }
    }

    /// What somebody with a certificate may do, command by command; the file of the certificate, then the command.
    private static let commands: [(who: String, input: String, command: String)] = [
        ("alice", "", "put /a 1"), ("alice", "pw\n", "user add root --interactive=false"),
        ("alice", "pw\n", "user add alice --interactive=false"), ("alice", "", "role add reader"),
        ("alice", "", "role grant-permission reader readwrite /a"), ("alice", "", "user grant-role alice reader"),
        ("alice", "", "user grant-role root root"), ("alice", "", "auth enable"),
        ("alice", "", "get /a"), ("alice", "", "put /a 2"), ("alice", "", "get /b"), ("alice", "", "put /b 1"),
        ("alice", "", "user list"), ("alice", "", "user get alice"), ("alice", "", "user get root"),
        ("alice", "", "role get reader"), ("alice", "", "auth status"), ("alice", "", "watch /b"),
        ("root", "", "user list"), ("root", "", "put /b 2"), ("root", "", "auth status"),
        ("nobody", "", "get /a"), ("nobody", "", "put /a 2"), ("nobody", "", "user list"),
        ("nobody", "", "user get alice"), ("nobody", "", "auth status"), ("nobody", "", "watch /a"),
        ("nameless", "", "get /a"), ("nameless", "", "put /a 1"), ("nameless", "", "user list"),
        ("nameless", "", "user get alice"), ("nameless", "", "auth status"), ("nameless", "", "watch /a"),
        // A login counts before the certificate.
        ("nobody", "", "--user root:pw put /b 3"), ("nobody", "", "--user root:bad put /b 3"),
        ("root", "", "--user alice:pw get /b"), ("root", "", "--user alice:pw put /a 4"),
        ("root", "", "auth disable"), ("nobody", "", "get /a"), ("nameless", "", "get /b"),
    ]

    @Test func usersByCertificateAreEtcds() async throws {
        try await Slots.servers.use {
            try await TestCertificates.with { files in
                let pair = try await files.makeServer()
                let ca = files.authority()
                var clients: [String: TestCertificates.Pair] = [:]
                for name in ["alice", "root", "nobody"] { clients[name] = try await files.makeClient(name) }
                clients["nameless"] = try await files.makeClient("nameless", subject: "/O=acme")
                let anywhere = "https://127.0.0.1:0"
                let etcdOptions = [
                    "--listen-client-urls", anywhere, "--advertise-client-urls", anywhere, "--cert-file",
                    pair.certificate, "--key-file", pair.key, "--client-cert-auth", "--trusted-ca-file", ca,
                ]
                let options = Self.options(pair, mutual: ca) + ["--bcrypt-cost", "4"]
                try await with(.t4(engine: nil), options) { server in
                    try await with(.etcd, etcdOptions) { etcd in
                        for (who, input, command) in Self.commands {
                            let arguments =
                                Self.flags(ca, clients[who]) + command.split(separator: " ").map(String.init)
                            let expected = try await etcdctl(arguments, at: "https://" + etcd.address, input: input)
                            let found = try await etcdctl(arguments, at: "https://" + server.address, input: input)
                            #expect(found.text == expected.text, "\(who): \(command)")
                            #expect(found.status == expected.status, "\(who): \(command)")
                        }
                    }
                }
            }
        }
    }

    /// New files under a living connection, and files that are wrong.
    @Test func certificatesAreReplacedWithoutARestart() async throws {
        try await withNode { node in
            let (files, pair) = (node.files, node.pair)
            try await files.makeAuthority("next")
            let next = try await files.makeServer("later", signer: "next")
            let here = "https://" + node.server.address
            let (old, new) = (node.flags, Self.flags(files.authority("next")))
            let watch = try ChildProcess(
                TestEnvironment.tool("etcdctl"), ["--endpoints=\(here)"] + old + ["watch", "/hello", "--rev=1"],
                environment: TestEnvironment.forChildren)
            #expect(try await etcdctl(old + ["put", "/hello", "1"], at: here).text == "OK")
            try await watch.output.untilSaid("/hello\n1\n")
            try await files.openssl(["x509", "-in", next.certificate, "-out", pair.certificate])
            // The key is missing still.
            #expect(try await etcdctl(old + ["put", "/hello", "2"], at: here).text == "OK")
            try await files.openssl(["pkey", "-in", next.key, "-out", pair.key])
            #expect(try await etcdctl(new + ["put", "/hello", "3"], at: here).text == "OK")
            #expect(try await etcdctl(old + ["get", "/hello"], at: here, isQuick: true).status != .code(0))
            try await watch.output.untilSaid("/hello\n3\n")
            await watch.destroy()
            let log = node.log.value.description
            #expect(log.ranges(of: "new TLS files cannot be used, the old ones stay in use").count == 1, "\(log)")
            #expect(log.ranges(of: "notice new TLS files are in use").count == 1, "\(log)")
        }
    }

    /// The node says what is wrong, opens no port, and leaves no data directory behind.
    @Test func aNodeThatCannotHaveTLSDoesNotStart() async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            let other = try await files.makeServer("other")
            let missing = files.path("missing.crt")
            let cases: [([String], String)] = [
                (
                    ["--client-tls-cert", missing, "--client-tls-key", pair.key],
                    "t4: client_tls.cert: \(missing): there is no such file; check the path\n"
                ),
                (
                    ["--client-tls-cert", pair.certificate, "--client-tls-key", other.key],
                    "t4: client_tls.key: \(other.key): the key does not belong to the certificate in "
                ),
                (Self.options(pair, mutual: pair.key), "t4: client_tls.ca: \(pair.key): it holds a private key, not "),
            ]
            for (options, expected) in cases {
                try await withTemporaryDirectory { folder in
                    let data = folder.appending(path: "data")
                    let process = try ServerUnderTest.launch(.t4(engine: nil), dataDirectory: data, options: options)
                    #expect(try await process.wait() == .code(1))
                    let said = process.errors.value.description
                    #expect(said.contains(expected), "\(said)")
                    #expect(process.output.value.bytes.isEmpty)
                    #expect(!FileManager.default.fileExists(atPath: data.path))
                }
            }
        }
    }

    /// Our own load generator: with a certificate, without one, and with a wrong CA.
    @Test func bench() async throws {
        try await withNode(mutual: true) { node in
            func bench(_ arguments: [String], at endpoint: String) async throws -> (status: ExitStatus, errors: String)
            {
                let process = try ChildProcess(
                    TestEnvironment.t4Binary(),
                    [
                        "bench", "--endpoint", endpoint, "--json", "--keys=100", "--duration=0.05", "--warm-up=0",
                        "--workloads", "put-4,get-4x4,watch-2",
                    ] + arguments, environment: TestEnvironment.forChildren)
                return (try await process.wait(), process.errors.value.description)
            }
            let address = node.server.address
            let good = try await bench(node.flags, at: "https://" + address)
            #expect(good.status == .code(0), "\(good.errors)")
            // The flags alone ask for TLS.
            let short = try await bench(node.flags, at: "localhost:\(node.server.port)")
            #expect(short.status == .code(0), "\(short.errors)")
            let nobody = try await bench(Self.flags(node.authority), at: address)
            #expect(nobody.status == .code(1) && nobody.errors.contains("TLS: "), "\(nobody)")
            try await node.files.makeAuthority("stranger")
            let stranger = try await bench(Self.flags(node.files.authority("stranger"), node.client), at: address)
            #expect(stranger.errors.contains("TLS: certificate verify failed"), "\(stranger)")
            let plain = try await bench(node.flags, at: "http://" + address)
            #expect(plain.status == .code(64) && plain.errors.contains("go with https://"), "\(plain)")
        }
    }
}
