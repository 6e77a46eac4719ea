import T4Protocols

extension ElectionRules {
    /// Who may write when.
    static let fenceRules = [
        ElectionRule("a campaign replaces the very record that it names") { subject in
            try await subject.withTwo { one, other in
                let first = LeaderRecord.made(1)
                let held = try await one.win(first, replacing: nil)
                try await other.lose(.made(2, by: "b"), replacing: nil, to: first)
                let second = held.record.next()
                _ = try await one.update(held, to: second)
                // It was right a moment ago.
                try await other.lose(.made(2, by: "b"), replacing: first, to: second)
                var changed = second
                changed.nonce ^= 1
                try await other.lose(.made(2, by: "b"), replacing: changed, to: second)
                try await expectEqual(one.current(), second, "the record after lost campaigns")
                let third = LeaderRecord.made(2, by: "b")
                _ = try await other.win(third, replacing: second)
                try await expectEqual(one.current(), third, "the record after the campaign")
            }
        },
        ElectionRule("the same call again is the same one") { subject in
            try await subject.withTwo { one, other in
                let first = LeaderRecord.made(1)
                _ = try await one.win(first, replacing: nil)
                // As after an answer that was lost.
                let held = try await one.win(first, replacing: nil)
                let second = first.next()
                let renewed = try await one.update(held, to: second)
                try await expectEqual(one.update(held, to: second), renewed, "leadership of the update again")
                _ = try await one.update(renewed, to: second.next())
                try await expectElectionError(.fenced, "the first update, too late") {
                    _ = try await one.update(held, to: second)
                }
                guard let last = try await other.current() else { throw RuleViolation("no record is left") }
                try await other.lose(first, replacing: nil, to: last)
            }
        },
        ElectionRule("who was replaced writes no more") { subject in
            try await subject.withTwo { one, other in
                let first = LeaderRecord.made(1)
                let held = try await one.win(first, replacing: nil)
                let second = LeaderRecord.made(2, by: "b")
                let successor = try await other.win(second, replacing: first)
                try await expectElectionError(.fenced, "an update by who was replaced") {
                    _ = try await one.update(held, to: first.next())
                }
                try await one.resign(held)
                try await expectEqual(other.current(), second, "the record after that")
                _ = try await other.update(successor, to: second.next())
            }
        },
        ElectionRule("an old version of a leadership writes no more") { subject in
            try await subject.withTwo { one, other in
                let held = try await one.win(.made(1), replacing: nil)
                let second = held.record.next()
                _ = try await one.update(held, to: second)
                try await expectElectionError(.fenced, "a second update of one version") {
                    _ = try await one.update(held, to: held.record.next())
                }
                try await one.resign(held)
                try await expectEqual(other.current(), second, "the record after that")
            }
        },
        ElectionRule("who resigns leaves the way free") { subject in
            try await subject.withTwo { one, other in
                let first = LeaderRecord.made(3, inSync: ["a-1", "b-1"])
                let held = try await one.win(first, replacing: nil)
                try await one.resign(held)
                guard let left = try await other.current() else { throw RuleViolation("no record is left") }
                try expect(left.isResigned, "nobody can see that the leader has resigned")
                try expect(left.nonce != first.nonce, "the record has an old nonce")
                var expected = first
                (expected.isResigned, expected.nonce, expected.sequence) = (true, left.nonce, left.sequence)
                try expectEqual(left, expected, "the record that is left")
                try await expectElectionError(.fenced, "an update by who has resigned") {
                    _ = try await one.update(held, to: first.next())
                }
                // Twice is once.
                try await one.resign(held)
                _ = try await other.win(.made(4, by: "b"), replacing: left)
            }
        },
        ElectionRule("leadership outlives the process that won it") { subject in
            guard subject.isShared else { return }
            try await subject.withTwo { one, other in
                let held = try await one.win(.made(1), replacing: nil)
                // The record and its version are all that it takes.
                let next = try await other.update(held, to: held.record.next())
                try await expectEqual(one.current(), next.record, "the record")
            }
        },
    ]
}
