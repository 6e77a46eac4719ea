import EtcdAPI
import FoundationEssentials
import RPC
import SwiftProtobuf
import T4Core

/// `etcdserverpb.Auth`: users, roles, logins. What is listed comes from what is visible, what changes goes through the log.
struct AuthService: Sendable {
    let context: ServiceContext
    let logins: Logins

    func register(in router: inout RPCRouter) {
        registerState(in: &router)
        registerUsers(in: &router)
        registerRoles(in: &router)
    }

    private func registerState(in router: inout RPCRouter) {
        change("AuthEnable", EtcdAuthEnableRequest.self, in: &router) { [context] _, _ in
            // It would not come on here.
            guard context.settings.enforcesAuth else {
                throw RPCStatus(.failedPrecondition, "t4: this node was started with auth.enabled = false")
            }
            return .enable
        }
        change("AuthDisable", EtcdAuthDisableRequest.self, in: &router) { _, _ in .disable }
        read("AuthStatus", EtcdAuthStatusRequest.self, in: &router) { authorization, _ in
            try authorization.requireAdmin()
        } _: { [context] accounts, _, header in
            var answer = EtcdAuthStatusResponse()
            answer.header = header
            answer.enabled = accounts.isEnabled && context.settings.enforcesAuth
            answer.authRevision = accounts.revision
            return answer
        }
        router.unary("/etcdserverpb.Auth/Authenticate") { [context, logins] call, bytes in
            call.answeringErrors {
                let request = try EtcdAuthenticateRequest(decoding: bytes)
                context.whenCurrent(call) {
                    guard context.isAuthOn else { throw DatabaseError(.authNotEnabled) }
                    logins.login(Array(request.name.utf8), Array(request.password.utf8), call)
                }
            }
        }
    }

    private func registerUsers(in router: inout RPCRouter) {
        router.unary("/etcdserverpb.Auth/UserAdd", addUser)
        router.unary("/etcdserverpb.Auth/UserChangePassword", changePassword)
        change("UserDelete", EtcdAuthUserDeleteRequest.self, in: &router) { request, _ in
            .deleteUser(Array(request.name.utf8))
        }
        change("UserGrantRole", EtcdAuthUserGrantRoleRequest.self, in: &router) { request, _ in
            .grantRole(user: Array(request.user.utf8), role: Array(request.role.utf8))
        }
        change("UserRevokeRole", EtcdAuthUserRevokeRoleRequest.self, in: &router) { request, _ in
            .revokeRole(user: Array(request.name.utf8), role: Array(request.role.utf8))
        }
        read("UserList", EtcdAuthUserListRequest.self, in: &router) { authorization, _ in
            try authorization.requireAdmin()
        } _: { accounts, _, header in
            var answer = EtcdAuthUserListResponse()
            answer.header = header
            answer.users = AuthService.sorted(accounts.users.keys)
            return answer
        }
        read("UserGet", EtcdAuthUserGetRequest.self, in: &router) { authorization, request in
            // Everybody may look at himself.
            if authorization.requester?.user != Array(request.name.utf8) { try authorization.requireAdmin() }
        } _: { accounts, request, header in
            guard let user = accounts.users[Array(request.name.utf8)] else { throw DatabaseError(.userNotFound) }
            var answer = EtcdAuthUserGetResponse()
            answer.header = header
            answer.roles = user.roles.map { String(decoding: $0, as: UTF8.self) }
            return answer
        }
    }

    private func registerRoles(in router: inout RPCRouter) {
        change("RoleAdd", EtcdAuthRoleAddRequest.self, in: &router) { request, _ in .addRole(Array(request.name.utf8)) }
        change("RoleDelete", EtcdAuthRoleDeleteRequest.self, in: &router) { request, _ in
            .deleteRole(Array(request.role.utf8))
        }
        change("RoleGrantPermission", EtcdAuthRoleGrantPermissionRequest.self, in: &router) { request, authorization in
            guard request.hasPerm else {
                try authorization.requireAdmin()
                throw DatabaseError(.permissionNotGiven)
            }
            guard let kind = AuthPermission.Kind(request.perm.permType) else {
                try authorization.requireAdmin()
                throw DatabaseError(.invalidAuthManagement)
            }
            let permission = AuthPermission(
                kind, key: Array(request.perm.key), rangeEnd: Array(request.perm.rangeEnd))
            return .grantPermission(role: Array(request.name.utf8), permission)
        }
        change("RoleRevokePermission", EtcdAuthRoleRevokePermissionRequest.self, in: &router) { request, _ in
            .revokePermission(
                role: Array(request.role.utf8), key: Array(request.key), rangeEnd: Array(request.rangeEnd))
        }
        read("RoleList", EtcdAuthRoleListRequest.self, in: &router) { authorization, _ in
            try authorization.requireAdmin()
        } _: { accounts, _, header in
            var answer = EtcdAuthRoleListResponse()
            answer.header = header
            answer.roles = AuthService.sorted(accounts.roles.keys)
            return answer
        }
        read("RoleGet", EtcdAuthRoleGetRequest.self, in: &router) { authorization, request in
            // Everybody may look at his own roles.
            let isOwn = authorization.rights?.roles.contains(Array(request.role.utf8)) ?? false
            if !isOwn { try authorization.requireAdmin() }
        } _: { accounts, request, header in
            guard let role = accounts.roles[Array(request.role.utf8)] else { throw DatabaseError(.roleNotFound) }
            var answer = EtcdAuthRoleGetResponse()
            answer.header = header
            answer.perm = role.permissions.map(EtcdPermission.init)
            return answer
        }
    }

    // MARK: Passwords

    private func addUser(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdAuthUserAddRequest(decoding: bytes)
            // Nobody else may keep a processor busy with hashes.
            let authorization = try context.authorization(of: call, writing: bytes)
            try authorization.requireAdmin()
            let name = Array(request.name.utf8)
            if request.options.noPassword {
                let user = AuthUser(name, password: [], hasNoPassword: true)
                return submit(.addUser(user), authorization, call)
            }
            if request.password.isEmpty, !request.hashedPassword.isEmpty {
                return submit(
                    .addUser(AuthUser(name, password: try AuthService.hash(request.hashedPassword))), authorization,
                    call)
            }
            logins.run(call) { [self] in
                let password = try logins.hashes.make(Array(request.password.utf8))
                submit(.addUser(AuthUser(name, password: password)), authorization, call)
            }
        }
    }

    private func changePassword(_ call: ServerCall, _ bytes: RawSpan) {
        call.answeringErrors {
            let request = try EtcdAuthUserChangePasswordRequest(decoding: bytes)
            let authorization = try context.authorization(of: call, writing: bytes)
            try authorization.requireAdmin()
            let name = Array(request.name.utf8)
            guard !request.password.isEmpty else {
                // Without a hash either, nobody can log in.
                let hash = try AuthService.hash(request.hashedPassword)
                return submit(.changePassword(user: name, password: hash), authorization, call)
            }
            logins.run(call) { [self] in
                let password = try logins.hashes.make(Array(request.password.utf8))
                submit(.changePassword(user: name, password: password), authorization, call)
            }
        }
    }

    /// A hash that was made elsewhere, in base64.
    private static func hash(_ text: String) throws(DatabaseError) -> [UInt8] {
        guard let hash = Data(base64Encoded: text) else { throw DatabaseError(.noPasswordUser) }
        return Array(hash)
    }

    // MARK: Ways of all

    /// The decision looks at the rights again: they may have changed while a password was hashed.
    private func submit(_ request: AuthRequest, _ authorization: Authorization, _ call: ServerCall) {
        context.node.submit(.auth(request), from: context.requester(authorization)) { [context] result in
            context.answer(call, result)
        }
    }

    /// A method that changes something.
    private func change<Request: SwiftProtobuf.Message & Sendable>(
        _ method: String, _: Request.Type, in router: inout RPCRouter,
        _ make: @escaping @Sendable (Request, Authorization) throws -> AuthRequest
    ) {
        router.unary("/etcdserverpb.Auth/\(method)") { call, bytes in
            call.answeringErrors {
                let request = try Request(decoding: bytes)
                let authorization = try context.authorization(of: call, writing: bytes)
                submit(try make(request, authorization), authorization, call)
            }
        }
    }

    /// A method that shows something.
    private func read<Request: SwiftProtobuf.Message & Sendable, Answer: SwiftProtobuf.Message>(
        _ method: String, _: Request.Type, in router: inout RPCRouter,
        _ check: @escaping @Sendable (Authorization, Request) throws -> Void,
        _ answer: @escaping @Sendable (AuthAccounts, Request, EtcdResponseHeader) throws -> Answer
    ) {
        router.unary("/etcdserverpb.Auth/\(method)") { [context] call, bytes in
            call.answeringErrors {
                let request = try Request(decoding: bytes)
                context.whenCurrent(call) {
                    try check(context.authorization(of: call), request)
                    let accounts = context.node.auth.view.accounts
                    let header = context.message(revision: context.node.revision)
                    call.respond(try answer(accounts, request, header).encoded())
                }
            }
        }
    }

    private static func sorted(_ names: some Collection<[UInt8]>) -> [String] {
        names.sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
    }
}

extension AuthPermission.Kind {
    fileprivate init?(_ type: EtcdPermission.TypeEnum) {
        switch type {
        case .read: self = .read
        case .write: self = .write
        case .readwrite: self = .readWrite
        case .UNRECOGNIZED: return nil
        }
    }
}

extension EtcdPermission {
    init(_ permission: AuthPermission) {
        self.init()
        switch permission.kind {
        case .read: permType = .read
        case .write: permType = .write
        case .readWrite: permType = .readwrite
        }
        key = Data(permission.key)
        rangeEnd = Data(permission.rangeEnd)
    }
}
