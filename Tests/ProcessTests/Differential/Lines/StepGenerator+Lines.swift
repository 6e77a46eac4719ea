import T4Conformance

// Locks and elections of a few sessions, which come and go.

extension StepGenerator {
    private static let lineNames = ["l", "e"]
    /// 0x99 is never granted.
    private static let sessions: [Int64] = [0x71, 0x72, 0x73, 0x74]
    private static let calls = 1...6

    /// A script of `count` steps. It ends with what is left.
    static func lineScript(seed: UInt64, count: Int) -> [Step] {
        var generator = StepGenerator(seed: seed)
        let grants = sessions.map { Step(.leaseGrant, [TextField("TTL", 100_000), TextField("ID", $0)]) }
        let steps = (0..<count).map { _ in generator.nextOfLines() }
        let everything = [TextField("key", bytes: [0]), TextField("range_end", bytes: [0])]
        return grants + steps + [Step(.range, everything), Step(.leaseLeases)]
    }

    private mutating func nextOfLines() -> Step {
        let session = chance(3) ? 0x99 : one(of: StepGenerator.sessions)
        let (name, lease) = (one(of: StepGenerator.lineNames), TextField("lease", session))
        let nameField = TextField("name", bytes: name.utf8)
        let key = TextField("key", bytes: "\(name)/\(String(session, radix: 16))".utf8)
        let value = TextField("value", bytes: one(of: ["", "x", "y"]).utf8)
        let call = one(of: Array(StepGenerator.calls))
        // Mostly as it is, for which `LineRun` knows the number.
        let leader = TextField(
            "leader", [nameField, key, TextField("rev", chance(90) ? "$created" : "1"), lease])
        switch random.next() % 100 {
        case 0..<22: return Step(.lock, stream: call, [nameField, lease])
        case 22..<36: return Step(.campaign, stream: call, [nameField, lease, value])
        case 36..<48: return Step(.unlock, [key])
        case 48..<56: return Step(.resign, [leader])
        case 56..<65: return Step(.proclaim, [leader, value])
        case 65..<70: return Step(.leader, [nameField])
        case 70..<76: return Step(.observe, stream: call, [nameField])
        case 76..<87: return Step(.cancel, stream: call)
        case 87..<90: return Step(.deleteRange, [key])
        case 90:
            return Step(.deleteRange, [TextField("key", bytes: "l/".utf8), TextField("range_end", bytes: "l0".utf8)])
        case 91..<95: return Step(.leaseRevoke, [TextField("ID", session)])
        default:
            return Step(.leaseGrant, [TextField("TTL", 100_000), TextField("ID", one(of: StepGenerator.sessions))])
        }
    }
}
