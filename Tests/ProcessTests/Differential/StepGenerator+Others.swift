import T4Conformance

// Leases, watches and what is left.

extension StepGenerator {
    mutating func lease() -> [Step] {
        let id = TextField("ID", leaseID())
        switch random.next() % 20 {
        case 0..<6:
            // Far apart, so that the order in which they run out is the same on both servers.
            let lifetimes = ["1000", "3000", "9000", "100000", "9000000000", "9000000001"]
            return [Step(.leaseGrant, [TextField("TTL", one(of: lifetimes)), id])]
        case 6:
            // One that would run out soon is gone before it can.
            return [
                Step(.leaseGrant, [TextField("TTL", one(of: ["1", "0", "-1", "2", "3"])), TextField("ID", 4711)]),
                Step(.leaseTimeToLive, [TextField("ID", 4711)]),
                Step(.leaseRevoke, [TextField("ID", 4711)]),
            ]
        case 7..<10: return [Step(.leaseRevoke, [id])]
        case 10..<15: return [Step(.leaseTimeToLive, [id] + flag("keys", percent: 80))]
        case 15..<18: return [Step(.keepAlive, [id])]
        default: return [Step(.leaseLeases)]
        }
    }

    mutating func watch() -> Step {
        let stream = stream()
        // -1 is for those that are refused.
        let ids: [Int64] = [0, 0, 0, 1, 2, 3, 5, -7, 100]
        switch random.next() % 20 {
        case 0..<12:
            var fields = keyRange()
            if chance(55) { fields.append(TextField("start_revision", revision())) }
            fields += flag("prev_kv", percent: 50) + flag("progress_notify", percent: 20)
            for filter in ["NOPUT", "NODELETE"] where chance(12) { fields.append(TextField("filters", filter)) }
            let id = one(of: ids)
            if id != 0 { fields.append(TextField("watch_id", id)) }
            fields += flag("fragment", percent: 20)
            return Step(.watch, stream: stream, [TextField("create_request", fields)])
        case 12..<17:
            let id = TextField("watch_id", one(of: ids))
            return Step(.watch, stream: stream, [TextField("cancel_request", [id])])
        default: return Step(.watch, stream: stream, [TextField("progress_request", [])])
        }
    }

    mutating func maintenance() -> Step {
        switch random.next() % 20 {
        case 0..<3: Step(.memberList, flag("linearizable", percent: 50))
        case 3: Step(.memberRemove, [TextField("ID", 12345)])
        case 4: Step(.memberPromote, [TextField("ID", 12345)])
        case 5..<8: Step(.status)
        case 8: Step(.alarm, [TextField("action", one(of: ["GET", "DEACTIVATE"])), TextField("alarm", "NOSPACE")])
        case 9: Step(.defragment)
        case 10: Step(.hash)
        case 11..<15: Step(.hashKV, chance(30) ? [] : [TextField("revision", revision())])
        case 15: Step(.moveLeader, [TextField("targetID", 12345)])
        case 16: Step(.authStatus)
        case 17: Step(.authDisable)
        case 18: Step(.authenticate, [TextField("name", "\"root\""), TextField("password", "\"x\"")])
        default: chance(50) ? Step(.userList) : Step(.roleList)
        }
    }
}
