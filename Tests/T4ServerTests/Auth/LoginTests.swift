import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import Synchronization
import T4Core
import Testing

@testable import T4Server

/// Passwords, tokens and the lock after too many failures.
struct LoginTests {
    private final class StoppedClock: ElapsedClock {
        private let time = Mutex(Duration.seconds(1000))
        var now: Duration { time.withLock { $0 } }
        func advance(by duration: Duration) { time.withLock { $0 += duration } }
    }

    private let key = EtcdRangeRequest.with { $0.key = Data("k1".utf8) }

    @Test func hashesAreThoseOfBcrypt() throws {
        let hashes = PasswordHash(cost: 4)
        let made = try hashes.make(Array("password".utf8))
        #expect(String(decoding: made, as: UTF8.self).hasPrefix("$2b$04$") && made.count == 60)
        #expect(hashes.verify(Array("password".utf8), made))
        #expect(try hashes.make(Array("password".utf8)) != made, "a salt of its own")
        for wrong in ["", "passwor", "password ", "Password", "password\0"] {
            #expect(!hashes.verify(Array(wrong.utf8), made), "\(wrong)")
        }
        #expect(throws: RPCStatus.self) { try hashes.make(Array("a\0b".utf8)) }
        // Of the published test vectors, as other programs write them.
        for prefix in ["$2a$", "$2b$", "$2y$"] {
            let known = Array((prefix + "05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW").utf8)
            #expect(hashes.verify(Array("U*U".utf8), known), "\(prefix)")
            #expect(!hashes.verify(Array("U*V".utf8), known))
        }
        // The first 72 bytes count, as in etcd, however many there are.
        let long = [UInt8](repeating: 112, count: 72)
        for count in [73, 511, 512, 513, 100_000] {
            let longer = [UInt8](repeating: 112, count: count)
            #expect(
                try hashes.verify(long, hashes.make(longer)) && hashes.verify(longer, hashes.make(long)), "\(count)")
        }
        #expect(try !hashes.verify(Array(long.dropLast()), hashes.make(long)))
        let empty = try hashes.make([])
        #expect(hashes.verify([], empty) && !hashes.verify([0], empty))
    }

    @Test func whatIsNoHashMatchesNothing() {
        let hashes = PasswordHash(cost: 4)
        let sha = "$5$rounds=1000$saltstring$dTd6e5qHXx3iRgHOYmxfGZaOnlwfYVkAO2cfs0CdZ8."
        for hash in ["", "x", "*0", "$2b$04$", sha, "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"] {
            #expect(!hashes.verify([], Array(hash.utf8)), "\(hash)")
        }
        #expect(!hashes.verify([], nil))
    }

    @Test func fiveFailuresLockForFifteenMinutes() {
        let clock = StoppedClock()
        let failures = LoginGuard(clock: clock)
        let user = Array("a".utf8)
        for count in 1...5 {
            #expect(!failures.isLocked(user))
            #expect(failures.failed(user) == (count == 5))
        }
        #expect(failures.isLocked(user) && !failures.isLocked(Array("b".utf8)))
        clock.advance(by: .seconds(899))
        #expect(failures.isLocked(user) && !failures.failed(user))
        clock.advance(by: .seconds(1))
        #expect(!failures.isLocked(user))
        #expect(!failures.failed(user), "it counts from the start again")
    }

    @Test func onlyFailuresInARowAndCloseTogetherCount() {
        let clock = StoppedClock()
        let failures = LoginGuard(clock: clock)
        let user = Array("a".utf8)
        for _ in 0..<4 { #expect(!failures.failed(user)) }
        failures.succeeded(user)
        for _ in 0..<4 { #expect(!failures.failed(user)) }
        clock.advance(by: .seconds(300))
        for _ in 0..<4 { #expect(!failures.failed(user)) }
        #expect(failures.failed(user))
    }

    @Test func aLockedUserIsRefusedWithTheRightPassword() async throws {
        try await AuthServer.with { server in
            func code(_ user: String, _ password: String) async -> RPCStatus.Code {
                let request = EtcdAuthenticateRequest.with { ($0.name, $0.password) = (user, password) }
                return await server.failure("Auth/Authenticate", request)?.code ?? .ok
            }
            for user in ["full", "nobody"] {
                for _ in 0..<5 { #expect(await code(user, "wrong") == .invalidArgument) }
                #expect(await code(user, user) == .resourceExhausted)
            }
            #expect(await code("part", "part") == .ok)
            // Who is logged in stays so.
            try await server.call("KV/Range", key, token: server.tokens["full"])
        }
    }

    @Test func tokensEndWithWhatTheyStandFor() async throws {
        try await AuthServer.with { server in
            let root = try #require(server.tokens["root"])
            let full = try #require(server.tokens["full"])
            let second = try await server.login("full", "full")
            #expect(full != second && full.wholeMatch(of: /[a-zA-Z]{32}\.[0-9]+/) != nil)
            for token in [full, second, "Bearer " + full] { try await server.call("KV/Range", key, token: token) }
            let viaGateway = try await server.client.unary(
                "/etcdserverpb.KV/Range", key.serializedBytes(), metadata: [("authorization", full)])
            #expect(try EtcdRangeResponse(serializedBytes: viaGateway).count == 1)
            // The secret is nowhere in the database.
            let state = try AuthState(server.node.read())
            #expect(state.tokens.values.allSatisfy { $0.hash.count == 32 })

            // Rights that go are gone at once, without a new login.
            let revoke = EtcdAuthUserRevokeRoleRequest.with { ($0.name, $0.role) = ("full", "full") }
            try await server.call("Auth/UserRevokeRole", revoke, token: root)
            #expect(await server.failure("KV/Range", key, token: full)?.code == .permissionDenied)
            try await server.grant("full", to: "full", token: root)
            try await server.call("KV/Range", key, token: full)
            let deleteRole = EtcdAuthRoleDeleteRequest.with { $0.role = "full" }
            try await server.call("Auth/RoleDelete", deleteRole, token: root)
            #expect(await server.failure("KV/Range", key, token: full)?.code == .permissionDenied)

            let change = EtcdAuthUserChangePasswordRequest.with { ($0.name, $0.password) = ("full", "new") }
            try await server.call("Auth/UserChangePassword", change, token: root)
            for token in [full, second] {
                #expect(await server.failure("KV/Range", key, token: token)?.code == .unauthenticated)
            }
            _ = try await server.login("full", "new")
            let part = try #require(server.tokens["part"])
            let deleteUser = EtcdAuthUserDeleteRequest.with { $0.name = "part" }
            try await server.call("Auth/UserDelete", deleteUser, token: root)
            #expect(await server.failure("KV/Range", key, token: part)?.code == .unauthenticated)
            try await server.call("Auth/AuthDisable", EtcdAuthDisableRequest(), token: root)
            try await server.call("KV/Range", key)
            try await server.call("KV/Range", key, token: root)
            try await server.call("Auth/AuthEnable", EtcdAuthEnableRequest())
            #expect(await server.failure("KV/Range", key, token: root)?.code == .unauthenticated)
        }
    }

    @Test func hashesMadeElsewhereCanBeSet() async throws {
        try await AuthServer.with { server in
            let root = try #require(server.tokens["root"])
            let hash = Data("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".utf8)
            var change = EtcdAuthUserChangePasswordRequest.with { $0.name = "full" }
            change.hashedPassword = hash.base64EncodedString()
            try await server.call("Auth/UserChangePassword", change, token: root)
            _ = try await server.login("full", "U*U")
            var add = EtcdAuthUserAddRequest.with { $0.name = "new" }
            add.hashedPassword = change.hashedPassword
            try await server.call("Auth/UserAdd", add, token: root)
            _ = try await server.login("new", "U*U")
            await #expect(throws: RPCStatus.self) { try await server.login("new", "") }
            change.hashedPassword = "not base64!"
            let refused = await server.failure("Auth/UserChangePassword", change, token: root)
            #expect(refused?.code == .unknown)
            change.hashedPassword = ""
            try await server.call("Auth/UserChangePassword", change, token: root)
            await #expect(throws: RPCStatus.self) { try await server.login("full", "") }
        }
    }

    /// A name is its bytes: what only looks alike is somebody else.
    @Test func namesAreBytes() async throws {
        try await AuthServer.with { server in
            let root = try #require(server.tokens["root"])
            for name in ["\u{e9}", "e\u{301}"] {
                let add = EtcdAuthUserAddRequest.with { ($0.name, $0.password) = (name, name) }
                try await server.call("Auth/UserAdd", add, token: root)
                _ = try await server.login(name, name)
            }
            await #expect(throws: RPCStatus.self) { try await server.login("\u{e9}", "e\u{301}") }
        }
    }
}
