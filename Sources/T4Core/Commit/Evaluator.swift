package import T4Protocols

/// Decides proposals one after another against the engine plus everything decided before. Belongs to one thread.
package final class Evaluator {
    /// The revision after everything decided.
    package private(set) var revision: Revision
    /// The compacted revision after everything decided.
    package private(set) var compacted: Revision
    private let pending: PendingState
    private var alarms: RaisedAlarms
    private let quota: SpaceQuota?
    private var auth: AuthState
    private var accounts: AuthView
    private var reader: StateReader?

    /// - Parameter quota: How large the database may get; nil for no limit.
    package init(_ reader: StateReader, quota: SpaceQuota? = nil) throws(EngineError) {
        revision = reader.meta.revision
        compacted = reader.meta.compacted
        pending = PendingState(leases: try reader.leases())
        alarms = RaisedAlarms(try reader.alarms())
        self.quota = quota
        auth = try AuthState(reader)
        accounts = AuthView(auth.accounts)
    }

    /// Starts a group: `reader` shows at least what the groups up to `applied` decided.
    package func begin(group: UInt64, applied: UInt64, reader: StateReader) {
        pending.drop(through: applied)
        pending.begin(group: group)
        self.reader = reader
    }

    /// Lets go of the group's engine snapshot.
    package func endGroup() { reader = nil }

    /// True when the proposal can only be decided once everything before it is in the engine.
    package func needsEmptyPipeline(_ kind: ProposalKind) -> Bool {
        if case .txn(let request) = kind { return request.readsHistory && !pending.isEmpty }
        return false
    }

    /// Decides one proposal and remembers what it changes.
    /// - Parameter requester: Who asks; nil for the node itself.
    /// - Throws: `EngineError` only; what etcd refuses is in the decision.
    package func decide(_ kind: ProposalKind, for requester: Requester? = nil) throws(EngineError) -> Decision {
        do {
            // First of all, so that nobody without rights learns of alarms, or raises one.
            try check(kind, accounts.authorization(of: requester))
            if !alarms.isEmpty, let refusal = alarms.refusal(of: kind) { throw refusal }
            if let quota, kind.spaceNeeded > 0, try !quota.admits(kind.spaceNeeded) {
                var decision = raise(quota.alarm)
                decision.result = .failure(DatabaseError(.noSpace, "the database has reached its quota"))
                return decision
            }
            switch kind {
            case .put(let request): return try put(request)
            case .deleteRange(let request): return try deleteRange(request)
            case .txn(let request): return try txn(request)
            case .compact(let target): return try compact(target)
            case .grant(let lease): return try grant(lease)
            case .revoke(let lease): return try revoke(lease)
            case .raise(let alarm): return raise(alarm)
            case .disarm(let alarm): return disarm(alarm)
            case .auth(let request): return try change(request)
            case .mirror(let entry): return try mirror(entry)
            }
        } catch let error as DatabaseError {
            return Decision(result: .failure(error))
        } catch {
            throw EngineError(wrapping: error, "a proposal could not be decided")
        }
    }

    func view() -> TransactionView {
        TransactionView(base: revision, compacted: compacted, reader: reader!, pending: pending)
    }

    private func put(_ request: PutRequest) throws -> Decision {
        if request.lease != 0, pending.leases[request.lease] == nil { throw DatabaseError(.leaseNotFound) }
        var view = view()
        let response = try TxnEvaluation.put(request, &view)
        return accept(view, .put(response))
    }

    private func deleteRange(_ request: DeleteRangeRequest) throws -> Decision {
        var view = view()
        let response = try TxnEvaluation.delete(request, &view)
        return accept(view, .deleteRange(response))
    }

    private func txn(_ request: TxnRequest) throws -> Decision {
        var view = view()
        let pending = pending
        let evaluation = TxnEvaluation { pending.leases[$0] != nil }
        let response = try evaluation.run(request, on: &view)
        return accept(view, .txn(response))
    }

    private func compact(_ target: Int64) throws -> Decision {
        // etcd counts "never compacted" as -1, so that a compaction to 0 succeeds there and changes nothing.
        if target == 0, compacted == .none { return Decision(result: .success(.compact(revision))) }
        if target <= compacted.rawValue {
            throw DatabaseError(.compacted, "revision \(target) was asked for, compacted at \(compacted)")
        }
        if target > revision.rawValue {
            throw DatabaseError(.futureRevision, "revision \(target) was asked for, the newest is \(revision)")
        }
        compacted = Revision(target)
        return Decision(result: .success(.compact(revision)), changes: [StateChange(.compact(compacted))])
    }

    private func grant(_ lease: LeaseRecord) throws -> Decision {
        guard lease.ttl <= LeaseKeeper.maximumTTL else {
            throw DatabaseError(
                .leaseTTLTooLarge, "\(lease.ttl) seconds are more than \(LeaseKeeper.maximumTTL)")
        }
        if pending.leases[lease.id] != nil { throw DatabaseError(.leaseExists) }
        pending.grant(lease)
        let response = LeaseGrantResponse(revision: revision, id: lease.id, ttl: lease.ttl)
        return Decision(result: .success(.grant(response)), changes: [StateChange(.grant(lease))])
    }

    /// Deletes the attached keys in key order, as one revision if there are any.
    private func revoke(_ lease: Int64) throws -> Decision {
        guard let ttl = pending.leases[lease] else { throw DatabaseError(.leaseNotFound) }
        var view = view()
        for (key, record) in try records(leasedTo: lease, in: view) { view.delete(key, previous: record) }
        pending.revoke(lease)
        var decision = accept(view, .revoke(view.revision))
        decision.changes.append(StateChange(.revoke(LeaseRecord(id: lease, ttl: ttl))))
        return decision
    }

    /// What is attached to a lease, in key order.
    private func records(
        leasedTo lease: Int64, in view: TransactionView
    ) throws -> [(key: ByteKey, record: StoredRecord)] {
        let candidates = Set(try reader!.keys(leasedTo: lease)).union(pending.keys(leasedTo: lease))
        return try candidates.sorted { $0.lexicographicallyPrecedes($1) }.compactMap { key in
            let key = ByteKey(key)
            guard let record = try view.latest(key), record.lease == lease else { return nil }
            return (key, record)
        }
    }

    /// Whether the requester may have that done, as far as everything decided says.
    private func check(_ kind: ProposalKind, _ authorization: Authorization) throws {
        if authorization.isUnlimited { return }
        // A transaction may name a lease many times.
        var known: [Int64: [[UInt8]]] = [:]
        let leasedKeys: Authorization.LeasedKeys = { lease in
            if let keys = known[lease] { return keys }
            let keys = try self.records(leasedTo: lease, in: self.view()).map(\.key.bytes)
            known[lease] = keys
            return keys
        }
        switch kind {
        case .put(let request): try authorization.check(request, leasedKeys)
        case .deleteRange(let request): try authorization.check(request)
        case .txn(let request): try authorization.check(request, leasedKeys)
        case .grant: try authorization.requireUser()
        case .revoke(let lease):
            try authorization.requireUser()
            try authorization.checkWriting(lease: lease, leasedKeys)
        case .compact, .raise, .disarm, .mirror: try authorization.requireAdmin()
        case .auth(let request): if !request.isAboutTokens { try authorization.requireAdmin() }
        }
    }

    /// Accounts and tokens make no revision of the keys.
    private func change(_ request: AuthRequest) throws -> Decision {
        let changes = try auth.decide(request)
        for change in changes { auth.apply(change) }
        if changes.contains(where: \.isAboutAccounts) { accounts = AuthView(auth.accounts) }
        return Decision(result: .success(.auth(revision)), changes: changes.map { StateChange(.auth($0)) })
    }

    /// Raising what is raised already succeeds and changes nothing.
    private func raise(_ alarm: Alarm) -> Decision {
        let isNew = alarms.raise(alarm)
        return Decision(
            result: .success(.alarm(revision, alarm)), changes: isNew ? [StateChange(.raise(alarm))] : [])
    }

    /// Disarming what is not raised succeeds and changes nothing.
    private func disarm(_ alarm: Alarm) -> Decision {
        guard alarms.disarm(alarm) else { return Decision(result: .success(.alarm(revision, nil))) }
        return Decision(result: .success(.alarm(revision, alarm)), changes: [StateChange(.disarm(alarm))])
    }

    /// A grant as another database has made it.
    func grantMirrored(_ lease: LeaseRecord) -> [StateChange] {
        let held = pending.leases[lease.id]
        if held == lease.ttl { return [] }
        pending.grant(lease)
        let before = held.map { [StateChange(.revoke(LeaseRecord(id: lease.id, ttl: $0)))] } ?? []
        return before + [StateChange(.grant(lease))]
    }

    /// A revocation that another database has made, whose deletions have been mirrored.
    func revokeMirrored(_ lease: Int64) throws -> [StateChange] {
        guard let ttl = pending.leases[lease], try records(leasedTo: lease, in: view()).isEmpty else { return [] }
        pending.revoke(lease)
        return [StateChange(.revoke(LeaseRecord(id: lease, ttl: ttl)))]
    }

    /// A compaction as another database has made it.
    func compactMirrored(_ target: Revision) -> StateChange {
        compacted = target
        return StateChange(.compact(target))
    }

    /// Makes what a view wrote part of the decided state.
    func accept(_ view: TransactionView, _ response: ProposalResponse) -> Decision {
        var decision = Decision(result: .success(response))
        guard !view.changes.isEmpty else { return decision }
        revision = revision.next
        decision.revision = revision
        decision.changes.reserveCapacity(view.changes.count)
        for (index, change) in view.changes.enumerated() {
            pending.set(change.key, change.record)
            let mutation: Mutation =
                if let record = change.record {
                    .put(key: change.key.bytes, record: record)
                } else {
                    .delete(key: change.key.bytes, sub: UInt32(index))
                }
            decision.changes.append(StateChange(mutation, previous: change.previous))
        }
        return decision
    }
}
