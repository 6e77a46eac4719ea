import EtcdAPI
import Foundation
import Logging
import RPC
import SwiftProtobuf
import TestCertificates
import Testing

/// Goal: a client that shows a certificate is the user of its common name, as with etcd, and nobody else. Method: connections
/// with certificates of several names to one server.
@Suite struct CommonNameTests {
    /// A server and connections to it, by the name of their certificate.
    private func withServer(
        _ names: [String], _ body: (AuthServer, [String: RPCClient]) async throws -> Void
    ) async throws {
        try await TestCertificates.with { files in
            let pair = try await files.makeServer()
            func file(_ path: String) -> CredentialFile { CredentialFile(setting: "test", path: path) }
            let server = try RPCServerTLS(
                certificate: file(pair.certificate), key: file(pair.key), clientAuthority: file(files.authority()),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            var tls: [String: RPCClientTLS] = [:]
            for name in names {
                let pair = try await files.makeClient(
                    "client-\(name)", subject: name.isEmpty ? "/O=acme" : "/CN=\(name)")
                tls[name] = try RPCClientTLS(
                    authority: file(files.authority()), certificate: (file(pair.certificate), file(pair.key)))
            }
            let first = try #require(tls[names[0]])
            try await AuthServer.with(tls: (server, first)) { server in
                var clients: [String: RPCClient] = [:]
                for (name, tls) in tls { clients[name] = try await AuthServer.connect(port: server.port, tls) }
                try await body(server, clients)
                for client in clients.values { await client.close() }
            }
        }
    }

    /// The message of the error; nil for success.
    private func get(_ key: String, _ client: RPCClient?, _ metadata: [(String, String)] = []) async -> String? {
        await call("KV/Range", EtcdRangeRequest.with { $0.key = Data(key.utf8) }, client, metadata)
    }

    private func put(_ key: String, _ client: RPCClient?, _ metadata: [(String, String)] = []) async -> String? {
        await call("KV/Put", EtcdPutRequest.with { $0.key = Data(key.utf8) }, client, metadata)
    }

    private func call(
        _ method: String, _ request: some SwiftProtobuf.Message, _ client: RPCClient?,
        _ metadata: [(String, String)] = []
    ) async -> String? {
        do {
            let client = try #require(client)
            _ = try await client.unary(
                "/etcdserverpb." + method, request.serializedBytes(), timeout: .seconds(600), metadata: metadata)
            return nil
        } catch {
            return (error as? RPCStatus)?.message ?? "\(error)"
        }
    }

    private let denied = "etcdserver: permission denied"
    private let empty = "etcdserver: user name is empty"

    @Test func theNameIsTheUser() async throws {
        try await withServer(["part", "full", "root", "nobody", ""]) { server, clients in
            let part = clients["part"]
            // In turns: each connection has its own.
            for _ in 0..<2 {
                #expect(await get("k1", part) == nil)
                #expect(await get("k4", part) == denied)
                #expect(await put("k2", part) == nil)
                #expect(await put("k4", part) == denied)
                #expect(await get("k4", clients["full"]) == nil)
                #expect(await get("other", clients["full"]) == denied)
                #expect(await put("other", clients["root"]) == nil)
            }
            let list = EtcdAuthUserListRequest()
            #expect(await call("Auth/UserList", list, part) == denied)
            #expect(await call("Auth/UserList", list, clients["root"]) == nil)
            let own = EtcdAuthUserGetRequest.with { $0.name = "part" }
            #expect(await call("Auth/UserGet", own, part) == nil)
            #expect(await call("Auth/UserGet", own, clients["full"]) == denied)
            // Users who do not exist, and none.
            for name in ["nobody", ""] {
                #expect(await get("k1", clients[name]) == denied)
                #expect(await put("k1", clients[name]) == denied)
            }
            #expect(await call("Auth/UserList", list, clients["nobody"]) == "etcdserver: user name not found")
            #expect(await call("Auth/UserList", list, clients[""]) == empty)
            #expect(await call("Cluster/MemberList", EtcdMemberListRequest(), clients[""]) == empty)
            // What is taken away is gone for connections that are open.
            let taken = EtcdAuthUserRevokeRoleRequest.with { ($0.name, $0.role) = ("part", "part") }
            #expect(await call("Auth/UserRevokeRole", taken, clients["root"]) == nil)
            #expect(await get("k1", part) == denied)
            #expect(await call("Auth/AuthDisable", EtcdAuthDisableRequest(), clients["root"]) == nil)
            for client in clients.values { #expect(await put("other", client) == nil) }
        }
    }

    @Test func aTokenCountsBeforeTheName() async throws {
        try await withServer(["part", "root"]) { server, clients in
            let (part, root) = (clients["part"], clients["root"])
            let tokens = server.tokens
            for _ in 0..<2 {
                #expect(await put("other", part, [("token", tokens["root"] ?? "")]) == nil)
                #expect(await put("other", part) == denied)
                #expect(await put("other", root, [("token", tokens["part"] ?? "")]) == denied)
                #expect(await put("other", root) == nil)
                #expect(await get("k1", root, [("authorization", "nonsense")]) == "etcdserver: invalid auth token")
            }
        }
    }

    /// A gateway shows its own certificate for whoever asks it.
    @Test func theNameOfAGatewayDoesNotCount() async throws {
        try await withServer(["root"]) { server, clients in
            let passedOn = [("grpcgateway-accept", "*/*")]
            for _ in 0..<2 {
                #expect(await get("k1", clients["root"], passedOn) == empty)
                #expect(await put("k1", clients["root"], passedOn) == empty)
                #expect(await get("k1", clients["root"]) == nil)
            }
            #expect(await get("k1", clients["root"], passedOn + [("token", server.tokens["part"] ?? "")]) == nil)
        }
    }
}
