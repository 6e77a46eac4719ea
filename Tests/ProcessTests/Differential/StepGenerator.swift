import T4Conformance

/// Makes random steps. The same seed makes the same script.
struct StepGenerator: Sendable {
    var random: SeededGenerator
    let keys: [[UInt8]]
    /// False where there are more than six keys, one of them that of the run itself: etcd's sort of those is not stable
    /// (`KnownDifference`).
    let sortsByAll: Bool
    /// False where ranges that end before they begin are left out.
    private let hasEmptyRanges: Bool
    /// Of the ranges of permissions.
    let rangeSeed: UInt64

    init(seed: UInt64, hasEmptyRanges: Bool = true) {
        random = SeededGenerator(seed: seed)
        self.hasEmptyRanges = hasEmptyRanges
        rangeSeed = seed
        sortsByAll = random.next() % 4 != 0
        let few = ["a", "a\0", "ab", "b", "b/1"].map { Array($0.utf8) }
        let many =
            (0..<24).map { Array("b/\($0)".utf8) } + [[0], [0xff], [0xff, 0xff], [0x61, 0xff], [0x61, 0xff, 0x30]]
        keys = sortsByAll ? few : few + many
    }

    /// A script of about `count` steps.
    static func script(seed: UInt64, count: Int) -> [Step] {
        var generator = StepGenerator(seed: seed)
        var steps: [Step] = []
        while steps.count < count { steps += generator.next() }
        return steps + epilogue
    }

    /// Everything that is left at the end, now and before.
    private static var epilogue: [Step] {
        ["$now", "$now-1", "$now-3", "$now-10", "$now-50", "$now-200", "$compacted"].map { revision in
            Step(.range, everything + [TextField("revision", revision)])
        } + [Step(.leaseLeases)]
            + leaseNames.map { Step(.leaseTimeToLive, [TextField("ID", $0), TextField("keys", true)]) }
            + [
                Step(.compact, [TextField("revision", "$now"), TextField("physical", true)]),
                Step(.range, everything),
            ]
    }

    private static let everything = [TextField("key", bytes: [0]), TextField("range_end", bytes: [0])]

    /// Ids that the client chooses, and names for those that the server does.
    static let leaseNames = ["1", "2", "9223372036854775807", "-5", "$a", "$b", "$c"]

    mutating func next() -> [Step] {
        switch random.next() % 1000 {
        case 0..<330: [Step(.put, put())]
        case 330..<530: [Step(.range, range(isNested: false))]
        case 530..<620: [Step(.deleteRange, deleteRange())]
        case 620..<780: [Step(.txn, txn(depth: 1))]
        case 780..<800: [compact()]
        case 800..<880: lease()
        case 880..<965: [watch()]
        case 965..<970: [Step(.watchEnd, stream: stream())]
        default: [maintenance()]
        }
    }

    // MARK: Values

    mutating func chance(_ percent: UInt64) -> Bool { random.next() % 100 < percent }

    /// - Returns: 0 ..< `limit`.
    mutating func below(_ limit: Int) -> Int { Int(random.next() % UInt64(limit)) }

    mutating func one<Element>(of elements: [Element]) -> Element {
        elements[Int(random.next() % UInt64(elements.count))]
    }

    mutating func key() -> [UInt8] { chance(1) ? [] : one(of: keys) }

    /// Of a range that begins with `key`; empty for none.
    mutating func rangeEnd(of key: [UInt8]) -> [UInt8] {
        let end = anyRangeEnd(of: key)
        return hasEmptyRanges || end == [0] || key.lexicographicallyPrecedes(end) ? end : []
    }

    private mutating func anyRangeEnd(of key: [UInt8]) -> [UInt8] {
        switch random.next() % 20 {
        case 0..<7: []
        case 7..<12: key.last.map { $0 == 0xff ? [0] : key.dropLast() + [$0 + 1] } ?? [0]
        case 12..<14: [0]
        case 14..<18: one(of: keys)
        case 18: key
        default: key + [0]
        }
    }

    mutating func keyRange() -> [TextField] {
        let key = key()
        let end = rangeEnd(of: key)
        return [TextField("key", bytes: key)] + (end.isEmpty ? [] : [TextField("range_end", bytes: end)])
    }

    mutating func value() -> String {
        switch random.next() % 200 {
        case 0..<30: "\"\""
        case 30..<150: "\"\(one(of: ["x", "y", "z", "10", "9"]))\""
        case 150..<190: "\"\(random.next() % 100)\\000\\377\""
        case 190..<198: "\"{v*\(random.next() % 3000)}\""
        default: "\"{w*\(random.next() % 300_000)}\""
        }
    }

    /// A revision that is likely to mean something.
    mutating func revision() -> String {
        switch random.next() % 20 {
        case 0..<12: "$now-\(random.next() % 12)"
        case 12..<14: "$now-\(random.next() % 200)"
        case 14..<16: "$compacted"
        case 16: "$compacted-1"
        case 17: "$compacted+1"
        case 18: "$now+1"
        default: "$now+\(random.next() % 1000)"
        }
    }

    mutating func leaseID() -> String { chance(8) ? "77" : one(of: StepGenerator.leaseNames) }

    mutating func flag(_ name: String, percent: UInt64) -> [TextField] {
        chance(percent) ? [TextField(name, true)] : []
    }

    mutating func stream() -> Int { Int(random.next() % 3) }
}
