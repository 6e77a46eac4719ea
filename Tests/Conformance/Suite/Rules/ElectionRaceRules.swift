import T4Protocols

extension ElectionRules {
    /// Several at once.
    static let raceRules = [
        ElectionRule("of 16 campaigns at once exactly one wins") { subject in
            try await subject.withTwo { one, other in
                var dead: LeaderRecord?
                for round in 1...8 {
                    let replaced = dead
                    let won = try await winners(16) { candidate -> LeaderRecord? in
                        let election = candidate.isMultiple(of: 2) ? one : other
                        let record = LeaderRecord.made(UInt64(round), by: "n\(candidate)")
                        guard case .won(let held) = try await election.campaign(with: record, replacing: replaced)
                        else { return nil }
                        return held.record
                    }
                    try expectEqual(won.count, 1, "winners in round \(round)")
                    dead = try await other.current()
                    try expectEqual(dead, won.first, "the record after round \(round)")
                }
            }
        },
        ElectionRule("of updates and campaigns at once exactly one gets through") { subject in
            try await subject.withTwo { one, other in
                var held = try await one.win(.made(1), replacing: nil)
                for round in 1...8 {
                    let before = held
                    let won = try await winners(12) { writer -> Leadership? in
                        let election = writer.isMultiple(of: 2) ? one : other
                        if writer.isMultiple(of: 3) {
                            let record = LeaderRecord.made(before.record.term + 1, by: "n\(writer)")
                            guard
                                case .won(let held) = try await election.campaign(
                                    with: record, replacing: before.record)
                            else { return nil }
                            return held
                        }
                        do {
                            return try await election.update(before, to: before.record.next())
                        } catch let error as ElectionError where error.code == .fenced {
                            return nil
                        }
                    }
                    try expectEqual(won.count, 1, "winners in round \(round)")
                    held = won[0]
                    try await expectEqual(other.current(), held.record, "the record after round \(round)")
                }
            }
        },
    ]

    private static func winners<Won: Sendable>(
        _ count: Int, _ attempt: @escaping @Sendable (Int) async throws -> Won?
    ) async throws -> [Won] {
        try await withThrowingTaskGroup(of: Won?.self) { group in
            for number in 0..<count { group.addTask { try await attempt(number) } }
            return try await group.reduce(into: []) { won, next in if let next { won.append(next) } }
        }
    }

    /// Random calls of three nodes against what the contract says of each.
    static func model(seed: UInt64) -> ElectionRule {
        ElectionRule("random campaigns, updates and resignations match a model, seed \(seed)") { subject in
            try await subject.withTwo { one, other in
                var random = SeededGenerator(seed: seed)
                var record: LeaderRecord?
                var held: [Leadership] = []
                var seen: [LeaderRecord?] = [nil]
                for step in 0..<200 {
                    let election = random.next() % 2 == 0 ? one : other
                    let place = "step \(step)"
                    if let leadership = held.randomElement(using: &random), random.next() % 3 > 0 {
                        let isCurrent = leadership.record == record
                        if random.next() % 8 == 0 {
                            try await election.resign(leadership)
                            if isCurrent {
                                let left = try await election.current()
                                try expect(left?.isResigned == true, "\(place): not resigned")
                                record = left
                                seen.append(left)
                            }
                            continue
                        }
                        let next = leadership.record.next()
                        if isCurrent {
                            held.append(try await election.update(leadership, to: next))
                            record = next
                            seen.append(next)
                        } else {
                            try await expectElectionError(.fenced, "\(place): an old leadership") {
                                _ = try await election.update(leadership, to: next)
                            }
                        }
                    } else {
                        let dead = random.next() % 2 == 0 ? record : seen.randomElement(using: &random) ?? nil
                        let candidate = LeaderRecord.made(UInt64(step) + 1, by: "n\(step % 3)")
                        if let record, dead != record {
                            try await election.lose(candidate, replacing: dead, to: record)
                        } else {
                            held.append(try await election.win(candidate, replacing: dead))
                            record = candidate
                            seen.append(candidate)
                        }
                    }
                    try await expectEqual(one.current(), record, "\(place): the record")
                }
            }
        }
    }
}
