import EtcdAPI
import RPC
import SwiftProtobuf
import Synchronization
import T4Core

/// `etcdserverpb.Cluster` of a single node: the list is real, changes are not in this version.
struct ClusterService: Sendable {
    let context: ServiceContext

    func register(in router: inout RPCRouter) {
        router.unary("/etcdserverpb.Cluster/MemberList", list)
        router.unary("/etcdserverpb.Cluster/MemberAdd") { [context] call, bytes in
            call.answeringErrors {
                try context.requireAdmin(call)
                let urls = try EtcdMemberAddRequest(decoding: bytes).peerUrls
                let isValid = !urls.isEmpty && urls.allSatisfy(MemberURL.isValid)
                throw isValid ? ClusterService.unsupported : EtcdErrors.badMemberURLs
            }
        }
        // As in etcd: nobody would be left, and who votes is no learner.
        change("MemberRemove", EtcdErrors.notEnoughMembers, in: &router) {
            try EtcdMemberRemoveRequest(decoding: $0).id
        }
        change("MemberUpdate", ClusterService.unsupported, in: &router) { try EtcdMemberUpdateRequest(decoding: $0).id }
        change("MemberPromote", EtcdErrors.notALearner, in: &router) { try EtcdMemberPromoteRequest(decoding: $0).id }
    }

    private static let unsupported = RPCStatus(
        .unimplemented, "t4: members cannot be changed: this version is one node")

    /// A change of a member: all but this node itself are not found.
    /// - Parameter refusal: Why this node cannot be changed so.
    private func change(
        _ method: String, _ refusal: RPCStatus, in router: inout RPCRouter,
        _ member: @escaping @Sendable (RawSpan) throws -> UInt64
    ) {
        router.unary("/etcdserverpb.Cluster/\(method)") { [context] call, bytes in
            call.answeringErrors {
                try context.requireAdmin(call)
                let isSelf = try member(bytes) == context.origin.memberID
                throw isSelf ? refusal : EtcdErrors.memberNotFound
            }
        }
    }

    private func list(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            _ = try EtcdMemberListRequest(decoding: bytes)
            try context.requireUser(call)
            var member = EtcdMember()
            member.id = context.origin.memberID
            member.name = context.settings.name
            member.clientUrls = context.advertised.urls.withLock { $0 }
            var answer = EtcdMemberListResponse()
            answer.header = context.message(revision: .none)
            answer.members = [member]
            call.respond(try answer.encoded())
        }
    }
}
