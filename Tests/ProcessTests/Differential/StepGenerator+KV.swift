import T4Conformance

// Reads, writes, transactions and compactions.

extension StepGenerator {
    mutating func put() -> [TextField] {
        var fields = [TextField("key", bytes: key())]
        let ignoresValue = chance(6)
        if !ignoresValue || chance(10) { fields.append(TextField("value", value())) }
        let ignoresLease = chance(6)
        if ignoresLease ? chance(10) : chance(20) { fields.append(TextField("lease", leaseID())) }
        fields += flag("prev_kv", percent: 30)
        if ignoresValue { fields.append(TextField("ignore_value", true)) }
        if ignoresLease { fields.append(TextField("ignore_lease", true)) }
        return chance(1) && chance(15) ? tooLarge() : fields
    }

    /// A value over the limit of requests, or of messages.
    private mutating func tooLarge() -> [TextField] {
        [
            TextField("key", bytes: "a".utf8),
            TextField("value", "\"{x*\(one(of: [1_572_860, 1_600_000, 2_200_000]))}\""),
        ]
    }

    mutating func deleteRange() -> [TextField] { keyRange() + flag("prev_kv", percent: 40) }

    mutating func range(isNested: Bool) -> [TextField] {
        var fields = chance(10) ? [TextField("key", bytes: [0]), TextField("range_end", bytes: [0])] : keyRange()
        if chance(40) { fields.append(TextField("limit", one(of: [0, 1, 2, 3, 5, 100, -1]))) }
        // One read of a revision that cannot be read refuses a whole transaction.
        if chance(isNested ? 8 : 45) { fields.append(TextField("revision", chance(3) ? "-1" : revision())) }
        let orders = ["NONE", "ASCEND", "DESCEND"]
        if chance(40) {
            fields.append(TextField("sort_order", !isNested && chance(2) ? "9" : one(of: orders)))
        }
        if chance(40) {
            let targets = sortsByAll ? ["KEY", "VERSION", "CREATE", "MOD", "VALUE"] : ["KEY"]
            fields.append(TextField("sort_target", one(of: targets)))
        }
        fields += flag("serializable", percent: 20) + flag("keys_only", percent: 15) + flag("count_only", percent: 10)
        for name in ["min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"]
        where chance(8) {
            fields.append(TextField(name, revision()))
        }
        return fields
    }

    mutating func compact() -> Step {
        // Not to 0: `KnownDifference` tells why.
        let revision = chance(10) ? one(of: ["-1", "$now+1", "$compacted"]) : "$now-\(random.next() % 40)"
        return Step(.compact, [TextField("revision", revision)] + flag("physical", percent: 50))
    }

    // MARK: Transactions

    mutating func txn(depth: Int) -> [TextField] {
        if depth == 1 && chance(1) { return tooManyOperations() }
        var fields: [TextField] = []
        for _ in 0..<random.next() % 4 { fields.append(TextField("compare", compare())) }
        for branch in ["success", "failure"] {
            for _ in 0..<random.next() % 4 {
                if chance(1) && chance(30) {
                    fields.append(TextField(branch, []))
                } else {
                    fields.append(TextField(branch, [operation(depth: depth)]))
                }
            }
        }
        return fields
    }

    private mutating func operation(depth: Int) -> TextField {
        switch random.next() % 20 {
        case 0..<8: TextField("request_put", put())
        case 8..<13: TextField("request_range", range(isNested: true))
        case 13..<16: TextField("request_delete_range", deletionInTxn())
        default: depth < 3 ? TextField("request_txn", txn(depth: depth + 1)) : TextField("request_put", put())
        }
    }

    /// Not from a key on: `KnownDifference` tells why.
    private mutating func deletionInTxn() -> [TextField] {
        deleteRange().filter { !($0.name == "range_end" && $0.scalar == "\"\\000\"") }
    }

    private mutating func compare() -> [TextField] {
        let targets: [(name: String, field: String)] = [
            ("VERSION", "version"), ("CREATE", "create_revision"), ("MOD", "mod_revision"), ("VALUE", "value"),
            ("LEASE", "lease"),
        ]
        let target = one(of: targets)
        var fields = keyRange()
        if !chance(30) { fields.removeAll { $0.name == "range_end" } }
        let results = ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"]
        fields.append(TextField("result", chance(1) ? "9" : one(of: results)))
        fields.append(TextField("target", chance(1) ? "9" : target.name))
        // Sometimes a value for another target, or none.
        let given = chance(2) ? one(of: targets) : target
        switch given.field {
        case _ where chance(2): break
        case "version": fields.append(TextField("version", random.next() % 4))
        case "value": fields.append(TextField("value", value()))
        case "lease": fields.append(TextField("lease", chance(50) ? "0" : leaseID()))
        default: fields.append(TextField(given.field, chance(30) ? "0" : revision()))
        }
        return fields
    }

    private mutating func tooManyOperations() -> [TextField] {
        let count = one(of: [128, 129])
        let key = TextField("key", bytes: "a".utf8)
        switch random.next() % 3 {
        case 0: return Array(repeating: TextField("compare", [key]), count: count)
        case 1: return Array(repeating: TextField("success", [TextField("request_range", [key])]), count: count)
        default:
            // None of these is written: the other branch runs.
            let writes = (0..<count).map { number in
                let write = [TextField("key", bytes: "b/\(number)".utf8), TextField("value", "\"m\"")]
                return TextField("failure", [TextField("request_put", write)])
            }
            let always = [key, TextField("result", "GREATER"), TextField("version", -1)]
            return [TextField("compare", always)] + writes
        }
    }
}
