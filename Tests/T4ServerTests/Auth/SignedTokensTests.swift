import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import T4Core
import Testing

@testable import T4Server

/// Goal: a signed token says who asks, as long as it lives and no account has changed; what is not signed as it has to be is
/// refused. Method: tokens put together by hand, and a server in this process.
@Suite struct SignedTokensTests {
    /// Seconds since 1970.
    private let now: UInt64 = 1_800_000_000
    private var wall: UInt64 { now * 1_000_000_000 }

    /// A token with any header and claims, whose signature is good.
    private func token(
        _ files: SigningFiles, _ method: SigningMethod, header: String, claims: String, key: String = "own"
    ) async throws -> [UInt8] {
        let signed =
            Base64URL.text(of: Array(header.utf8)) + [0x2e] + Base64URL.text(of: Array(claims.utf8))
        return signed + [0x2e] + Base64URL.text(of: try await files.signature(of: signed, method, key))
    }

    @Test func aTokenSaysWhatItWasMadeFor() async throws {
        try await SigningFiles.with { files in
            for method in [SigningMethod.rs256, .ps384, .es512, .hs256, .edDSA] {
                let tokens = try await files.tokens(method, lifetime: .seconds(90))
                for user in ["root", "a\"\\\u{7f}\u{1}<ü>", ""] {
                    let made = Array(try tokens.token(for: Array(user.utf8), revision: 12, at: wall + 999_999_999).utf8)
                    let claims = try #require(tokens.claims(of: made))
                    #expect(claims.user == Array(user.utf8) && claims.revision == 12)
                    #expect(claims.expires == Double(now + 90) && claims.begins == nil)
                }
            }
        }
    }

    /// As etcd writes it.
    @Test func theBytesOfAToken() async throws {
        try await SigningFiles.with { files in
            let tokens = try await files.tokens(.hs256)
            let made = Array(try tokens.token(for: Array("alice".utf8), revision: 3, at: wall).utf8)
            let wanted = try await token(
                files, .hs256, header: "{\"alg\":\"HS256\",\"typ\":\"JWT\"}",
                claims: "{\"exp\":\(now + 300),\"revision\":3,\"username\":\"alice\"}")
            #expect(made == wanted)
        }
    }

    @Test func timesCount() {
        func isValid(_ expires: Double?, _ begins: Double?) -> Bool {
            SignedTokens.Claims(user: [], revision: 1, expires: expires, begins: begins).isValid(at: wall)
        }
        let now = Double(now)
        #expect(isValid(now + 0.001, nil) && !isValid(now, nil) && !isValid(now - 1, nil) && !isValid(0, nil))
        #expect(isValid(nil, nil) && isValid(nil, now) && !isValid(nil, now + 0.001))
        #expect(isValid(now + 1, now - 1) && !isValid(now + 2, now + 1))
    }

    private static let good = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
    private static let claims = "{\"username\":\"root\",\"revision\":3}"

    @Test func whatIsTakenAndWhatIsNot() async throws {
        try await SigningFiles.with { files in
            let tokens = try await files.tokens(.hs256)
            func isTaken(_ header: String, _ claims: String, key: String = "own") async throws -> Bool {
                tokens.claims(of: try await token(files, .hs256, header: header, claims: claims, key: key)) != nil
            }
            #expect(try await isTaken(Self.good, Self.claims))
            #expect(try await isTaken("{\"alg\":\"HS256\"}", Self.claims))
            #expect(
                try await isTaken(
                    "{ \"kid\" : 1 , \"alg\":\"HS256\"}", "{\"revision\":3.9,\"username\":\"\",\"iat\":9e9}"))
            #expect(try await !isTaken(Self.good, Self.claims, key: "other"))
            for header in [
                "{\"alg\":\"none\"}", "{\"alg\":\"hs256\"}", "{\"alg\":\"HS384\"}", "{\"alg\":\"RS256\"}",
                "{\"alg\":null}",
                "{}", "[]", "", "{\"alg\":\"HS256\"", "{\"alg\":\"HS256\",\"crit\":[\"b64\"]}",
            ] {
                #expect(try await !isTaken(header, Self.claims), "\(header)")
            }
            for claims in [
                "", "{}", "[]", "null", "{\"username\":\"root\"}", "{\"revision\":3}",
                "{\"username\":1,\"revision\":3}", "{\"username\":\"root\",\"revision\":\"3\"}",
                "{\"username\":\"root\",\"revision\":-1}", "{\"username\":\"root\",\"revision\":1e30}",
                "{\"username\":\"root\",\"revision\":3,\"exp\":\"9999999999\"}",
                "{\"username\":\"root\",\"revision\":3,\"exp\":null}",
                "{\"username\":\"root\",\"revision\":3,\"nbf\":\"1\"}",
            ] {
                #expect(try await !isTaken(Self.good, claims), "\(claims)")
            }
        }
    }

    @Test func whatIsNoToken() async throws {
        try await SigningFiles.with { files in
            let tokens = try await files.tokens(.hs256)
            let good = String(
                decoding: try await token(files, .hs256, header: Self.good, claims: Self.claims), as: UTF8.self)
            #expect(tokens.claims(of: Array(good.utf8)) != nil)
            let parts = good.split(separator: ".").map(String.init)
            for text in [
                "", ".", "..", "...", "a.b.c", "\(parts[0]).\(parts[1])", "\(parts[0]).\(parts[1]).", "\(good).",
                ".\(good)",
                "\(good)=", "\(good)A", " \(good)", "\(good)\n", "\(parts[1]).\(parts[0]).\(parts[2])",
                "Bearer \(good)", String(good.dropLast()),
            ] {
                #expect(tokens.claims(of: Array(text.utf8)) == nil, "\(text)")
            }
        }
    }

    /// The public key is no secret: nobody may make tokens with it.
    @Test func aPublicKeyIsNoSecret() async throws {
        try await SigningFiles.with { files in
            let verifier = try SignedTokens(
                .rs256, try await files.verifying(.rs256), lifetime: .seconds(300), logger: SigningFiles.quiet)
            let secret = files.path("confused-HS256.key")
            try FileManager.default.copyItem(atPath: try await files.publicKey(.rs256), toPath: secret)
            for header in [Self.good, "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"] {
                let forged = try await token(files, .hs256, header: header, claims: Self.claims, key: "confused")
                #expect(verifier.claims(of: forged) == nil)
            }
            let good = try await token(
                files, .rs256, header: "{\"alg\":\"RS256\",\"typ\":\"JWT\"}", claims: Self.claims)
            #expect(verifier.claims(of: good)?.user == Array("root".utf8))
            #expect(throws: EtcdErrors.verifyOnly) { try verifier.token(for: [], revision: 1, at: wall) }
        }
    }

    private let key = EtcdRangeRequest.with { $0.key = Data("k1".utf8) }
    private let old = "etcdserver: revision of auth store is old"

    @Test func aChangeOfAccountsEndsTokens() async throws {
        try await SigningFiles.with { files in
            try await AuthServer.with(signedTokens: try await files.tokens(.es256)) { server in
                let (root, full) = (try #require(server.tokens["root"]), try #require(server.tokens["full"]))
                let put = EtcdPutRequest.with { $0.key = Data("k1".utf8) }
                for token in [full, "Bearer " + full] { try await server.call("KV/Range", key, token: token) }
                try await server.call("KV/Put", put, token: full)
                #expect(
                    await server.failure("KV/Range", key, token: "nonsense")?.message
                        == "etcdserver: invalid auth token")
                // Nothing is kept.
                #expect(try AuthState(server.node.read()).tokens.isEmpty)

                try await server.grant("full", to: "none", token: root)
                for request in 0..<2 {
                    #expect(await server.failure("KV/Range", key, token: full)?.message == old, "\(request)")
                    #expect(await server.failure("KV/Put", put, token: full)?.message == old, "\(request)")
                    #expect(await server.failure("KV/Range", key, token: root)?.message == old, "\(request)")
                }
                // As in etcd, which asks for no revision here.
                try await server.grant("part", to: "none", token: root)
                let again = try await server.login("full", "full")
                try await server.call("KV/Range", key, token: again)
                let disable = EtcdAuthDisableRequest()
                try await server.call("Auth/AuthDisable", disable, token: try await server.login("root", "root"))
                try await server.call("KV/Range", key, token: again)
                try await server.call("Auth/AuthEnable", EtcdAuthEnableRequest())
                #expect(await server.failure("KV/Range", key, token: again)?.message == old)
            }
        }
    }
}
