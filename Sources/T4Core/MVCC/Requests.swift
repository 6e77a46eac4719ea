// The requests of the etcd KV API with their values as they stand on the wire: what an unset field means is decided
// in one place, by the code that evaluates them.

/// Reads keys.
public struct RangeRequest: Hashable, Sendable {
    /// etcd's sort orders, by wire number.
    public enum SortOrder: Int32, Sendable { case none, ascend, descend }
    /// etcd's sort targets, by wire number.
    public enum SortTarget: Int32, Sendable { case key, version, create, mod, value }

    /// First key.
    public var key: [UInt8]
    /// Empty: only `key`; one zero byte: all keys from `key`; else the first key after the range.
    public var rangeEnd: [UInt8]
    /// Most keys to return; 0 or less for all.
    public var limit: Int64
    /// Revision to read at; 0 or less for the newest.
    public var revision: Int64
    /// Order of the result.
    public var sortOrder: SortOrder
    /// What to order by.
    public var sortTarget: SortTarget
    /// May answer from this node without asking the leader.
    public var serializable: Bool
    /// Leaves the values out.
    public var keysOnly: Bool
    /// Returns only the count.
    public var countOnly: Bool
    /// Leaves out keys with a lower mod revision; 0 for no bound.
    public var minModRevision: Int64
    /// Leaves out keys with a higher mod revision; 0 for no bound.
    public var maxModRevision: Int64
    /// Leaves out keys with a lower create revision; 0 for no bound.
    public var minCreateRevision: Int64
    /// Leaves out keys with a higher create revision; 0 for no bound.
    public var maxCreateRevision: Int64

    /// A read of one key, or of a range when `rangeEnd` is given.
    public init(
        key: [UInt8], rangeEnd: [UInt8] = [], limit: Int64 = 0, revision: Int64 = 0, sortOrder: SortOrder = .none,
        sortTarget: SortTarget = .key, serializable: Bool = false, keysOnly: Bool = false, countOnly: Bool = false,
        minModRevision: Int64 = 0, maxModRevision: Int64 = 0, minCreateRevision: Int64 = 0,
        maxCreateRevision: Int64 = 0
    ) {
        self.key = key
        self.rangeEnd = rangeEnd
        self.limit = limit
        self.revision = revision
        self.sortOrder = sortOrder
        self.sortTarget = sortTarget
        self.serializable = serializable
        self.keysOnly = keysOnly
        self.countOnly = countOnly
        self.minModRevision = minModRevision
        self.maxModRevision = maxModRevision
        self.minCreateRevision = minCreateRevision
        self.maxCreateRevision = maxCreateRevision
    }
}

/// Writes one key.
public struct PutRequest: Hashable, Sendable {
    /// The key.
    public var key: [UInt8]
    /// The new value; must be empty with `ignoreValue`.
    public var value: [UInt8]
    /// The lease to attach to, which must exist; 0 detaches. Must be 0 with `ignoreLease`.
    public var lease: Int64
    /// Answers with the version before.
    public var previous: Bool
    /// Keeps the value of the existing key, which must exist.
    public var ignoreValue: Bool
    /// Keeps the lease of the existing key, which must exist.
    public var ignoreLease: Bool

    /// A write of one key.
    public init(
        key: [UInt8], value: [UInt8], lease: Int64 = 0, previous: Bool = false, ignoreValue: Bool = false,
        ignoreLease: Bool = false
    ) {
        self.key = key
        self.value = value
        self.lease = lease
        self.previous = previous
        self.ignoreValue = ignoreValue
        self.ignoreLease = ignoreLease
    }
}

/// Deletes keys.
public struct DeleteRangeRequest: Hashable, Sendable {
    /// First key.
    public var key: [UInt8]
    /// As in `RangeRequest`.
    public var rangeEnd: [UInt8]
    /// Answers with the versions before.
    public var previous: Bool

    /// A deletion of one key, or of a range when `rangeEnd` is given.
    public init(key: [UInt8], rangeEnd: [UInt8] = [], previous: Bool = false) {
        self.key = key
        self.rangeEnd = rangeEnd
        self.previous = previous
    }
}

/// A condition of a transaction; with a range end, on every key of the range.
public struct Compare: Hashable, Sendable {
    /// etcd's comparisons, by wire number.
    public enum Result: Int32, Sendable { case equal, greater, less, notEqual }
    /// What is compared, and with what.
    public enum Target: Hashable, Sendable {
        case version(Int64)
        case create(Int64)
        case mod(Int64)
        case value([UInt8])
        case lease(Int64)
    }

    /// First key.
    public var key: [UInt8]
    /// As in `RangeRequest`.
    public var rangeEnd: [UInt8]
    /// How to compare: `stored RESULT given`.
    public var result: Result
    /// What to compare.
    public var target: Target

    /// A condition.
    public init(key: [UInt8], rangeEnd: [UInt8] = [], result: Result, target: Target) {
        self.key = key
        self.rangeEnd = rangeEnd
        self.result = result
        self.target = target
    }
}

/// One operation of a transaction.
public indirect enum RequestOperation: Hashable, Sendable {
    case range(RangeRequest)
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case txn(TxnRequest)
    /// An operation message without content, which etcd refuses.
    case empty
}

/// A transaction: if all comparisons hold, `success`, else `failure`, as one revision.
public struct TxnRequest: Hashable, Sendable {
    /// Conditions; none holds always.
    public var compares: [Compare]
    /// Operations when all hold.
    public var success: [RequestOperation]
    /// Operations when one does not.
    public var failure: [RequestOperation]

    /// A transaction.
    public init(compares: [Compare], success: [RequestOperation], failure: [RequestOperation] = []) {
        self.compares = compares
        self.success = success
        self.failure = failure
    }
}

/// Drops history.
public struct CompactionRequest: Hashable, Sendable {
    /// What is older than the version visible at this revision goes.
    public var revision: Int64
    /// Answers only once the space is free.
    public var physical: Bool

    /// A compaction.
    public init(revision: Int64, physical: Bool = false) {
        self.revision = revision
        self.physical = physical
    }
}
