import T4Conformance

// Users, roles, and calls in their names.

extension StepGenerator {
    private static let users = ["root", "alice", "bob", "eve"]
    private static let roles = ["root", "reader", "writer"]

    /// A script of about `count` steps. It begins with a root who can log in and ends with what root sees.
    static func authScript(seed: UInt64, count: Int) -> [Step] {
        // Whether one may read nothing depends on how etcd keeps what one may read (`KnownDifference`).
        var generator = StepGenerator(seed: seed, hasEmptyRanges: false)
        var steps = beginning
        while steps.count < count { steps += generator.nextOfUsers() }
        return steps + authEpilogue
    }

    private static let beginning =
        users.map { Step(.userAdd, [TextField("name", bytes: $0.utf8), TextField("password", bytes: $0.utf8)]) } + [
            Step(.userGrantRole, [TextField("user", "\"root\""), TextField("role", "\"root\"")]),
            Step(.roleAdd, [TextField("name", "\"reader\"")]),
            Step(.userGrantRole, [TextField("user", "\"alice\""), TextField("role", "\"reader\"")]),
        ]

    private static var authEpilogue: [Step] {
        [Step(.authStatus, as: "root"), Step(.authDisable, as: "root"), Step(.userList), Step(.roleList)]
            + users.map { Step(.userGet, [TextField("name", "\"\($0)\"")]) }
            + roles.map { Step(.roleGet, [TextField("role", "\"\($0)\"")]) }
            + [Step(.range, [TextField("key", bytes: [0]), TextField("range_end", bytes: [0])]), Step(.leaseLeases)]
    }

    private mutating func nextOfUsers() -> [Step] {
        switch random.next() % 100 {
        case 0..<30: [administration()]
        case 30..<42: login()
        case 42..<45: [Step(.authEnable, as: caller()), StepGenerator.loginOfRoot]
        case 45: [Step(.authDisable, as: caller())]
        default:
            next().filter { !$0.verb.isForStream }.map { step in
                var step = step
                // Where etcd 3.5.1 asks for nobody, the databases part (`KnownDifference`).
                let isUnguarded =
                    [.leaseGrant, .leaseRevoke, .keepAlive, .compact].contains(step.verb)
                    || step.fields.text.contains("request_txn")
                    || step.verb == .txn && ["prev_kv", "lease"].contains { step.fields.text.contains($0) }
                step.user = isUnguarded && chance(99) ? "root" : caller()
                return step
            }
        }
    }

    private static let loginOfRoot = Step(
        .authenticate, [TextField("name", "\"root\""), TextField("password", "\"root\"")])

    /// Whose token goes with a call; one that nobody has and none at all are among them.
    private mutating func caller() -> String? {
        switch random.next() % 20 {
        case 0..<6: "root"
        case 6..<18: one(of: ["alice", "alice", "bob", "eve"])
        case 18: "nobody"
        default: nil
        }
    }

    private mutating func login() -> [Step] {
        let name = chance(3) ? "" : chance(5) ? "nobody" : one(of: StepGenerator.users)
        // A user's password is its name.
        let password = chance(2) ? "" : chance(3) ? "wrong" : name
        let fields = [TextField("name", bytes: name.utf8), TextField("password", bytes: password.utf8)]
        return [Step(.authenticate, fields)]
    }

    private mutating func administration() -> Step {
        // Mostly somebody who may.
        let caller = chance(85) ? "root" : caller()
        let user = chance(3) ? "" : chance(60) ? one(of: ["alice", "bob", "eve"]) : one(of: StepGenerator.users)
        let role = chance(3) ? "" : chance(80) ? one(of: ["reader", "writer"]) : one(of: StepGenerator.roles)
        let (name, roleName) = (TextField("name", bytes: user.utf8), TextField("role", bytes: role.utf8))
        let password = TextField("password", bytes: (chance(2) ? "" : user).utf8)
        switch random.next() % 40 {
        case 0..<6: return Step(.userAdd, as: caller, [name, password] + noPassword())
        case 6: return Step(.userDelete, as: caller, [name])
        case 7..<9: return Step(.userChangePassword, as: caller, [name, password])
        case 9..<11: return Step(.userGet, as: chance(50) ? caller : self.caller(), [name])
        case 11: return Step(.userList, as: caller)
        case 12..<18: return Step(.userGrantRole, as: caller, [TextField("user", bytes: user.utf8), roleName])
        case 18..<20: return Step(.userRevokeRole, as: caller, [name, roleName])
        case 20..<24: return Step(.roleAdd, as: caller, [TextField("name", bytes: role.utf8)])
        case 24..<26: return Step(.roleGet, as: chance(50) ? caller : self.caller(), [roleName])
        case 26: return Step(.roleList, as: caller)
        case 27: return Step(.roleDelete, as: caller, [roleName])
        case 28..<37:
            return Step(.roleGrantPermission, as: caller, [TextField("name", bytes: role.utf8)] + permission())
        case 37..<39: return Step(.roleRevokePermission, as: caller, [roleName] + permittedRange())
        default: return Step(.authStatus, as: self.caller())
        }
    }

    private mutating func noPassword() -> [TextField] {
        chance(5) ? [TextField("options", [TextField("no_password", true)])] : []
    }

    private mutating func permission() -> [TextField] {
        guard !chance(2) else { return [] }
        let type = TextField("permType", one(of: ["READ", "WRITE", "READWRITE", "READWRITE"]))
        let fields = [type] + permittedRange()
        return [TextField("perm", fields)]
    }

    /// A range of one key at least (`KnownDifference`), and for each key one only: etcd sorts what has the same key in no
    /// order, and may keep a range twice then.
    private mutating func permittedRange() -> [TextField] {
        let key = one(of: keys)
        let end: [UInt8] =
            switch key.reduce(rangeSeed, { $0 &* 31 &+ UInt64($1) }) % 4 {
            case 0: [0]
            case 1: key + [1]
            case 2: [0xff, 0xff, 0xff]
            default: []
            }
        return [TextField("key", bytes: key)] + (end.isEmpty ? [] : [TextField("range_end", bytes: end)])
    }
}
