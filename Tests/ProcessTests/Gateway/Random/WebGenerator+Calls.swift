import T4Conformance

// The calls and their messages. Few keys: etcd's sort of more than six is not stable (`KnownDifference`).

extension WebGenerator {
    private static let keys = ["a", "ab", "b"].map { Array($0.utf8) } + [[0xff, 0xfe, 0xfb]]
    /// Each line has one lease, so that no call waits.
    private static let lines: [(name: String, lease: Int64)] = [("l", 7), ("e", 8)]
    private static let names = ["u", "v\"<&>\u{1}", "w\u{7f}\u{2028}", ""]

    mutating func call(mayBeEndless: Bool) -> Call {
        if user != nil { return callOfUser() }
        switch generator.below(1000) {
        case 0..<220: return Call(path: "kv/put", body: put())
        case 220..<430: return Call(path: "kv/range", body: range())
        case 430..<500: return Call(path: "kv/deleterange", body: .object(keyRange() + flag("prev_kv")))
        case 500..<620: return Call(path: "kv/txn", body: txn(depth: 0))
        case 620..<640:
            let members = [("revision", JSONPiece.integer(Int64(1 + generator.below(30))))] + flag("physical")
            return Call(path: "kv/compaction", body: .object(members), isStrict: true)
        case 640..<740: return lease()
        case 740..<800: return maintenance()
        case 800..<880: return auth()
        case 880..<940: return line()
        case _ where !mayBeEndless: return Call(path: "kv/range", body: range())
        default: return Call(path: "watch", body: watch(), isStrict: true, isEndless: true)
        }
    }

    /// What etcd 3.5.1 asks a login for.
    private mutating func callOfUser() -> Call {
        user = generator.one(of: ["root", "root", "alice", "alice", "alice", "nobody"])
        switch generator.below(10) {
        case 0..<3: return Call(path: "kv/put", body: .object([key(), ("value", .bytes([0x78]))]), isStrict: true)
        case 3..<6: return Call(path: "kv/range", body: range())
        case 6: return Call(path: "kv/deleterange", body: .object(keyRange() + flag("prev_kv")))
        case 7: return Call(path: "auth/user/list", body: .object([]))
        case 8:
            return Call(path: "auth/role/get", body: .object([("role", .text(generator.one(of: ["few", "root"])))]))
        default:
            let name = generator.one(of: ["alice", "root", "nix"])
            // etcd 3.5.1 lets nobody ask for the user without a name.
            return Call(path: "auth/user/get", body: .object([("name", .text(name))]), isStrict: true)
        }
    }

    // MARK: Keys

    private mutating func flag(_ name: String) -> [(name: String, value: JSONPiece)] {
        chance(25) ? [(name, .flag(chance(80)))] : []
    }

    private mutating func key() -> (name: String, value: JSONPiece) {
        ("key", .bytes(chance(1) ? [] : generator.one(of: Self.keys)))
    }

    private mutating func keyRange() -> [(name: String, value: JSONPiece)] {
        if chance(60) { return [key()] }
        if chance(30) { return [("key", .bytes([0])), ("range_end", .bytes([0]))] }
        return [("key", .bytes([0x61])), ("range_end", .bytes(generator.one(of: [[0x62], [0x63], [0xff, 0xff, 0]])))]
    }

    private mutating func value() -> [UInt8] {
        switch generator.below(30) {
        case 0..<6: return []
        case 6..<20: return generator.one(of: ["x", "y", "10", "9"].map { Array($0.utf8) })
        case 20..<28: return (0..<generator.below(12)).map { _ in UInt8.random(in: 0...255, using: &generator.random) }
        default: return Array(repeating: 0x76, count: generator.below(3000))
        }
    }

    private mutating func leaseID() -> Int64 { generator.one(of: [0, 0, 0, 0, 1, 2, 7, 99, -5]) }

    private mutating func put() -> JSONPiece {
        let ignoresValue = chance(5)
        var members = [key()]
        if !ignoresValue || chance(10) { members.append(("value", .bytes(value()))) }
        if chance(15) { members.append(("lease", .integer(leaseID()))) }
        members += flag("prev_kv")
        if ignoresValue { members.append(("ignore_value", .flag(true))) }
        if chance(4) { members.append(("ignore_lease", .flag(true))) }
        return .object(members)
    }

    mutating func range() -> JSONPiece {
        var members = keyRange()
        if chance(30) { members.append(("limit", .integer(generator.one(of: [0, 1, 2, 100, -1])))) }
        if chance(25) { members.append(("revision", .integer(revision()))) }
        if chance(25) {
            let (name, number) = generator.one(of: [("NONE", 0), ("ASCEND", 1), ("DESCEND", 2)])
            members.append(("sort_order", .name(name, number)))
        }
        if chance(25) {
            let (name, number) = generator.one(of: [
                ("KEY", 0), ("VERSION", 1), ("CREATE", 2), ("MOD", 3), ("VALUE", 4),
            ])
            members.append(("sort_target", .name(name, number)))
        }
        members += flag("serializable") + flag("keys_only") + flag("count_only")
        for name in ["min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"]
        where chance(5) { members.append((name, .integer(revision()))) }
        return .object(members)
    }

    private mutating func revision() -> Int64 {
        chance(5) ? generator.one(of: [-1, 1_000_000, .max]) : Int64(generator.below(60))
    }

    // MARK: Transactions

    private mutating func txn(depth: Int) -> JSONPiece {
        var members: [(name: String, value: JSONPiece)] = []
        let nests = depth > 0 || chance(25)
        if chance(80) { members.append(("compare", .array((0..<generator.below(3)).map { _ in compare() }))) }
        for branch in ["success", "failure"] where chance(80) {
            var operations: [JSONPiece] = []
            for _ in 0..<generator.below(3) { operations.append(operation(depth: depth, nests: nests)) }
            members.append((branch, .array(operations)))
        }
        return .object(members)
    }

    /// Deletions of one key only and not beside another transaction (`KnownDifference`).
    private mutating func operation(depth: Int, nests: Bool) -> JSONPiece {
        switch generator.below(20) {
        case 0..<8: .object([("request_put", put())])
        case 8..<14: .object([("request_range", range())])
        case 14..<17 where !nests: .object([("request_delete_range", .object([key()]))])
        case 14..<19 where nests && depth < 2: .object([("request_txn", txn(depth: depth + 1))])
        case 19 where chance(20): .object([])
        default: .object([("request_range", .object([key()]))])
        }
    }

    private mutating func compare() -> JSONPiece {
        let (target, field, number) = generator.one(of: [
            ("VERSION", "version", 0), ("CREATE", "create_revision", 1), ("MOD", "mod_revision", 2),
            ("VALUE", "value", 3),
            ("LEASE", "lease", 4),
        ])
        var members = chance(80) ? [key()] : keyRange()
        if chance(90) {
            let (name, number) = generator.one(of: [("EQUAL", 0), ("GREATER", 1), ("LESS", 2), ("NOT_EQUAL", 3)])
            members.append(("result", .name(name, number)))
        }
        members.append(("target", .name(target, number)))
        switch field {
        case "value": members.append((field, .bytes(value())))
        case "lease": members.append((field, .integer(leaseID())))
        default: members.append((field, .integer(Int64(generator.below(8)))))
        }
        return .object(members)
    }

    // MARK: The rest

    private mutating func lease() -> Call {
        let id = (name: "ID", value: JSONPiece.integer(generator.one(of: [1, 2, 7, 8, 99, -5])))
        switch generator.below(12) {
        case 0..<4:
            // Far apart, so that they would run out in the same order.
            let ttl = (
                name: "TTL", value: JSONPiece.integer(generator.one(of: [1000, 3000, 9000, 100_000, 9_000_000_001]))
            )
            return Call(path: "lease/grant", body: .object([ttl, id]), isStrict: true)
        case 4: return Call(path: generator.one(of: ["lease/revoke", "kv/lease/revoke"]), body: .object([id]))
        case 5..<8:
            let path = generator.one(of: ["lease/timetolive", "kv/lease/timetolive"])
            return Call(path: path, body: .object([id] + flag("keys")))
        case 8..<10: return Call(path: "lease/keepalive", body: .object([id]))
        default: return Call(path: generator.one(of: ["lease/leases", "kv/lease/leases"]), body: .object([]))
        }
    }

    private mutating func maintenance() -> Call {
        let unknown = JSONPiece.object([("ID", .integer(12345))])
        switch generator.below(16) {
        case 0..<2: return Call(path: "cluster/member/list", body: .object(flag("linearizable")))
        case 2: return Call(path: "cluster/member/remove", body: unknown, isStrict: true)
        case 3: return Call(path: "cluster/member/promote", body: unknown, isStrict: true)
        case 4:
            let update = JSONPiece.object([
                ("ID", .integer(12345)), ("peerURLs", .array([.text("http://127.0.0.1:1")])),
            ])
            return Call(path: "cluster/member/update", body: update, isStrict: true)
        case 5:
            return Call(
                path: "cluster/member/add", body: .object([("peerURLs", .array([.text("ftp://x")]))]), isStrict: true)
        case 6..<8: return Call(path: "maintenance/status", body: .object([]))
        case 8: return Call(path: "maintenance/alarm", body: .object([("action", .text("GET"))]), isStrict: true)
        case 9: return Call(path: "maintenance/defragment", body: .object([]))
        case 10: return Call(path: "maintenance/hash", body: .object([]))
        case 11..<13: return Call(path: "maintenance/snapshot", body: .object([]))
        case 13:
            let target = JSONPiece.object([("targetID", .integer(12345))])
            return Call(path: "maintenance/transfer-leadership", body: target)
        default:
            let version = generator.one(of: ["", "x", "3", "3.x", "3.5.1.2", "a\u{7f}<"])
            let (name, number) = generator.one(of: [("VALIDATE", 0), ("ENABLE", 1), ("CANCEL", 2)])
            let body = JSONPiece.object([("action", .name(name, number)), ("version", .text(version))])
            return Call(path: "maintenance/downgrade", body: body, isStrict: true)
        }
    }

    private mutating func auth() -> Call {
        let (user, role) = (generator.one(of: Self.names), generator.one(of: Self.names))
        let both: [(name: String, value: JSONPiece)] = [("name", .text(user)), ("role", .text(role))]
        let range: [(name: String, value: JSONPiece)] = [
            ("key", .bytes([0x61])), ("range_end", .bytes(generator.one(of: [[0x62], [0]]))),
        ]
        switch generator.below(20) {
        case 0..<2:
            var members = [both[0], ("password", .text(chance(80) ? "p" : ""))]
            if chance(20) { members.append(("options", .object(flag("no_password")))) }
            return Call(path: "auth/user/add", body: .object(members))
        case 2..<4: return Call(path: "auth/role/add", body: .object([both[0]]))
        case 4..<6: return Call(path: "auth/user/get", body: .object([both[0]]))
        case 6..<8: return Call(path: "auth/role/get", body: .object([both[1]]))
        case 8: return Call(path: "auth/user/list", body: .object([]))
        case 9: return Call(path: "auth/role/list", body: .object([]))
        case 10: return Call(path: "auth/user/delete", body: .object([both[0]]))
        case 11: return Call(path: "auth/role/delete", body: .object([both[1]]))
        case 12..<14: return Call(path: "auth/user/grant", body: .object([("user", .text(user)), both[1]]))
        case 14: return Call(path: "auth/user/revoke", body: .object(both))
        case 15..<17:
            let (name, number) = generator.one(of: [("READ", 0), ("WRITE", 1), ("READWRITE", 2)])
            let perm = JSONPiece.object([("permType", .name(name, number))] + range)
            return Call(path: "auth/role/grant", body: .object([both[0], ("perm", perm)]), isStrict: true)
        case 17: return Call(path: "auth/role/revoke", body: .object([both[1]] + range))
        case 18: return Call(path: "auth/status", body: .object([]))
        default:
            let members = [both[0], (name: "password", value: JSONPiece.text("p"))]
            return Call(
                path: generator.one(of: ["auth/user/changepw", "auth/authenticate", "auth/disable"]),
                body: .object(members))
        }
    }

    private mutating func line() -> Call {
        let (name, lease) = generator.one(of: Self.lines)
        let nameField = (name: "name", value: JSONPiece.bytes(Array(name.utf8)))
        let key = (name: "key", value: JSONPiece.bytes(Array("\(name)/\(lease)".utf8)))
        let leaseField = (name: "lease", value: JSONPiece.integer(lease))
        let leader = JSONPiece.object([
            nameField, key, ("rev", .integer(Int64(generator.below(40)))), leaseField,
        ])
        switch generator.below(10) {
        case 0..<3: return Call(path: "lock/lock", body: .object([nameField, leaseField]), isStrict: true)
        case 3..<5: return Call(path: "lock/unlock", body: .object([key]))
        case 5..<7:
            let body = JSONPiece.object([nameField, leaseField, ("value", .bytes(value()))])
            return Call(path: "election/campaign", body: body, isStrict: true)
        case 7: return Call(path: "election/leader", body: .object([nameField]))
        case 8:
            let body = JSONPiece.object([("leader", leader), ("value", .bytes(value()))])
            return Call(path: "election/proclaim", body: body, isStrict: true)
        default: return Call(path: "election/resign", body: .object([("leader", leader)]), isStrict: true)
        }
    }

    private mutating func watch() -> JSONPiece {
        var members = keyRange()
        if chance(40) { members.append(("start_revision", .integer(Int64(1 + generator.below(60))))) }
        members += flag("progress_notify") + flag("prev_kv") + flag("fragment")
        if chance(20) {
            let (name, number) = generator.one(of: [("NOPUT", 0), ("NODELETE", 1)])
            members.append(("filters", .array([.name(name, number)])))
        }
        if chance(20) { members.append(("watch_id", .integer(generator.one(of: [1, 5, -7, -1])))) }
        if chance(5) { members[0] = ("key", .bytes([0x7a])) }
        return .object([("create_request", .object(members))])
    }
}
