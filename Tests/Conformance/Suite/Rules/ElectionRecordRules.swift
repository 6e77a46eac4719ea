import T4Protocols

extension ElectionRules {
    /// What the record holds, and what may be written.
    static let recordRules = [
        ElectionRule("nobody leads where nobody has ever led") { subject in
            try await subject.withTwo { one, other in
                for election in [one, other] {
                    try await expect(election.current() == nil, "a record where nobody has campaigned")
                }
            }
        },
        ElectionRule("the record is seen as it was written") { subject in
            for record in [
                LeaderRecord.made(1),
                LeaderRecord(
                    term: .max, nodeID: "n\u{F6}de \"1\"\n", instanceID: "", address: "[::1]:1", inSyncSet: [],
                    storeComplete: false, sequence: .max, nonce: .max),
                LeaderRecord(
                    term: 1 << 53 + 1, nodeID: "b", instanceID: "\u{1F600}", address: "",
                    inSyncSet: ["z", "a", "z/\\"],
                    storeComplete: true, sequence: 0, nonce: 0, isResigned: true),
            ] {
                try await subject.withTwo { one, other in
                    _ = try await one.win(record, replacing: nil)
                    for election in [one, other] {
                        try await expectEqual(election.current(), record, "the record")
                    }
                }
            }
        },
        ElectionRule("a term rises") { subject in
            try await subject.withTwo { one, other in
                try await expectElectionError(.invalidArgument, "a campaign for term 0") {
                    _ = try await one.campaign(with: .made(0), replacing: nil)
                }
                let first = LeaderRecord.made(5)
                _ = try await one.win(first, replacing: nil)
                for term in [0, 4, 5] as [UInt64] {
                    try await expectElectionError(.invalidArgument, "a campaign for term \(term) behind 5") {
                        _ = try await other.campaign(with: .made(term, by: "b"), replacing: first)
                    }
                }
                try await expectEqual(one.current(), first, "the record after refused campaigns")
                // It may leave terms out.
                _ = try await other.win(.made(900, by: "b"), replacing: first)
            }
        },
        ElectionRule("updates keep the term and raise the sequence") { subject in
            try await subject.withTwo { one, other in
                var held = try await one.win(.made(1), replacing: nil)
                for record in [
                    held.record.next { $0.sequence -= 1 }, held.record.next { $0.sequence -= 2 },
                    held.record.next { $0.term = 2 }, held.record.next { $0.nonce = held.record.nonce },
                ] {
                    try await expectElectionError(.invalidArgument, "an update to \(record)") {
                        _ = try await one.update(held, to: record)
                    }
                }
                try await expectEqual(other.current(), held.record, "the record after refused updates")
                for set in [["a-1", "b-1"], ["a-1", "b-1", "c-1"], ["a-1"]] {
                    let record = held.record.next { ($0.inSyncSet, $0.storeComplete) = (set, set.count == 1) }
                    held = try await one.update(held, to: record)
                    try expectEqual(held.record, record, "record of the update")
                    try await expectEqual(other.current(), record, "the record after an update")
                }
            }
        },
        ElectionRule("a campaign needs a nonce of its own") { subject in
            try await subject.withTwo { one, other in
                let first = LeaderRecord.made(1)
                _ = try await one.win(first, replacing: nil)
                var second = LeaderRecord.made(2, by: "b")
                second.nonce = first.nonce
                try await expectElectionError(.invalidArgument, "a campaign with a nonce that is there") {
                    _ = try await other.campaign(with: second, replacing: first)
                }
            }
        },
    ]
}
