/// What another database did in one revision, or between two, to be done here the same way.
///
/// Entries make a chain without gaps, as the revisions of a database do: one that failed stops those behind it, and one
/// that comes twice is noticed.
package struct MirrorEntry: Hashable, Sendable {
    /// What became of an entry.
    package enum Outcome: Hashable, Sendable {
        /// It is done, or changed nothing.
        case applied
        /// The database does not stand where the entry belongs; nothing was done.
        case outOfOrder
        /// The database does not hold what the other one held before; nothing was done. With what differs.
        case diverged(String)
        /// No database here can hold what the other one did; nothing was done. With what it is.
        case unsupported(String)
    }

    /// The revision that the changes make, the next one of the database; `.none` for an entry that only grants and revokes
    /// leases, and compacts.
    package var revision: Revision
    /// In the order of writing: puts and deletions where there is a revision. A lease that is granted already, and one
    /// whose revocation finds keys attached to it, stays as it is, as does history that is gone.
    package var mutations: [Mutation]

    package init(revision: Revision = .none, _ mutations: [Mutation]) {
        self.revision = revision
        self.mutations = mutations
    }

    /// Bytes of keys and values, with a flat charge for each change.
    package var byteCount: Int {
        mutations.reduce(64) { total, mutation in
            switch mutation {
            case .put(let key, let record): total + 64 + key.count + record.value.count
            case .delete(let key, _): total + 64 + key.count
            case .grant, .revoke, .compact, .raise, .disarm, .auth: total + 64
            }
        }
    }
}

extension Evaluator {
    /// Does what another database did.
    func mirror(_ entry: MirrorEntry) throws -> Decision {
        // What makes no revision belongs nowhere in particular.
        guard entry.revision == .none || entry.revision == revision.next else { return refused(.outOfOrder) }
        var view = view()
        var leases: [StateChange] = []
        for mutation in entry.mutations {
            switch mutation {
            case .put(let key, let record):
                guard entry.revision != .none, record.mod == entry.revision, Int(record.sub) == view.changes.count
                else { return refused(.outOfOrder) }
                let key = ByteKey(key)
                if let reason = reason(against: key, record.value, in: view) { return refused(.unsupported(reason)) }
                let previous = try view.latest(key)
                guard record.follows(previous) else { return refused(.diverged(text(record, key, previous))) }
                view.mirror(key, record, previous: previous)
            case .delete(let key, let sub):
                guard entry.revision != .none, Int(sub) == view.changes.count else { return refused(.outOfOrder) }
                let key = ByteKey(key)
                if let reason = reason(against: key, [], in: view) { return refused(.unsupported(reason)) }
                guard let previous = try view.latest(key) else {
                    return refused(
                        .diverged("revision \(entry.revision) deletes a key that is not here: \(key.bytes.hex)"))
                }
                view.delete(key, previous: previous)
            case .grant(let lease): leases += grantMirrored(lease)
            case .revoke(let lease): leases += try revokeMirrored(lease.id)
            case .compact(let target):
                if compacted < target, target <= revision { leases.append(compactMirrored(target)) }
            case .raise, .disarm, .auth: break
            }
        }
        var decision = accept(view, .mirror(.applied))
        decision.changes += leases
        return decision
    }

    private func refused(_ outcome: MirrorEntry.Outcome) -> Decision { Decision(result: .success(.mirror(outcome))) }

    /// Why no database can hold that change; nil when it can.
    private func reason(against key: ByteKey, _ value: [UInt8], in view: TransactionView) -> String? {
        let (revision, byteCount) = (view.base.next, key.bytes.count)
        guard byteCount > 0, byteCount <= Keyspace.userKeyBytesMax else {
            return "a key of revision \(revision) has \(byteCount) bytes, and may have 1 to \(Keyspace.userKeyBytesMax)"
        }
        guard value.count <= StoredRecord.valueBytesMax else {
            return
                "a value of revision \(revision) has \(value.count) bytes, and may have \(StoredRecord.valueBytesMax)"
        }
        return view.written[key] == nil ? nil : "a key was changed twice in revision \(revision): \(key.bytes.hex)"
    }

    private func text(_ record: StoredRecord, _ key: ByteKey, _ previous: StoredRecord?) -> String {
        let held = previous.map { "version \($0.version), created by revision \($0.create)" } ?? "no such key"
        return
            "revision \(record.mod) writes version \(record.version), created by revision \(record.create), of the key "
            + "\(key.bytes.hex); here is \(held)"
    }
}

extension StoredRecord {
    /// Whether this is what a write of a key makes of the version before.
    fileprivate func follows(_ previous: StoredRecord?) -> Bool {
        guard let previous else { return version == 1 && create == mod }
        return create == previous.create && version == previous.version + 1
    }
}
