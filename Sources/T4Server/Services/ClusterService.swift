import EtcdAPI
import RPC
import SwiftProtobuf
import Synchronization
import T4Core

/// `etcdserverpb.Cluster`. Nodes join by starting and leave by stopping, so that the list is real and changes are refused.
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
        change("MemberRemove", { $0 == 1 ? EtcdErrors.notEnoughMembers : ClusterService.leaving }, in: &router) {
            try EtcdMemberRemoveRequest(decoding: $0).id
        }
        change("MemberUpdate", { _ in ClusterService.unsupported }, in: &router) {
            try EtcdMemberUpdateRequest(decoding: $0).id
        }
        change("MemberPromote", { _ in EtcdErrors.notALearner }, in: &router) {
            try EtcdMemberPromoteRequest(decoding: $0).id
        }
    }

    private static let unsupported = RPCStatus(
        .unimplemented,
        "t4: members are not added or changed by request: a node joins when it is started with the store of the cluster"
    )
    private static let leaving = RPCStatus(
        .unimplemented, "t4: members are not removed by request: stop the node, and the others go on without it")

    /// A change of a member: those that are none are not found.
    /// - Parameter refusal: Why one of so many cannot be changed so.
    private func change(
        _ method: String, _ refusal: @escaping @Sendable (Int) -> RPCStatus, in router: inout RPCRouter,
        _ member: @escaping @Sendable (RawSpan) throws -> UInt64
    ) {
        router.unary("/etcdserverpb.Cluster/\(method)") { [context] call, bytes in
            call.answeringErrors {
                try context.requireAdmin(call)
                let id = try member(bytes)
                context.withMembers(for: call) { members in
                    throw members.contains { $0.id == id } ? refusal(members.count) : EtcdErrors.memberNotFound
                }
            }
        }
    }

    private func list(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            _ = try EtcdMemberListRequest(decoding: bytes)
            try context.requireUser(call)
            context.withMembers(for: call) { members in
                var answer = EtcdMemberListResponse()
                answer.header = context.message(revision: .none)
                answer.members = members
                call.respond(try answer.encoded())
            }
        }
    }
}

extension ServiceContext {
    /// Runs `body` with all members on the call's event loop; otherwise as `asking`.
    func withMembers(for call: ServerCall, _ body: @escaping @Sendable ([EtcdMember]) throws -> Void) {
        asking(.members, for: call) { reply in
            guard case .members(let members) = reply else { preconditionFailure("not what was asked") }
            try body(members.isEmpty ? [own] : members.map(member).sorted { $0.id < $1.id })
        }
    }

    private var own: EtcdMember {
        EtcdMember.with {
            $0.id = node.memberID
            $0.name = settings.name
            $0.clientUrls = advertised.urls.withLock { $0 }
        }
    }

    private func member(_ member: ClusterMember) -> EtcdMember {
        EtcdMember.with {
            $0.id = Node.memberID(ofInstance: member.instance)
            $0.name = member.name
            $0.peerUrls = member.address.isEmpty ? [] : ["\(settings.peerScheme)://\(member.address)"]
            $0.clientUrls = $0.id == node.memberID ? advertised.urls.withLock { $0 } : member.clientURLs
            $0.isLearner = member.isReadOnly
        }
    }
}
