/// The answer to a `RangeRequest`.
public struct RangeResponse: Hashable, Sendable {
    /// The store's revision when the keys were read; inside a transaction the transaction's.
    public var revision: Revision
    /// The keys, in the order asked for.
    public var kvs: [KeyValue]
    /// The limit cut keys off.
    public var more: Bool
    /// Keys in the whole range, whatever limit and filters left out.
    public var count: Int64

    /// Fills in an answer.
    public init(revision: Revision, kvs: [KeyValue], more: Bool, count: Int64) {
        self.revision = revision
        self.kvs = kvs
        self.more = more
        self.count = count
    }
}

/// The answer to a `PutRequest`.
public struct PutResponse: Hashable, Sendable {
    /// The revision that wrote the key.
    public var revision: Revision
    /// The version before, if asked for and there was one.
    public var previous: KeyValue?

    /// Fills in an answer.
    public init(revision: Revision, previous: KeyValue?) {
        self.revision = revision
        self.previous = previous
    }
}

/// The answer to a `DeleteRangeRequest`.
public struct DeleteRangeResponse: Hashable, Sendable {
    /// The revision that deleted the keys; the store's own when there were none.
    public var revision: Revision
    /// Number of deleted keys.
    public var deleted: Int64
    /// Their last versions in key order, if asked for.
    public var previous: [KeyValue]

    /// Fills in an answer.
    public init(revision: Revision, deleted: Int64, previous: [KeyValue]) {
        self.revision = revision
        self.deleted = deleted
        self.previous = previous
    }
}

/// The answer to one operation of a transaction.
public indirect enum ResponseOperation: Hashable, Sendable {
    case range(RangeResponse)
    case put(PutResponse)
    case deleteRange(DeleteRangeResponse)
    case txn(TxnResponse)
}

/// The answer to a `TxnRequest`.
public struct TxnResponse: Hashable, Sendable {
    /// The revision that the transaction made; the store's own when it wrote nothing.
    public var revision: Revision
    /// All comparisons held.
    public var succeeded: Bool
    /// One answer per operation of the branch that ran.
    public var responses: [ResponseOperation]

    /// Fills in an answer.
    public init(revision: Revision, succeeded: Bool, responses: [ResponseOperation]) {
        self.revision = revision
        self.succeeded = succeeded
        self.responses = responses
    }
}

/// The answer to a lease grant.
public struct LeaseGrantResponse: Hashable, Sendable {
    /// The store's revision.
    public var revision: Revision
    /// The lease.
    public var id: Int64
    /// Seconds granted.
    public var ttl: Int64

    /// Fills in an answer.
    public init(revision: Revision, id: Int64, ttl: Int64) {
        self.revision = revision
        self.id = id
        self.ttl = ttl
    }
}
