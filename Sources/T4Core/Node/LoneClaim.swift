import T4Protocols

/// What a node alone writes into the election record of a database that a cluster had before: it leads, and it alone has what it
/// acknowledges, until that is in the store.
///
/// Without it, a cluster that is started on other disks would know nothing of what this node has acknowledged, and both could win
/// the same term. A database that never was a cluster's has no record, and gets none.
struct LoneClaim {
    private let election: StoreElection
    private let held: Leadership
    /// What it replaced.
    private let found: LeaderRecord

    /// Who may go on alone: nobody leads, and this node lacks nothing.
    static func isFree(_ record: LeaderRecord, for instance: String) -> Bool {
        // A node alone has no address. One that died is not waited for if all it acknowledged is in the store.
        (record.isResigned || record.address.isEmpty) && (record.storeComplete || record.inSyncSet == [instance])
    }

    /// Replaces the record that was found before the log was read: nobody has led since, or this throws. Blocks.
    /// - Parameters:
    ///   - term: In which the node is about to lead.
    ///   - isComplete: Whether all it has acknowledged, and will, is in the store.
    static func take(
        _ store: any ObjectStore, from found: LeaderRecord, term: UInt64, node: String, instance: String,
        isComplete: Bool
    ) throws -> LoneClaim {
        let record = LeaderRecord(
            term: term, nodeID: node, instanceID: instance, address: "", inSyncSet: [instance],
            storeComplete: isComplete, sequence: 1, nonce: .random(in: 0...(.max)))
        return try BlockingCall.wait {
            let election = try await StoreElection.open(store)
            switch try await election.campaign(with: record, replacing: found) {
            case .won(let held): return LoneClaim(election: election, held: held, found: found)
            case .lost(let other):
                throw StoreLink.Failure(
                    description: "another node, \(other.nodeID), took the lead while this one started, in term "
                        + "\(other.term): start this one with --peer-listen, or after that one has stopped")
            }
        }
    }

    /// The node ends. Blocks.
    /// - Parameter isComplete: Everything it has acknowledged is in the store.
    func release(isComplete: Bool) throws { try resign(isComplete: held.record.storeComplete || isComplete) }

    /// The node could not start, and has acknowledged nothing. Blocks.
    func giveBack() throws { try resign(isComplete: found.storeComplete) }

    private func resign(isComplete: Bool) throws {
        var record = held.record
        record.isResigned = true
        record.storeComplete = isComplete
        record.sequence += 1
        record.nonce = .random(in: 0...(.max))
        let (election, held, last) = (election, held, record)
        _ = try BlockingCall.wait { try await election.update(held, to: last) }
    }
}
