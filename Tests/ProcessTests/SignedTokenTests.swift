import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import T4Conformance
import TestCertificates
import Testing

/// Goal: with JSON Web Tokens t4 answers as etcd 3.5.1 with the same keys, and each takes the tokens of the other. Method:
/// both beside each other, with the same accounts; forged tokens signed by the openssl command.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct SignedTokenTests {
    private struct Pair: Sendable {
        var etcd: EtcdClient
        var t4: EtcdClient

        var both: [(name: String, client: EtcdClient)] { [("etcd", etcd), ("t4", t4)] }
    }

    /// Servers of their own for each set of options.
    private func withBoth(_ options: String, _ body: @Sendable (Pair) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let flags = ["--auth-token", options, "--bcrypt-cost", "4"]
                let etcd = try await ServerUnderTest.start(
                    .etcd, dataDirectory: folder.appending(path: "etcd"), options: flags)
                let t4 = try await ServerUnderTest.start(
                    .t4(engine: nil), dataDirectory: folder.appending(path: "t4"), options: flags)
                let pair = Pair(
                    etcd: try await EtcdClient.connect(to: etcd), t4: try await EtcdClient.connect(to: t4))
                for (_, client) in pair.both { try await fill(client) }
                try await body(pair)
                for (_, client) in pair.both { await client.close() }
                await etcd.crash()
                await t4.crash()
            }
        }
    }

    /// Users `root` and `alice`, who may use `a`; the auth revision is 7.
    private func fill(_ client: EtcdClient) async throws {
        for user in ["root", "alice"] {
            let add = EtcdAuthUserAddRequest.with { ($0.name, $0.password) = (user, user) }
            _ = try await client.call("Auth/UserAdd", add, EtcdAuthUserAddResponse.self)
        }
        let role = EtcdAuthRoleAddRequest.with { $0.name = "alice" }
        _ = try await client.call("Auth/RoleAdd", role, EtcdAuthRoleAddResponse.self)
        let grant = EtcdAuthRoleGrantPermissionRequest.with {
            $0.name = "alice"
            $0.perm.permType = .readwrite
            $0.perm.key = Data("a".utf8)
        }
        _ = try await client.call("Auth/RoleGrantPermission", grant, EtcdAuthRoleGrantPermissionResponse.self)
        for user in ["root", "alice"] {
            let grant = EtcdAuthUserGrantRoleRequest.with { ($0.user, $0.role) = (user, user) }
            _ = try await client.call("Auth/UserGrantRole", grant, EtcdAuthUserGrantRoleResponse.self)
        }
        _ = try await client.call("Auth/AuthEnable", EtcdAuthEnableRequest(), EtcdAuthEnableResponse.self)
    }

    /// How the requests of somebody with a token end.
    private func answers(_ client: EtcdClient, _ token: String) async -> [String] {
        let get = EtcdRangeRequest.with { $0.key = Data("a".utf8) }
        let put = EtcdPutRequest.with { $0.key = Data("a".utf8) }
        let other = EtcdRangeRequest.with { $0.key = Data("b".utf8) }
        let txn = EtcdTxnRequest.with { $0.success = [.with { $0.requestRange = get }] }
        return [
            await status { _ = try await client.call("KV/Range", get, EtcdRangeResponse.self, token: token) },
            await status { _ = try await client.call("KV/Range", other, EtcdRangeResponse.self, token: token) },
            await status { _ = try await client.call("KV/Put", put, EtcdPutResponse.self, token: token) },
            await status { _ = try await client.call("KV/Txn", txn, EtcdTxnResponse.self, token: token) },
            await status {
                _ = try await client.call(
                    "Auth/UserList", EtcdAuthUserListRequest(), EtcdAuthUserListResponse.self, token: token)
            },
        ]
    }

    private func status(_ body: () async throws -> Void) async -> String {
        do {
            try await body()
            return "ok"
        } catch {
            return "\(error)"
        }
    }

    /// - Returns: What both answer.
    @discardableResult
    private func expectSame(
        _ pair: Pair, _ token: String, _ what: String, at location: SourceLocation = #_sourceLocation
    ) async -> [String] {
        // Later versions of etcd have a status of its own for this.
        let etcd = await answers(pair.etcd, token).map {
            $0.replacing(
                "unknown desc = auth: revision in header is old",
                with: "invalidArgument desc = etcdserver: revision of auth store is old")
        }
        let t4 = await answers(pair.t4, token)
        #expect(t4 == etcd, "\(what)", sourceLocation: location)
        return t4
    }

    @Test(arguments: ["RS256", "RS512", "PS384", "ES256", "ES512", "HS384"])
    func eachTakesTheTokensOfTheOther(_ method: String) async throws {
        try await TestCertificates.with { files in
            try await withBoth(try await options(files, method)) { pair in
                for (issuer, client) in pair.both {
                    for user in ["root", "alice"] {
                        let token = try await client.login(user, user)
                        let answers = await expectSame(pair, token, "\(user), \(issuer)")
                        #expect(answers[0] == "ok" && (answers[1] == "ok") == (user == "root"))
                    }
                }
                // Any change of accounts makes them too old.
                let tokens = [try await pair.etcd.login("root", "root"), try await pair.t4.login("alice", "alice")]
                for (_, client) in pair.both {
                    let add = EtcdAuthUserAddRequest.with { ($0.name, $0.password) = ("bob", "bob") }
                    _ = try await client.call("Auth/UserAdd", add, EtcdAuthUserAddResponse.self, token: tokens[0])
                }
                for token in tokens {
                    let answers = await expectSame(pair, token, "after a change")
                    #expect(answers[0].contains("revision of auth store is old"), "\(answers)")
                }
            }
        }
    }

    @Test func forgedAndOddTokens() async throws {
        try await TestCertificates.with { files in
            try await withBoth(try await options(files, "RS256")) { pair in
                let good = try await pair.t4.login("root", "root")
                let parts = good.split(separator: ".").map(String.init)
                #expect(await expectSame(pair, good, "good").allSatisfy { $0 == "ok" })
                let header = #"{"alg":"RS256","typ":"JWT"}"#
                let root = #"{"username":"root","revision":7}"#
                func expectRefused(
                    _ token: String, _ what: String, at location: SourceLocation = #_sourceLocation
                ) async {
                    let answers = await expectSame(pair, token, what, at: location)
                    #expect(
                        answers.allSatisfy { $0.contains("etcdserver: invalid auth token") }, "\(what): \(answers)",
                        sourceLocation: location)
                }
                func signed(_ claims: String, key: String = "RS256.key") async throws -> String {
                    try await token(files, header, claims, ["-sign", files.path(key)])
                }
                #expect(await expectSame(pair, try await signed(root), "by hand").allSatisfy { $0 == "ok" })
                await expectRefused("nonsense", "nonsense")
                await expectRefused("", "empty")
                await expectRefused(
                    try await token(files, #"{"alg":"none"}"#, root, nil), "no signature and alg none")
                await expectRefused(try await token(files, header, root, nil), "no signature")
                await expectRefused("\(parts[0]).\(base64URL(Data(root.utf8))).\(parts[2])", "other claims")
                try await files.openssl(
                    [
                        "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out",
                        files.path("other.key"),
                    ])
                await expectRefused(try await signed(root, key: "other.key"), "another key")
                // Secret and public key confused.
                let secret = try Data(contentsOf: URL(filePath: files.path("RS256.pub")))
                let mac = ["-mac", "HMAC", "-macopt", "hexkey:" + secret.map { String(format: "%02x", $0) }.joined()]
                await expectRefused(
                    try await token(files, #"{"alg":"HS256","typ":"JWT"}"#, root, mac), "HS256 with the public key")
                await expectRefused(try await token(files, header, root, mac), "an HMAC as RS256")
                await expectRefused(
                    try await signed(#"{"username":"root","revision":7,"exp":1500000000}"#), "expired")
                await expectRefused(
                    try await signed(#"{"username":"root","revision":7,"nbf":32503680000}"#), "not yet")
                // A good signature, but who or when is odd.
                for claims in [
                    #"{"username":"root","revision":6}"#, #"{"username":"root","revision":8}"#,
                    #"{"username":"alice","revision":8}"#, #"{"username":"root","revision":0}"#,
                    #"{"username":"alice","revision":0}"#, #"{"username":"nobody","revision":7}"#,
                    #"{"username":"","revision":7}"#, #"{"username":"root","revision":7.9}"#,
                    #"{"username":"root","revision":7,"exp":32503680000}"#,
                ] {
                    await expectSame(pair, try await signed(claims), claims)
                }
            }
        }
    }

    /// With the public key alone tokens are taken, and none are made.
    @Test func thePublicKeyAlone() async throws {
        try await TestCertificates.with { files in
            _ = try await options(files, "ES384")
            let public384 = "jwt,sign-method=ES384,pub-key=\(files.path("ES384.pub"))"
            try await withBoth(public384) { pair in
                let claims = #"{"username":"alice","revision":7}"#
                let refusals = await [pair.etcd, pair.t4].asyncMap { client in
                    await status { _ = try await client.login("root", "root") }
                }
                #expect(refusals[0] == refusals[1] && refusals[1].contains("verify-only key"), "\(refusals)")
                let wrong = await [pair.etcd, pair.t4].asyncMap { client in
                    await status { _ = try await client.login("root", "wrong") }
                }
                #expect(wrong[0] == wrong[1] && wrong[1].contains("invalid user ID or password"), "\(wrong)")
                let der = try await token(
                    files, #"{"alg":"ES384"}"#, claims, ["-sign", files.path("ES384.key")], digest: "sha384")
                // As libcrypto writes it, which is not the form of tokens.
                let answers = await expectSame(pair, der, "a structure")
                #expect(answers[0].contains("invalid auth token"))
            }
        }
    }

    @Test func badFilesStopTheStart() async throws {
        try await withTemporaryDirectory { folder in
            let missing = folder.appending(path: "missing").path
            let process = try ServerUnderTest.launch(
                .t4(engine: nil), dataDirectory: folder.appending(path: "data"),
                options: ["--auth-token", "jwt,sign-method=RS256,priv-key=\(missing)"])
            #expect(try await process.wait(within: .seconds(300)) == .code(1))
            let said = process.errors.value.description
            #expect(
                said.contains("auth.tokens, priv-key: \(missing): there is no such file; check the path"), "\(said)")
            #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "data").path))
        }
    }

    // MARK: Keys and tokens

    /// Makes the keys.
    /// - Returns: The value of `--auth-token`.
    private func options(_ files: TestCertificates, _ method: String) async throws -> String {
        let (key, half) = (files.path("\(method).key"), files.path("\(method).pub"))
        let options = "jwt,sign-method=\(method),ttl=3000s,priv-key=\(key)"
        switch method.prefix(2) {
        case "HS":
            try await files.openssl(["rand", "-out", key, "48"])
            return options
        case "ES":
            let curve = ["ES256": "prime256v1", "ES384": "secp384r1", "ES512": "secp521r1"][method] ?? ""
            try await files.openssl(
                ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:\(curve)", "-out", key])
        default:
            try await files.openssl(
                ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key])
        }
        // etcd 3.5.1 reads EC keys in their older form only.
        if method.hasPrefix("ES") { try await files.openssl(["ec", "-in", key, "-out", key]) }
        try await files.openssl(["pkey", "-in", key, "-pubout", "-out", half])
        return options + ",pub-key=\(half)"
    }

    /// - Parameter signer: Options of `openssl dgst`; nil for an empty signature.
    private func token(
        _ files: TestCertificates, _ header: String, _ claims: String, _ signer: [String]?, digest: String = "sha256"
    ) async throws -> String {
        let signed = base64URL(Data(header.utf8)) + "." + base64URL(Data(claims.utf8))
        guard let signer else { return signed + "." }
        let (input, output) = (files.path("input-\(UUID().uuidString)"), files.path("output-\(UUID().uuidString)"))
        try Data(signed.utf8).write(to: URL(filePath: input))
        try await files.openssl(["dgst", "-\(digest)", "-binary"] + signer + ["-out", output, input])
        return signed + "." + base64URL(try Data(contentsOf: URL(filePath: output)))
    }

    private func base64URL(_ data: Data) -> String {
        data.base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }
}

extension Array {
    fileprivate func asyncMap<Result>(_ body: (Element) async -> Result) async -> [Result] {
        var results: [Result] = []
        for element in self { results.append(await body(element)) }
        return results
    }
}
