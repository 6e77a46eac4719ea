import Foundation
import T4Conformance
import TestCertificates
import Testing

/// Goal: what a guide for operators tells to type about users and TLS works as it stands there. Method: every command
/// of etcdctl, one after the other, by a shell, on a real t4 that was started with the guide's flags.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct GuideAuthTests {
    /// Runs a body with a shell and a node that was started as a guide says.
    private func with(
        _ start: String, _ shell: inout GuideShell, in folder: URL,
        _ body: (GuideShell, ServerUnderTest) async throws -> Void,
    ) async throws {
        let server = try await ServerUnderTest.start(
            .t4(engine: nil), dataDirectory: folder.appending(path: "data"),
            options: try shell.options(start) + ["--bcrypt-cost", "4"])
        shell.replace("localhost:3379", with: "localhost:\(server.port)")
        do {
            try await body(shell, server)
        } catch {
            await server.crash()
            throw error
        }
        #expect(try await server.stop() == .code(0))
    }

    private static let start = #"""
        t4 run \
        ... \
        --auth-enabled \
        --token-ttl 300 # bearer token lifetime in seconds (default: 300)
        """#

    /// Those with a password to type, and what it is.
    private static let root = #"""
        $ ETCDCTL_API=3 etcdctl --endpoints=localhost:3379 user add root
        User root created
        """#
    private static let passwords = #"""
        $ etcdctl --endpoints=localhost:3379 --user root:yourpassword user passwd root
        Password updated
        $ etcdctl --endpoints=localhost:3379 --user root:pass user add alice
        User alice created
        $ etcdctl --endpoints=localhost:3379 --user root:pass user passwd alice
        Password updated
        """#

    private static let enabling = #"""
        $ ETCDCTL_API=3 etcdctl --endpoints=localhost:3379 auth enable
        Authentication Enabled
        $ ETCDCTL_API=3 etcdctl --endpoints=localhost:3379 \
        --user root:yourpassword \
        put /hello world
        OK
        $ etcdctl --endpoints=localhost:3379 get /hello
        ! etcdserver: user name is empty
        $ etcdctl --endpoints=localhost:3379 watch /hello
        ! etcdserver: user name is empty
        """#

    private static let roles = #"""
        $ etcdctl --endpoints=localhost:3379 --user root:pass user list
        alice
        root
        $ etcdctl --endpoints=localhost:3379 --user root:pass role add reader
        Role reader created
        $ etcdctl --endpoints=localhost:3379 --user root:pass \
        role grant-permission reader read /data/ --prefix
        Role reader updated
        $ etcdctl --endpoints=localhost:3379 --user root:pass \
        role grant-permission reader write /config/app
        Role reader updated
        $ etcdctl --endpoints=localhost:3379 --user root:pass \
        role grant-permission writer readwrite /app/ --prefix
        ! etcdserver: role name not found
        $ etcdctl --endpoints=localhost:3379 --user root:pass role add writer
        Role writer created
        $ etcdctl --endpoints=localhost:3379 --user root:pass \
        role grant-permission writer readwrite /app/ --prefix
        Role writer updated
        $ etcdctl --endpoints=localhost:3379 --user root:pass role get reader
        Role reader
        KV Read:
        \t[/data/, /data0) (prefix /data/)
        KV Write:
        \t/config/app
        $ etcdctl --endpoints=localhost:3379 --user root:pass \
        role revoke-permission reader /data/ --prefix
        Permission of range [/data/, /data0) is revoked from role reader
        $ etcdctl --endpoints=localhost:3379 --user root:pass role list
        reader
        root
        writer
        $ etcdctl --endpoints=localhost:3379 --user root:pass \
        user grant-role alice reader
        Role reader is granted to user alice
        $ etcdctl --endpoints=localhost:3379 --user root:pass user get alice
        User: alice
        Roles: reader
        $ etcdctl --endpoints=localhost:3379 --user root:pass \
        user revoke-role alice reader
        Role reader is revoked from user alice
        $ etcdctl --endpoints=localhost:3379 --user root:pass role delete reader
        Role reader deleted
        $ etcdctl --endpoints=localhost:3379 --user root:pass user delete alice
        User alice deleted
        $ etcdctl --endpoints=localhost:3379 --user root:pass user delete root
        ! etcdserver: invalid auth management
        $ etcdctl --endpoints=localhost:3379 --user root:pass role delete root
        ! etcdserver: invalid auth management
        $ etcdctl --user root:pass role add config-reader
        Role config-reader created
        $ etcdctl --user root:pass role grant-permission config-reader read /config/ --prefix
        Role config-reader updated
        $ etcdctl --user root:pass put /config/timeout 30s
        OK
        """#

    private static let account = #"""
        $ etcdctl --user root:pass user add svc-account
        User svc-account created
        """#

    private static let limits = #"""
        $ etcdctl --user root:pass user grant-role svc-account config-reader
        Role config-reader is granted to user svc-account
        $ etcdctl --user svc-account:pass get /config/timeout # OK
        /config/timeout
        30s
        $ etcdctl --user svc-account:pass put /config/timeout 60s # PermissionDenied
        ! etcdserver: permission denied
        $ etcdctl --user svc-account:pass get /secrets/key # PermissionDenied
        ! etcdserver: permission denied
        """#

    /// The token of a login is in no command, so that nothing here sees it survive a restart; `AuthTests` does.
    private static let end = #"""
        $ etcdctl --endpoints=localhost:3379 --user root:pass auth disable
        Authentication Disabled
        $ etcdctl --endpoints=localhost:3379 get /hello
        /hello
        world
        $ etcdctl --endpoints=localhost:3379 user list
        root
        svc-account
        """#

    @Test func usersAndRoles() async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                var shell = try GuideShell(in: folder)
                try await with(Self.start, &shell, in: folder) { shell, _ in
                    func run(_ text: String, password: String? = nil) async throws {
                        for step in GuideShell.steps(text.replacing("\\t", with: "\t")) {
                            try await shell.run(step, password: password)
                        }
                    }
                    try await run("$ etcdctl --endpoints=localhost:3379 auth enable\n! root user does not exist")
                    try await run(Self.root, password: "yourpassword")
                    try await run(Self.enabling)
                    try await run(Self.passwords, password: "pass")
                    try await run(Self.roles)
                    try await run(Self.account, password: "pass")
                    try await run(Self.limits)
                    // Five failures, and the right password does not help any more.
                    for _ in 0..<5 {
                        try await run("$ etcdctl --user svc-account:wrong get /config/timeout\n! invalid user ID or")
                    }
                    try await run("$ etcdctl --user svc-account:pass get /config/timeout\n! too many failed logins")
                    try await run(Self.end)
                }
            }
        }
    }

    @Test(arguments: [
        (
            #"""
            t4 run \
            ... \
            --client-tls-cert /etc/t4/tls/server.crt \
            --client-tls-key /etc/t4/tls/server.key
            """#,
            #"""
            $ etcdctl --endpoints=https://localhost:3379 \
            --cacert /etc/t4/tls/ca.crt \
            put /hello world
            OK
            """#
        ),
        (
            #"""
            t4 run \
            ... \
            --client-tls-cert /etc/t4/tls/server.crt \
            --client-tls-key /etc/t4/tls/server.key \
            --client-tls-ca /etc/t4/tls/ca.crt
            """#,
            #"""
            $ etcdctl --endpoints=https://localhost:3379 \
            --cacert /etc/t4/tls/ca.crt \
            --cert /etc/t4/tls/client.crt \
            --key /etc/t4/tls/client.key \
            put /hello world
            OK
            """#
        ),
    ]) func tls(_ start: String, _ put: String) async throws {
        try await Slots.servers.use {
            try await TestCertificates.with { files in
                try await files.makeServer()
                try await files.makeClient("client")
                try await withTemporaryDirectory { folder in
                    var shell = try GuideShell(in: folder)
                    shell.replace("/etc/t4/tls", with: files.folder.path)
                    try await with(start, &shell, in: folder) { shell, _ in
                        for step in GuideShell.steps(put) { try await shell.run(step) }
                    }
                }
            }
        }
    }

    /// Certificates of nodes need others to show them to, and all three files.
    @Test(arguments: [
        ("--peer-tls-ca /etc/t4/tls/ca.crt", "is of no use to a node that is alone"),
        (
            "--peer-listen 127.0.0.1:0 --store-type filesystem --store-filesystem-path /nowhere/t4 --peer-tls-cert "
                + "/etc/t4/tls/node.crt --peer-tls-key /etc/t4/tls/node.key",
            "t4: --peer-tls-cert: peer_tls.cert: is of no use without peer_tls.ca"
        ),
    ]) func partsOfPeerTLS(_ options: String, _ said: String) async throws {
        try await withTemporaryDirectory { folder in
            let data = folder.appending(path: "data")
            let process = try ServerUnderTest.launch(
                .t4(engine: nil), dataDirectory: data, options: options.split(separator: " ").map(String.init))
            #expect(try await process.wait() == .code(64))
            #expect(process.errors.value.description.contains(said), "\(process.errors.value)")
            #expect(!FileManager.default.fileExists(atPath: data.path))
        }
    }

    /// As the guide has it: "The same CA must be used on all nodes", here with one certificate for both of them.
    @Test func peerTLS() async throws {
        try await Slots.servers.use {
            try await TestCertificates.with { files in
                try await files.makePeer("node")
                try await withTemporaryDirectory { folder in
                    var shell = try GuideShell(in: folder)
                    shell.replace("/etc/t4/tls", with: files.folder.path)
                    let options = try shell.options(
                        """
                        t4 run \\
                        ... \\
                        --peer-tls-ca /etc/t4/tls/ca.crt \\
                        --peer-tls-cert /etc/t4/tls/node.crt \\
                        --peer-tls-key /etc/t4/tls/node.key
                        """)
                    try await ClusterUnderTest.with(2, in: folder, options: { _ in options }) { cluster in
                        shell.replace("localhost:3379", with: try cluster.node(2).address)
                        for step in GuideShell.steps("$ etcdctl --endpoints=localhost:3379 put /hello world\nOK") {
                            try await shell.run(step)
                        }
                    }
                }
            }
        }
    }
}
