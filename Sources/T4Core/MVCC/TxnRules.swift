// What etcd refuses before a request reaches the store, in its order (etcd: server/etcdserver/api/v3rpc/key.go).

extension PutRequest {
    package func validate() throws(DatabaseError) {
        guard !key.isEmpty else { throw DatabaseError(.keyNotProvided) }
        guard key.count <= Keyspace.userKeyBytesMax else {
            throw DatabaseError(
                .requestTooLarge, "the key has \(key.count) bytes, at most \(Keyspace.userKeyBytesMax) are allowed")
        }
        if ignoreValue && !value.isEmpty { throw DatabaseError(.valueProvided) }
        if ignoreLease && lease != 0 { throw DatabaseError(.leaseProvided) }
    }
}

extension DeleteRangeRequest {
    package func validate() throws(DatabaseError) {
        guard !key.isEmpty else { throw DatabaseError(.keyNotProvided) }
    }
}

extension TxnRequest {
    /// Checks counts, keys and flags, then that no key is written twice.
    package func validate(operationsMax: Int) throws(DatabaseError) {
        try validateOperations(operationsMax: operationsMax)
        _ = try TxnWrites(of: success)
        _ = try TxnWrites(of: failure)
    }

    /// Nested transactions share the limit: each level may use what the one above left over.
    private func validateOperations(operationsMax: Int) throws(DatabaseError) {
        let count = max(compares.count, success.count, failure.count)
        guard count <= operationsMax else {
            throw DatabaseError(.tooManyOperations, "\(count) operations, at most \(operationsMax) are allowed")
        }
        for compare in compares where compare.key.isEmpty { throw DatabaseError(.keyNotProvided) }
        for operation in success { try operation.validate(operationsMax: operationsMax - count) }
        for operation in failure { try operation.validate(operationsMax: operationsMax - count) }
    }

    /// True when neither branch writes, so that the transaction needs no log entry.
    package var isReadOnly: Bool {
        (success + failure).allSatisfy { operation in
            switch operation {
            case .range: true
            case .txn(let nested): nested.isReadOnly
            case .put, .deleteRange, .empty: false
            }
        }
    }

    /// True when every read may be answered from what this node has; never with a transaction inside, as in etcd.
    package var isSerializable: Bool {
        (success + failure).allSatisfy { operation in
            switch operation {
            case .range(let range): range.serializable
            case .txn, .put, .deleteRange, .empty: false
            }
        }
    }

    /// True when some range names a revision, so that its answer may need history.
    package var readsHistory: Bool {
        (success + failure).contains { operation in
            switch operation {
            case .range(let range): range.revision > 0
            case .txn(let nested): nested.readsHistory
            case .put, .deleteRange, .empty: false
            }
        }
    }

    fileprivate func validateNested(operationsMax: Int) throws(DatabaseError) {
        try validateOperations(operationsMax: operationsMax)
    }
}

extension RequestOperation {
    fileprivate func validate(operationsMax: Int) throws(DatabaseError) {
        switch self {
        case .range(let request): try request.validate()
        case .put(let request): try request.validate()
        case .deleteRange(let request): try request.validate()
        case .txn(let request): try request.validateNested(operationsMax: operationsMax)
        case .empty: throw DatabaseError(.keyNotFound)
        }
    }
}

/// The keys that one branch may write: puts must be distinct and outside every deletion; deletions may overlap.
private struct TxnWrites {
    var puts: Set<[UInt8]> = []
    var deletes: [KeySelection] = []

    init(of operations: [RequestOperation]) throws(DatabaseError) {
        for case .deleteRange(let request) in operations {
            deletes.append(KeySelection(key: request.key, rangeEnd: request.rangeEnd))
        }
        for case .txn(let nested) in operations {
            let success = try TxnWrites(of: nested.success)
            let failure = try TxnWrites(of: nested.failure)
            for key in success.puts { try add(key) }
            // Only one of the two branches runs, so both may write the same key.
            for key in failure.puts {
                if success.puts.contains(key) { try refuseDeleted(key) } else { try add(key) }
            }
            deletes += success.deletes + failure.deletes
        }
        for case .put(let request) in operations { try add(request.key) }
    }

    private mutating func add(_ key: [UInt8]) throws(DatabaseError) {
        try refuseDeleted(key)
        if !puts.insert(key).inserted { throw DatabaseError(.duplicateKey) }
    }

    private func refuseDeleted(_ key: [UInt8]) throws(DatabaseError) {
        for selection in deletes where selection.contains(key) { throw DatabaseError(.duplicateKey) }
    }
}
