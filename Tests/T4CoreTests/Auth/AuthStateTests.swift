import T4Core
import T4Protocols
import Testing

/// Users, roles and tokens as a state machine: what each request changes, what it refuses, and how the revision counts.
struct AuthStateTests {
    /// A state that answers with error codes.
    private struct Machine {
        var state = AuthState()

        var revision: UInt64 { state.accounts.revision }

        /// - Returns: Nil for success.
        mutating func run(_ request: AuthRequest) -> DatabaseError.Code? {
            do {
                for change in try state.decide(request) { state.apply(change) }
                return nil
            } catch {
                return error.code
            }
        }

        mutating func run(all requests: AuthRequest...) {
            for request in requests { #expect(run(request) == nil, "\(request)") }
        }

        func token(_ name: String, of user: String) -> AuthToken {
            AuthToken(hash: AuthToken.hash(of: [UInt8](name)), user: [UInt8](user), expires: 9)
        }

        mutating func login(_ user: String, _ token: String) -> DatabaseError.Code? {
            run(.issueToken(self.token(token, of: user), checkedRevision: revision))
        }
    }

    private func name(_ text: String) -> [UInt8] { [UInt8](text) }

    private func user(_ text: String, noPassword: Bool = false) -> AuthRequest {
        .addUser(AuthUser(name(text), password: noPassword ? [] : name("hash"), hasNoPassword: noPassword))
    }

    private func grant(
        _ role: String, _ kind: AuthPermission.Kind, _ key: String, _ end: [UInt8] = []
    ) -> AuthRequest {
        .grantPermission(role: name(role), AuthPermission(kind, key: name(key), rangeEnd: end))
    }

    @Test func theRevisionCountsAsEtcdDoes() {
        var machine = Machine()
        #expect(machine.revision == 1)
        #expect(machine.run(.disable) == nil && machine.revision == 1, "off already")
        machine.run(all: user("root"), .addRole(name("r")))
        #expect(machine.revision == 3)
        machine.run(all: .grantRole(user: name("root"), role: name("root")))
        machine.run(all: .grantRole(user: name("root"), role: name("root")))
        #expect(machine.revision == 4, "granting again changes nothing")
        machine.run(all: .enable, .enable)
        #expect(machine.revision == 4, "turning on is no step")
        machine.run(all: grant("r", .read, "a"), grant("r", .read, "a"))
        #expect(machine.revision == 6, "granting a permission again is one")
        #expect(machine.login("root", "t") == nil && machine.revision == 6, "logins are none")
        machine.run(all: .changePassword(user: name("root"), password: name("h")))
        machine.run(all: .disable)
        #expect(machine.revision == 8)
    }

    @Test func whatIsMissingIsRefused() {
        var machine = Machine()
        #expect(machine.run(.enable) == .rootUserMissing)
        #expect(machine.run(user("")) == .userNameEmpty)
        machine.run(all: user("root"), user("a"), .addRole(name("r")))
        #expect(machine.run(.enable) == .rootRoleMissing)
        #expect(machine.run(user("a")) == .userExists)
        #expect(machine.run(.addRole([])) == .roleNameEmpty)
        #expect(machine.run(.addRole(name("r"))) == .roleExists)
        #expect(machine.run(.deleteUser(name("x"))) == .userNotFound)
        #expect(machine.run(.changePassword(user: name("x"), password: [])) == .userNotFound)
        #expect(machine.run(.grantRole(user: name("x"), role: name("r"))) == .userNotFound)
        #expect(machine.run(.grantRole(user: name("a"), role: name("x"))) == .roleNotFound)
        #expect(machine.run(.revokeRole(user: name("a"), role: name("r"))) == .roleNotGranted)
        #expect(machine.run(.deleteRole(name("x"))) == .roleNotFound)
        #expect(machine.run(grant("x", .read, "a")) == .roleNotFound)
        for (key, end) in [("", []), ("", name("z")), ("b", name("a")), ("b", name("b"))] {
            #expect(machine.run(grant("r", .read, key, end)) == .invalidAuthManagement, "\(key) \(end)")
        }
        #expect(
            machine.run(.revokePermission(role: name("r"), key: name("a"), rangeEnd: [])) == .permissionNotGranted)
        #expect(machine.login("a", "t") == .authNotEnabled)
        #expect(machine.revision == 4, "what is refused changes nothing")
        let long = [UInt8](repeating: 65, count: 40_000)
        #expect(machine.run(.addUser(AuthUser(long, password: []))) == .requestTooLarge)
        #expect(machine.run(.addRole(long)) == .requestTooLarge)
    }

    @Test func rootKeepsWhatItNeedsWhileOn() {
        var machine = Machine()
        machine.run(
            all: user("root"), .grantRole(user: name("root"), role: name("root")), .addRole(name("root")), .enable)
        let before = machine.state
        #expect(machine.run(.deleteUser(name("root"))) == .invalidAuthManagement)
        #expect(machine.run(.deleteRole(name("root"))) == .invalidAuthManagement)
        #expect(machine.run(.revokeRole(user: name("root"), role: name("root"))) == .invalidAuthManagement)
        #expect(machine.state == before)
        machine.run(all: .disable, .deleteRole(name("root")))
        #expect(machine.state.accounts.users[name("root")]?.roles == [])
        machine.run(all: .deleteUser(name("root")))
    }

    @Test func aRoleThatGoesIsTakenFromEverybody() {
        var machine = Machine()
        machine.run(
            all: user("a"), user("b"), .addRole(name("r")), .addRole(name("s")),
            .grantRole(user: name("a"), role: name("s")), .grantRole(user: name("a"), role: name("r")),
            .grantRole(user: name("b"), role: name("r")))
        #expect(machine.state.accounts.users[name("a")]?.roles == [name("r"), name("s")], "sorted")
        machine.run(all: .deleteRole(name("r")))
        #expect(machine.state.accounts.users[name("a")]?.roles == [name("s")])
        #expect(machine.state.accounts.users[name("b")]?.roles == [])
        #expect(machine.revision == 9)
    }

    @Test func permissionsAreReplacedByRangeAndSortedByKey() {
        var machine = Machine()
        machine.run(
            all: .addRole(name("r")), grant("r", .write, "b", name("c")), grant("r", .read, "a"),
            grant("r", .readWrite, "b", name("c")), grant("r", .read, "b", name("d")),
            grant("r", .write, "b", name("d")))
        let permissions = machine.state.accounts.roles[name("r")]?.permissions ?? []
        // The one that etcd does not find: another range of the same key stands in front of it.
        #expect(
            permissions == [
                AuthPermission(.read, key: name("a")), AuthPermission(.readWrite, key: name("b"), rangeEnd: name("c")),
                AuthPermission(.read, key: name("b"), rangeEnd: name("d")),
                AuthPermission(.write, key: name("b"), rangeEnd: name("d")),
            ])
        machine.run(all: .revokePermission(role: name("r"), key: name("b"), rangeEnd: name("d")))
        #expect(machine.state.accounts.roles[name("r")]?.permissions == Array(permissions[..<2]))
    }

    @Test func loginsEndWithThePasswordTheUserAndAuthentication() {
        var machine = Machine()
        machine.run(
            all: user("root"), .grantRole(user: name("root"), role: name("root")), user("a"), user("b"),
            user("n", noPassword: true), .enable)
        #expect(machine.login("nobody", "t") == .authenticationFailed)
        #expect(machine.login("n", "t") == .authenticationFailed)
        for (user, token) in [("a", "1"), ("a", "2"), ("b", "3"), ("root", "4")] {
            #expect(machine.login(user, token) == nil)
        }
        let stale = machine.revision
        machine.run(all: .changePassword(user: name("a"), password: name("new")))
        #expect(machine.state.tokens.count == 2)
        #expect(
            machine.run(.issueToken(machine.token("5", of: "a"), checkedRevision: stale)) == .authRevisionOld,
            "the old password was compared")
        machine.run(all: .deleteUser(name("b")))
        #expect(machine.state.tokens.values.map(\.user) == [name("root")])
        let hash = AuthToken.hash(of: name("4"))
        machine.run(all: .extendToken(hash: hash, expires: 20), .extendToken(hash: hash, expires: 10))
        machine.run(all: .extendToken(hash: AuthToken.hash(of: name("none")), expires: 10))
        #expect(machine.state.tokens[hash]?.expires == 20, "never earlier")
        machine.run(all: .changePassword(user: name("n"), password: name("new")))
        #expect(machine.state.accounts.users[name("n")]?.password == [], "it has none, as in etcd")
        machine.run(all: .disable)
        #expect(machine.state.tokens.isEmpty)
    }

    @Test func changesCarryWhatTheyReplace() throws {
        var machine = Machine()
        let requests: [AuthRequest] = [
            user("root"), .addRole(name("r")), grant("r", .readWrite, "k", [0]),
            .grantRole(user: name("root"), role: name("root")), .grantRole(user: name("root"), role: name("r")),
            .enable, .issueToken(machine.token("t", of: "root"), checkedRevision: 6),
            .extendToken(hash: AuthToken.hash(of: name("t")), expires: 77),
            .changePassword(user: name("root"), password: name("x")), .deleteRole(name("r")), .disable,
            .deleteUser(name("root")),
        ]
        var rows: [[UInt8]: [UInt8]] = [:]
        for request in requests {
            let changes = try machine.state.decide(request)
            let body = MutationCoding.encode(changes.map { .auth($0) })
            #expect(MutationCoding.decode(body, revision: .none) == changes.map { .auth($0) })
            for cut in 1...3 {
                #expect(MutationCoding.decode(Array(body.dropLast(cut)), revision: .none) == nil)
            }
            for change in changes {
                #expect(rows[change.name] == change.old, "\(request)")
                rows[change.name] = change.new
                machine.state.apply(change)
                machine.state.apply(change)
            }
        }
        #expect(rows.keys.sorted { $0.lexicographicallyPrecedes($1) } == [AuthRow.name(.settings)])
    }

    @Test func bytesThatAreNoRowAreRefused() {
        let prefix = AuthRow.prefix
        let settings = AuthRow.name(.settings)
        for (name, value) in [
            (settings, [UInt8](repeating: 0, count: 8)), (settings, [2] + [UInt8](repeating: 0, count: 8)),
            (settings + [1], [UInt8](repeating: 0, count: 9)), (prefix, []), (prefix + [0x7A, 1], []),
            (AuthRow.name(.user), [0, 0, 0, 0, 0]), (AuthRow.name(.user, [1]), [0, 0, 0, 0, 1]),
            (AuthRow.name(.role, [1]), [3] + [UInt8](repeating: 0, count: 8)),
            (AuthRow.name(.token, [1]), [UInt8](repeating: 0, count: 8)),
            (AuthRow.name(.token, [UInt8](repeating: 0, count: 32)), [1]),
        ] as [([UInt8], [UInt8])] {
            #expect(AuthRow(name: name, value: value) == nil, "\(name) \(value)")
        }
    }

    /// Covering a range is a question about every key in it: compared with one about each.
    @Test func rangesAreCoveredByAllRolesTogether() {
        let keys: [[UInt8]] = (0..<8).map { [UInt8(97 + $0)] }
        var state: UInt64 = 42
        func random(_ count: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % count
        }
        for _ in 0..<2000 {
            let permissions = (0..<random(5)).map { _ in
                let first = random(keys.count)
                switch random(4) {
                case 0: return AuthPermission(.read, key: keys[first])
                case 1: return AuthPermission(.read, key: keys[first], rangeEnd: [0])
                default:
                    let end = min(first + 1 + random(3), keys.count - 1)
                    return end > first
                        ? AuthPermission(.read, key: keys[first], rangeEnd: keys[end])
                        : AuthPermission(.read, key: keys[first], rangeEnd: [0])
                }
            }
            // Between any two letters lie keys that a single letter's permission does not have.
            let points: [[UInt8]] = keys.flatMap { key -> [[UInt8]] in [key, key + [0], key + [5]] } + [[200]]
            func isIn(_ key: [UInt8]) -> Bool {
                permissions.contains { permission in
                    switch permission.rangeEnd {
                    case []: permission.key == key
                    case [0]: !key.lexicographicallyPrecedes(permission.key)
                    default:
                        !key.lexicographicallyPrecedes(permission.key)
                            && key.lexicographicallyPrecedes(permission.rangeEnd)
                    }
                }
            }
            let set = KeyIntervals(permissions)
            let key: [UInt8] = points[random(points.count - 1)]
            let end: [UInt8] = random(5) == 0 ? [0] : points[random(points.count)]
            #expect(set.contains(key) == isIn(key))
            guard end == [0] || key.lexicographicallyPrecedes(end) else {
                #expect(set.contains(key, to: end) == isIn(key))
                continue
            }
            let inside = points.filter {
                !$0.lexicographicallyPrecedes(key) && (end == [0] || $0.lexicographicallyPrecedes(end))
            }
            #expect(set.contains(key, to: end) == inside.allSatisfy(isIn), "\(permissions) \(key) \(end)")
        }
    }
}
