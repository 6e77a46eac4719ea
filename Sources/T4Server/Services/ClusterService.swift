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
        for method in ["MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote"] {
            router.unary("/etcdserverpb.Cluster/\(method)") { call, _ in
                call.fail(RPCStatus(.unimplemented, "t4: \(method) is not supported: this version runs as one node"))
            }
        }
    }

    private func list(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            _ = try EtcdMemberListRequest(decoding: bytes)
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
