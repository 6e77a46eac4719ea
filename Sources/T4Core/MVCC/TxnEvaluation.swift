import T4Protocols

/// Evaluates a transaction on a view, in etcd's order: all comparisons, nested ones too, against the state before it;
/// then the checks that may refuse it; then its operations, which see each other's writes.
package struct TxnEvaluation {
    private let leaseExists: (Int64) -> Bool

    package init(leaseExists: @escaping (Int64) -> Bool) {
        self.leaseExists = leaseExists
    }

    /// - Throws: `DatabaseError` when it is refused, `view` is then to be dropped; `EngineError`.
    package func run(_ request: TxnRequest, on view: inout TransactionView) throws -> TxnResponse {
        let path = try Path(request, on: view)
        try checkPuts(request, path, view)
        try checkRanges(request, path, view)
        return try apply(request, path, &view)
    }

    /// Which branch each transaction takes.
    private struct Path {
        var succeeded: Bool
        /// Of the nested transactions in the branch taken, in order.
        var nested: [Path] = []

        init(_ request: TxnRequest, on view: TransactionView) throws {
            succeeded = try request.compares.allSatisfy { try $0.holds(on: view) }
            for case .txn(let inner) in succeeded ? request.success : request.failure {
                nested.append(try Path(inner, on: view))
            }
        }
    }

    private func checkPuts(_ request: TxnRequest, _ path: Path, _ view: TransactionView) throws {
        var nested = path.nested.makeIterator()
        for operation in path.succeeded ? request.success : request.failure {
            switch operation {
            case .put(let put):
                if put.ignoreValue || put.ignoreLease, try view.latest(ByteKey(put.key)) == nil {
                    throw DatabaseError(.keyNotFound)
                }
                if put.lease != 0, !leaseExists(put.lease) { throw DatabaseError(.leaseNotFound) }
            case .txn(let inner): try checkPuts(inner, nested.next()!, view)
            case .range, .deleteRange, .empty: break
            }
        }
    }

    private func checkRanges(_ request: TxnRequest, _ path: Path, _ view: TransactionView) throws {
        var nested = path.nested.makeIterator()
        for operation in path.succeeded ? request.success : request.failure {
            switch operation {
            case .range(let range): try range.validateInTxn(newest: view.base, compacted: view.compacted)
            case .txn(let inner): try checkRanges(inner, nested.next()!, view)
            case .put, .deleteRange, .empty: break
            }
        }
    }

    private func apply(_ request: TxnRequest, _ path: Path, _ view: inout TransactionView) throws -> TxnResponse {
        var nested = path.nested.makeIterator()
        var responses: [ResponseOperation] = []
        for operation in path.succeeded ? request.success : request.failure {
            switch operation {
            case .range(let range): responses.append(.range(try range.evaluate(on: view)))
            case .put(let put): responses.append(.put(try TxnEvaluation.put(put, &view)))
            case .deleteRange(let delete): responses.append(.deleteRange(try TxnEvaluation.delete(delete, &view)))
            case .txn(let inner): responses.append(.txn(try apply(inner, nested.next()!, &view)))
            case .empty: throw DatabaseError(.keyNotFound)
            }
        }
        return TxnResponse(revision: view.revision, succeeded: path.succeeded, responses: responses)
    }

    /// Writes one key. The lease must have been checked.
    package static func put(_ request: PutRequest, _ view: inout TransactionView) throws -> PutResponse {
        let key = ByteKey(request.key)
        let previous = try view.latest(key)
        if request.ignoreValue || request.ignoreLease, previous == nil { throw DatabaseError(.keyNotFound) }
        view.put(
            key, value: request.ignoreValue ? previous?.value ?? [] : request.value,
            lease: request.ignoreLease ? previous?.lease ?? 0 : request.lease, previous: previous)
        return PutResponse(
            revision: view.revision, previous: request.previous ? previous?.keyValue(request.key) : nil)
    }

    /// Deletes the keys of a range.
    /// - Throws: `.duplicateKey` for a key that the same transaction has put: a revision holds one change of a key.
    package static func delete(
        _ request: DeleteRangeRequest, _ view: inout TransactionView
    ) throws -> DeleteRangeResponse {
        let existing = try view.existing(in: KeySelection(key: request.key, rangeEnd: request.rangeEnd))
        for (key, record) in existing {
            if record.mod == view.base.next { throw DatabaseError(.duplicateKey) }
            view.delete(key, previous: record)
        }
        return DeleteRangeResponse(
            revision: view.revision, deleted: Int64(existing.count),
            previous: request.previous ? existing.map { $0.record.keyValue($0.key.bytes) } : [])
    }
}

extension RangeRequest {
    /// Refuses a revision that cannot be read. As in etcd a transaction does not take a negative one for now, as a range
    /// by itself does; there "never compacted" counts as -1.
    fileprivate func validateInTxn(newest: Revision, compacted: Revision) throws(DatabaseError) {
        let first = compacted == .none ? -1 : compacted.rawValue
        if revision < 0, revision < first {
            throw DatabaseError(.compacted, "revision \(revision) was asked for, compacted at \(compacted)")
        }
        _ = try readRevision(newest: newest, compacted: compacted)
    }
}

extension Compare {
    /// True when every key of the selection passes; an absent key counts as all zeros, but never passes a comparison
    /// of values.
    fileprivate func holds(on view: TransactionView) throws(EngineError) -> Bool {
        let existing = try view.existing(in: KeySelection(key: key, rangeEnd: rangeEnd))
        if existing.isEmpty {
            if case .value = target { return false }
            return passes(StoredRecord(create: .none, mod: .none, version: 0, lease: 0, sub: 0, value: []))
        }
        return existing.allSatisfy { passes($0.record) }
    }

    private func passes(_ record: StoredRecord) -> Bool {
        switch target {
        case .version(let given): passes(record.version, given)
        case .create(let given): passes(record.create.rawValue, given)
        case .mod(let given): passes(record.mod.rawValue, given)
        case .lease(let given): passes(record.lease, given)
        case .value(let given): passes(record.value, given)
        }
    }

    private func passes(_ stored: Int64, _ given: Int64) -> Bool {
        switch result {
        case .equal: stored == given
        case .notEqual: stored != given
        case .greater: stored > given
        case .less: stored < given
        }
    }

    private func passes(_ stored: [UInt8], _ given: [UInt8]) -> Bool {
        switch result {
        case .equal: stored == given
        case .notEqual: stored != given
        case .greater: given.lexicographicallyPrecedes(stored)
        case .less: stored.lexicographicallyPrecedes(given)
        }
    }
}
