/// What the lease keeper needs from the rest of the node.
package protocol LeaseStore: AnyObject, Sendable {
    /// Proposes the revocation of an expired lease; the completion comes from any thread.
    func revokeExpired(_ id: Int64, completion: @escaping @Sendable (Result<Revision, DatabaseError>) -> Void)
}

/// A granted lease as the log has it.
package struct LeaseRecord: Hashable, Sendable {
    /// Positive, unique among the living.
    package var id: Int64
    /// Granted seconds.
    package var ttl: Int64

    package init(id: Int64, ttl: Int64) {
        self.id = id
        self.ttl = ttl
    }

    /// The value of the lease's system row.
    package var row: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: ttl)
        return bytes
    }
}
