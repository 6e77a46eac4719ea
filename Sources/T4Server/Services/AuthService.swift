import EtcdAPI
import RPC
import SwiftProtobuf
import T4Core

/// `etcdserverpb.Auth` of a server without users: it says that authentication is off, and takes no changes.
struct AuthService: Sendable {
    private static let changes = [
        "AuthEnable", "UserAdd", "UserGet", "UserDelete", "UserChangePassword", "UserGrantRole",
        "UserRevokeRole", "RoleAdd", "RoleGet", "RoleDelete", "RoleGrantPermission",
        "RoleRevokePermission",
    ]

    let context: ServiceContext

    func register(in router: inout RPCRouter) {
        router.unary("/etcdserverpb.Auth/AuthStatus") { [context] call, _ in
            call.answeringErrors {
                var answer = EtcdAuthStatusResponse()
                answer.header = context.message(revision: context.node.revision)
                answer.authRevision = 1
                call.respond(try answer.encoded())
            }
        }
        // As in etcd: turning off what is off succeeds, and nobody can log in.
        router.unary("/etcdserverpb.Auth/AuthDisable") { [context] call, _ in
            call.answeringErrors {
                var answer = EtcdAuthDisableResponse()
                answer.header = context.message(revision: context.node.revision)
                call.respond(try answer.encoded())
            }
        }
        router.unary("/etcdserverpb.Auth/UserList") { [context] call, _ in
            call.answeringErrors {
                var answer = EtcdAuthUserListResponse()
                answer.header = context.message(revision: context.node.revision)
                call.respond(try answer.encoded())
            }
        }
        router.unary("/etcdserverpb.Auth/RoleList") { [context] call, _ in
            call.answeringErrors {
                var answer = EtcdAuthRoleListResponse()
                answer.header = context.message(revision: context.node.revision)
                call.respond(try answer.encoded())
            }
        }
        router.unary("/etcdserverpb.Auth/Authenticate") { call, _ in call.fail(EtcdErrors.authNotEnabled) }
        for method in AuthService.changes {
            router.unary("/etcdserverpb.Auth/\(method)") { call, _ in
                call.fail(RPCStatus(.unimplemented, "t4: \(method) is not in this version: there are no users yet"))
            }
        }
    }
}
