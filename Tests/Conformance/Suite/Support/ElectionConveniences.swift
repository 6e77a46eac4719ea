import T4Protocols

extension LeaderRecord {
    /// A record of the rules; its nonce is that of no other one.
    static func made(
        _ term: UInt64, by node: String = "a", inSync: [String]? = nil, sequence: UInt64 = 1
    ) -> LeaderRecord {
        LeaderRecord(
            term: term, nodeID: node, instanceID: "\(node)-1", address: "\(node).example:3380",
            inSyncSet: inSync ?? ["\(node)-1"], storeComplete: true, sequence: sequence,
            nonce: UInt64.random(in: 0...(.max)))
    }

    /// The next record of the same leader.
    func next(_ change: (inout LeaderRecord) -> Void = { _ in }) -> LeaderRecord {
        var record = self
        record.sequence += 1
        record.nonce = UInt64.random(in: 0...(.max))
        change(&record)
        return record
    }
}

extension Election {
    /// A campaign that has to win.
    func win(_ record: LeaderRecord, replacing dead: LeaderRecord?) async throws -> Leadership {
        switch try await campaign(with: record, replacing: dead) {
        case .won(let leadership):
            try expectEqual(leadership.record, record, "record of the leadership")
            return leadership
        case .lost(let other): throw RuleViolation("a campaign that nothing stood against was lost to \(other)")
        }
    }

    /// A campaign that has to lose.
    func lose(_ record: LeaderRecord, replacing dead: LeaderRecord?, to winner: LeaderRecord) async throws {
        switch try await campaign(with: record, replacing: dead) {
        case .won: throw RuleViolation("two lead: \(record) beside \(winner)")
        case .lost(let other): try expectEqual(other, winner, "who a campaign was lost to")
        }
    }
}

/// Throws a `RuleViolation` unless the body throws that error.
func expectElectionError(
    _ code: ElectionError.Code, _ what: String, _ body: () async throws -> Void
) async throws {
    try await expectFailure(code, what, parts: { (error: ElectionError) in (error.code, error.message) }, body)
}
