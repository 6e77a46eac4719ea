import EtcdAPI
import Foundation
import Logging
import RPC
import SwiftProtobuf
import T4BuiltIns
import T4Core
import T4Protocols
import Testing

@testable import T4Server

/// A server in this process with users of different rights, authentication on.
///
/// Keys `k1` to `k4`; the user `none` may do nothing, `part` reads and writes `k1` and `k2`, `full` all four; lease 77 holds
/// `k1` and `k4`. The password of a user is its name.
struct AuthServer {
    static let users = ["none", "part", "full", "root"]
    static let lease: Int64 = 77

    let node: Node
    let client: RPCClient
    let port: Int
    /// By user.
    var tokens: [String: String] = [:]

    static func with(
        enforced: Bool = true, tls: (server: RPCServerTLS, client: RPCClientTLS)? = nil,
        signedTokens: SignedTokens? = nil, registry: BackendRegistry = .builtIn,
        _ change: (inout EtcdServerSettings) -> Void = { _ in },
        _ body: (inout AuthServer) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "t4-auth-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let node = try Node(
            NodeConfiguration(dataDirectory: folder.path, engine: "memory"), registry: registry, logger: logger,
            clock: .system)
        var settings = EtcdServerSettings(name: "test")
        settings.bcryptCost = 4
        settings.enforcesAuth = enforced
        settings.transport.tls = tls?.server
        settings.signedTokens = signedTokens
        change(&settings)
        let server = try await EtcdServer.start(
            node: node, host: "127.0.0.1", port: 0, settings: settings, logger: logger)
        let client = try await connect(port: server.port, tls?.client)
        let outcome: Result<Void, any Error>
        do {
            var made = AuthServer(node: node, client: client, port: server.port)
            try await made.fill()
            if enforced { try await made.enable() }
            try await body(&made)
            outcome = .success(())
        } catch {
            outcome = .failure(error)
        }
        await client.close()
        await server.stop(deadline: .seconds(30))
        try node.stopAndWait()
        try outcome.get()
    }

    static func connect(port: Int, _ tls: RPCClientTLS?) async throws -> RPCClient {
        var configuration = RPCClientConfiguration()
        configuration.connectTimeout = .seconds(600)
        configuration.tls = tls
        return try await RPCClient.connect(host: "127.0.0.1", port: port, configuration: configuration)
    }

    private func fill() async throws {
        _ = try await node.grantLease(id: Self.lease, ttl: 10_000)
        for number in 1...4 {
            let lease = number == 1 || number == 4 ? Self.lease : 0
            try await node.put(PutRequest(key: Array("k\(number)".utf8), value: [1], lease: lease))
        }
        for user in Self.users {
            try await call("Auth/UserAdd", EtcdAuthUserAddRequest.with { ($0.name, $0.password) = (user, user) })
        }
        for (role, end) in [("part", "k3"), ("full", "k5")] {
            try await call("Auth/RoleAdd", EtcdAuthRoleAddRequest.with { $0.name = role })
            try await call(
                "Auth/RoleGrantPermission",
                EtcdAuthRoleGrantPermissionRequest.with {
                    $0.name = role
                    $0.perm.permType = .readwrite
                    $0.perm.key = Data("k1".utf8)
                    $0.perm.rangeEnd = Data(end.utf8)
                })
            try await grant(role, to: role)
        }
        try await grant("root", to: "root")
    }

    func grant(_ role: String, to user: String, token: String? = nil) async throws {
        try await call(
            "Auth/UserGrantRole", EtcdAuthUserGrantRoleRequest.with { ($0.user, $0.role) = (user, role) }, token: token)
    }

    private mutating func enable() async throws {
        try await call("Auth/AuthEnable", EtcdAuthEnableRequest())
        for user in Self.users { tokens[user] = try await login(user, user) }
    }

    /// - Returns: The token.
    func login(_ user: String, _ password: String) async throws -> String {
        let answer = try await call(
            "Auth/Authenticate", EtcdAuthenticateRequest.with { ($0.name, $0.password) = (user, password) })
        return try EtcdAuthenticateResponse(serializedBytes: answer).token
    }

    @discardableResult
    func call(
        _ method: String, _ request: some SwiftProtobuf.Message, token: String? = nil
    ) async throws -> [UInt8] {
        try await client.unary(
            Self.path(method), request.serializedBytes(), timeout: .seconds(600),
            metadata: token.map { [("token", $0)] } ?? [])
    }

    /// Of a method that is named in full, or within etcd's main package.
    private static func path(_ method: String) -> String { method.hasPrefix("/") ? method : "/etcdserverpb." + method }

    /// The status of a call that should not succeed.
    func failure(
        _ method: String, _ request: some SwiftProtobuf.Message, token: String? = nil
    ) async -> RPCStatus? {
        do {
            try await call(method, request, token: token)
            return nil
        } catch {
            return error as? RPCStatus
        }
    }

    /// Sends one message on a stream and waits for the first that comes back.
    /// - Returns: That message, or how the call ended.
    func first(
        _ method: String, _ request: some SwiftProtobuf.Message, token: String? = nil
    ) async throws -> Result<[UInt8], RPCStatus> {
        let events = AsyncStream<Result<[UInt8], RPCStatus>>.makeStream()
        let handler = FirstMessage(events.continuation)
        let call = client.stream(
            client.method(Self.path(method)), metadata: token.map { [("token", $0)] } ?? []
        ) { _ in handler }
        call.send(try request.serializedBytes())
        call.halfClose()
        defer { call.cancel() }
        for await event in events.stream { return event }
        return .failure(RPCStatus(.unknown, "nothing came"))
    }
}

private final class FirstMessage: ClientStreamHandler, Sendable {
    private let events: AsyncStream<Result<[UInt8], RPCStatus>>.Continuation

    init(_ events: AsyncStream<Result<[UInt8], RPCStatus>>.Continuation) { self.events = events }

    func onMessage(_ message: RawSpan) { events.yield(.success(message.withUnsafeBytes { Array($0) })) }
    func onEnd(_ status: RPCStatus) { events.yield(.failure(status)) }
    func onWritable() {}
}
