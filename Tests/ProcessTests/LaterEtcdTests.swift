import EtcdAPI
import Foundation
import RPC
import SwiftProtobuf
import Testing

/// Goal: where etcd 3.5.1 differs from later etcd, or ends itself, t4 does what the compatibility page says. Method:
/// requests that etcdctl does not send.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 where it differs from etcd 3.5.1"))
struct LaterEtcdTests {
    private func withClient(_ body: @Sendable (EtcdClient) async throws -> Void) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let server = try await ServerUnderTest.start(
                    TestEnvironment.subject, dataDirectory: folder.appending(path: "data"))
                let client = try await EtcdClient.connect(to: server)
                try await body(client)
                await client.close()
                await server.crash()
            }
        }
    }

    private func status(of body: () async throws -> Void) async throws -> RPCStatus {
        do {
            try await body()
            return .ok
        } catch let status as RPCStatus {
            return status
        }
    }

    private func expect(
        _ wanted: RPCStatus, at location: SourceLocation = #_sourceLocation, _ body: () async throws -> Void,
    ) async throws {
        let found = try await status(of: body)
        #expect(found == wanted, sourceLocation: location)
    }

    /// etcd 3.6: the reason is the whole text of the error, so that clients find it in their table.
    @Test func aWatchFromANegativeRevisionSaysWhyItEnds() async throws {
        try await withClient { client in
            let watch = try client.watch(from: -5)
            try await watch.untilCreated()
            #expect(watch.content.value.cancelReason == "etcdserver: mvcc: required revision has been compacted")
            #expect(watch.content.value.compactRevision == 0)
        }
    }

    /// etcd 3.5.1 refuses tokens while authentication is disabled.
    @Test func tokensDoNotMatterWithoutAuthentication() async throws {
        try await withClient { client in
            _ = try await client.put("a", "1")
            #expect(try await client.value(of: "a", token: "nobody.1") == "1")
        }
    }

    /// etcd 3.5.1 keeps such permissions.
    @Test func permissionsOnNoKeyAreRefused() async throws {
        let refusal = RPCStatus(.invalidArgument, "etcdserver: invalid auth management")
        try await withClient { client in
            for range in [("b", "a"), ("b", "b"), ("", "")] {
                var request = EtcdAuthRoleGrantPermissionRequest()
                request.name = "reader"
                request.perm.key = Data(range.0.utf8)
                request.perm.rangeEnd = Data(range.1.utf8)
                let sent = request
                try await expect(refusal) {
                    _ = try await client.call(
                        "Auth/RoleGrantPermission", sent, EtcdAuthRoleGrantPermissionResponse.self)
                }
            }
        }
    }

    /// etcd 3.5.1 forgets the first alarm's effect when a second kind is raised, and both when one is disarmed.
    @Test func alarmsOfBothKindsHoldTogether() async throws {
        let noSpace = RPCStatus(.resourceExhausted, "etcdserver: mvcc: database space exceeded")
        let corrupt = RPCStatus(.dataLoss, "etcdserver: corrupt cluster")
        try await withClient { client in
            let id = try await client.memberID()
            func member(_ type: EtcdAlarmType, _ id: UInt64) -> EtcdAlarmMember {
                EtcdAlarmMember.with {
                    $0.alarm = type
                    $0.memberID = id
                }
            }
            #expect(try await client.alarm(.activate, .corrupt, member: id) == [member(.corrupt, id)])
            #expect(try await client.alarm(.activate, .nospace, member: 7) == [member(.nospace, 7)])
            #expect(try await client.alarm(.activate, .nospace, member: 7) == [member(.nospace, 7)])
            #expect(try await client.alarm(.get, .none) == [member(.nospace, 7), member(.corrupt, id)])
            #expect(try await client.alarm(.get, .nospace, member: id) == [member(.nospace, 7)])
            try await expect(corrupt) { _ = try await client.put("a", "1") }
            try await expect(corrupt) { _ = try await client.delete("a") }

            #expect(try await client.alarm(.deactivate, .corrupt, member: 7) == [])
            #expect(try await client.alarm(.deactivate, .none, member: id) == [])
            try await expect(corrupt) { _ = try await client.put("a", "1") }
            #expect(try await client.alarm(.deactivate, .corrupt, member: id) == [member(.corrupt, id)])
            try await expect(noSpace) { _ = try await client.put("a", "1") }
            try await expect(.ok) { _ = try await client.delete("a") }
            #expect(try await client.alarm(.deactivate, .nospace, member: 7) == [member(.nospace, 7)])
            try await expect(.ok) { _ = try await client.put("a", "1") }
        }
    }

    /// etcd 3.5.1 ends itself on these.
    @Test func unknownNumbersInAnAlarmRequestAreRefused() async throws {
        try await withClient { client in
            try await expect(RPCStatus(.unimplemented, "t4: there is no alarm of type 7")) {
                _ = try await client.alarm(.activate, .UNRECOGNIZED(7))
            }
            try await expect(RPCStatus(.unimplemented, "t4: there is no action 9 on alarms")) {
                _ = try await client.alarm(.UNRECOGNIZED(9), .nospace)
            }
            #expect(try await client.alarm(.activate, .none) == [])
            #expect(try await client.alarm(.get, .none) == [])
            #expect(try await client.alarm(.get, .UNRECOGNIZED(7)) == [])
            #expect(try await client.put("a", "1") == 2)
        }
    }
}
