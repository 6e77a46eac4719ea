// What each request needs, over the whole of its ranges (etcd: server/etcdserver/apply/auth.go).

extension Authorization {
    /// The keys that are attached to a lease; none for a lease that there is not.
    package typealias LeasedKeys = (Int64) throws -> [[UInt8]]

    package func check(_ request: RangeRequest) throws(DatabaseError) {
        try requireRead(request.key, to: request.rangeEnd)
    }

    package func check(_ request: DeleteRangeRequest) throws(DatabaseError) {
        try requireWrite(request.key, to: request.rangeEnd)
        if request.previous { try requireRead(request.key, to: request.rangeEnd) }
    }

    package func check(_ request: PutRequest, _ leasedKeys: LeasedKeys) throws {
        try requireWrite(request.key)
        // A lease that holds what the user cannot write is one that the user cannot revoke, nor attach anything to.
        try checkWriting(lease: request.lease, leasedKeys)
        if request.previous { try requireRead(request.key) }
    }

    /// Both branches count, whichever runs, and what they nest.
    package func check(_ request: TxnRequest, _ leasedKeys: LeasedKeys) throws {
        if isUnlimited { return }
        for compare in request.compares { try requireRead(compare.key, to: compare.rangeEnd) }
        for operation in request.success + request.failure {
            switch operation {
            case .range(let range): try check(range)
            case .put(let put): try check(put, leasedKeys)
            case .deleteRange(let deletion): try check(deletion)
            case .txn(let nested): try check(nested, leasedKeys)
            case .empty: break
            }
        }
    }

    /// Whether all keys of a lease may be written.
    package func checkWriting(lease: Int64, _ leasedKeys: LeasedKeys) throws {
        guard lease != 0, !isRoot else { return }
        for key in try leasedKeys(lease) { try requireWrite(key) }
    }

    /// Whether all keys of a lease may be read.
    package func checkReading(lease: Int64, _ leasedKeys: LeasedKeys) throws {
        guard !isRoot else { return }
        for key in try leasedKeys(lease) { try requireRead(key) }
    }
}
