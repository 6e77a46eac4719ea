package import T4Protocols

/// An election whose record is one object of a store, replaced by compare-and-swap (Rule S1).
///
/// Each record has a nonce of its own, by which a swap whose answer is lost is told from that of somebody else: what is
/// there afterwards decides. A record that is unchanged decides nothing, because the swap may land yet.
package struct StoreElection: Election {
    private struct Stored {
        var record: LeaderRecord
        var version: ObjectVersion
    }

    /// What became of a swap.
    private enum Outcome {
        case written(ObjectVersion)
        /// What is there instead; nil when there is nothing.
        case refused(Stored?)
    }

    private let store: any ObjectStore
    private let key: ObjectKey

    private init(_ store: any ObjectStore, _ key: ObjectKey) {
        self.store = store
        self.key = key
    }

    /// Finds out whether the store can hold an election (Rule S2).
    /// - Parameter store: Stays open for as long as the election is used.
    /// - Throws: `.unsupported` for a store whose conditional puts cannot be relied on; `.invalidArgument` where the store
    ///   lets this client not do it; `.unavailable`.
    package static func open(
        _ store: any ObjectStore, key: ObjectKey = StoreLayout.election
    ) async throws(ElectionError) -> StoreElection {
        let verdict: ConditionalPutProbe.Verdict
        do throws(ObjectStoreError) {
            verdict = try await ConditionalPutProbe.run(on: store)
        } catch {
            let code: ElectionError.Code =
                switch error.code {
                case .unsupported: .unsupported
                case .permissionDenied, .invalidArgument: .invalidArgument
                default: .unavailable
                }
            throw ElectionError(code, "cannot find out whether the store can hold an election", cause: error)
        }
        guard verdict == .reliable else {
            throw ElectionError(
                .unsupported, "this store cannot hold an election: \(verdict); choose another store or another election"
            )
        }
        return StoreElection(store, key)
    }

    package func current() async throws(ElectionError) -> LeaderRecord? { try await stored()?.record }

    package func campaign(
        with record: LeaderRecord, replacing dead: LeaderRecord?
    ) async throws(ElectionError) -> CampaignResult {
        guard record.term > dead?.term ?? 0 else {
            throw ElectionError(.invalidArgument, "term \(record.term) is not above \(dead?.term ?? 0)")
        }
        guard record.nonce != dead?.nonce else { throw Self.usedNonce }
        let there = try await stored()
        // The same campaign as before, whose answer was lost.
        if let there, there.record == record { return .won(Leadership(record: record, version: there.version)) }
        guard there?.record == dead else {
            // Nobody takes an election back that has been held: what is gone was removed by hand.
            guard let there else { throw Self.vanished(key) }
            return .lost(to: there.record)
        }
        switch try await swap(there, record) {
        case .written(let version): return .won(Leadership(record: record, version: version))
        case .refused(let winner?): return .lost(to: winner.record)
        case .refused(nil): throw Self.vanished(key)
        }
    }

    package func update(
        _ held: Leadership, to record: LeaderRecord
    ) async throws(ElectionError) -> Leadership {
        guard record.term == held.record.term, record.sequence > held.record.sequence else {
            throw ElectionError(
                .invalidArgument,
                "an update keeps term \(held.record.term) and goes beyond sequence \(held.record.sequence), not to \(record)"
            )
        }
        guard record.nonce != held.record.nonce else { throw Self.usedNonce }
        switch try await swap(Stored(record: held.record, version: held.version), record) {
        case .written(let version): return Leadership(record: record, version: version)
        case .refused(let other?):
            throw ElectionError(
                .fenced, "\(other.record.nodeID) leads in term \(other.record.term): term \(record.term) is over")
        case .refused(nil): throw Self.vanished(key)
        }
    }

    package func resign(_ held: Leadership) async throws(ElectionError) {
        var record = held.record
        record.isResigned = true
        guard record.sequence < .max else {
            throw ElectionError(.invalidArgument, "sequence \(record.sequence) is the last one")
        }
        record.sequence += 1
        record.nonce = UInt64.random(in: 0...(.max))
        do throws(ElectionError) {
            _ = try await update(held, to: record)
        } catch {
            guard error.code == .fenced else { throw error }
        }
    }

    // MARK: The object

    private func stored() async throws(ElectionError) -> Stored? {
        let found: StoredBytes
        do throws(ObjectStoreError) {
            found = try await store.get(key, bytes: nil)
        } catch {
            guard error.code != .notFound else { return nil }
            let code: ElectionError.Code = error.code == .corrupted ? .corrupted : .unavailable
            throw ElectionError(code, "the election record cannot be read", cause: error)
        }
        do {
            return Stored(
                record: try ElectionObject.record(found.bytes, key: key), version: found.info.version)
        } catch {
            let isLater = (error as? CheckpointError)?.code == .laterVersion
            throw ElectionError(
                isLater ? .unsupported : .corrupted, "the election record cannot be used", cause: error)
        }
    }

    /// - Parameter expected: What is to be there; nil for nothing.
    private func swap(_ expected: Stored?, _ record: LeaderRecord) async throws(ElectionError) -> Outcome {
        let bytes: [UInt8]
        do {
            bytes = try ElectionObject(record).encoded()
        } catch {
            throw ElectionError(.invalidArgument, "the election record cannot be written", cause: error)
        }
        let condition = expected.map { PutCondition.unchanged(since: $0.version) } ?? .absent
        do throws(ObjectStoreError) {
            return .written(try await store.put(key, .bytes(bytes), when: condition))
        } catch {
            switch error.code {
            case .conditionFailed, .alreadyExists, .outcomeUnknown:
                return try await outcome(record, expected, error)
            case .unavailable, .permissionDenied, .noSpace, .closed, .invalidArgument:
                throw ElectionError(.unavailable, "the election record was not written", cause: error)
            case .unsupported: throw ElectionError(.unsupported, "this store cannot hold an election", cause: error)
            default: throw ElectionError(.outcomeUnknown, "the election record may be written", cause: error)
            }
        }
    }

    /// What a swap has come to whose answer is lost, or that was refused: even that may mean itself, where something between
    /// here and the store sent it twice.
    private func outcome(
        _ record: LeaderRecord, _ expected: Stored?, _ error: ObjectStoreError
    ) async throws(ElectionError) -> Outcome {
        let there: Stored?
        do throws(ElectionError) {
            there = try await stored()
        } catch {
            throw ElectionError(.outcomeUnknown, "what a swap has come to cannot be read", cause: error)
        }
        if let there, there.record == record { return .written(there.version) }
        guard there?.record != expected?.record else {
            throw ElectionError(.outcomeUnknown, "nothing tells whether a swap may land yet", cause: error)
        }
        return .refused(there)
    }

    private static let usedNonce = ElectionError(.invalidArgument, "every record needs a nonce of its own")

    private static func vanished(_ key: ObjectKey) -> ElectionError {
        ElectionError(
            .corrupted,
            "the election record \(key) is gone, though there was one; if that was meant, start all nodes again")
    }
}
