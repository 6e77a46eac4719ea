/// One fenced compare-and-swap record that says who leads.
///
/// Contract: a record that was written is seen by every later call, of whichever node; of several who mean to replace the
/// same record one succeeds. No call depends on clocks. Every record has a nonce that no other one has.
public protocol Election: Sendable {
    /// The record as it stands; nil where nobody has ever led.
    /// - Throws: `.unavailable`; `.corrupted`.
    func current() async throws(ElectionError) -> LeaderRecord?

    /// Tries to take over.
    /// - Parameters:
    ///   - record: What to write; its term must be above the replaced one's.
    ///   - dead: The very record that the caller means to replace; nil wins only where nobody has ever led.
    /// - Throws: `.invalidArgument` for a term that does not rise, or a nonce that is used; `.outcomeUnknown`: while
    ///   `current()` is `dead` the campaign may win yet; `.unavailable`, it has not won and will not; `.corrupted`, also
    ///   where a record is gone that there was; `.unsupported` for a record of a later version.
    func campaign(
        with record: LeaderRecord, replacing dead: LeaderRecord?
    ) async throws(ElectionError) -> CampaignResult

    /// Renews, or changes the in-sync set.
    /// - Parameters:
    ///   - held: As the last campaign or update gave it: each holds for one update.
    ///   - record: Keeps the term, raises the sequence, has a nonce of its own.
    /// - Throws: `.fenced` when another record is there; `.invalidArgument`; else as `campaign`.
    func update(_ held: Leadership, to record: LeaderRecord) async throws(ElectionError) -> Leadership

    /// Gives leadership up, so that the next campaign need not wait: the record stays, with `isResigned`. Succeeds when it was
    /// already lost.
    /// - Throws: `.outcomeUnknown`, `.unavailable`, as `campaign`.
    func resign(_ held: Leadership) async throws(ElectionError)
}

/// The content of the election record.
public struct LeaderRecord: Hashable, Sendable {
    /// Leadership number, strictly rising.
    public var term: UInt64
    /// The leader's configured name.
    public var nodeID: String
    /// Fresh with each data directory, so that a lost disk is noticed.
    public var instanceID: String
    /// Where other nodes reach the leader; empty for a single node.
    public var address: String
    /// Instances whose acknowledgement a commit needs, the leader included.
    public var inSyncSet: [String]
    /// Everything committed is in the object store, so anyone may take over.
    public var storeComplete: Bool
    /// Rises with every swap within a term.
    public var sequence: UInt64
    /// Random per swap: tells our own write from another with equal content.
    public var nonce: UInt64
    /// Set by `resign`: nobody leads, and the next candidate need not wait.
    public var isResigned: Bool

    /// Fills in a record.
    public init(
        term: UInt64, nodeID: String, instanceID: String, address: String, inSyncSet: [String], storeComplete: Bool,
        sequence: UInt64, nonce: UInt64, isResigned: Bool = false
    ) {
        self.term = term
        self.nodeID = nodeID
        self.instanceID = instanceID
        self.address = address
        self.inSyncSet = inSyncSet
        self.storeComplete = storeComplete
        self.sequence = sequence
        self.nonce = nonce
        self.isResigned = isResigned
    }
}

/// Proof of leadership: what was written, and the version to write over next.
public struct Leadership: Hashable, Sendable {
    /// The record as this node last wrote it.
    public var record: LeaderRecord
    /// Version of the stored record, for the next compare-and-swap.
    public var version: ObjectVersion

    /// Pairs a record with its stored version.
    public init(record: LeaderRecord, version: ObjectVersion) {
        self.record = record
        self.version = version
    }
}

/// The answer to a campaign. Losing is an answer, not an error.
public enum CampaignResult: Hashable, Sendable {
    /// This node leads.
    case won(Leadership)
    /// Somebody else does.
    case lost(to: LeaderRecord)
}

/// What went wrong in an election.
public struct ElectionError: Error, Sendable, CustomStringConvertible {
    /// What a caller can act on.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String { case fenced, outcomeUnknown, unavailable, corrupted, unsupported, invalidArgument }
        private let value: Value
        private init(_ value: Value) { self.value = value }

        /// Somebody else leads: step down.
        public static let fenced = Code(.fenced)
        /// The swap may or may not have happened: read back.
        public static let outcomeUnknown = Code(.outcomeUnknown)
        /// Try again with backoff; nothing was changed.
        public static let unavailable = Code(.unavailable)
        /// The record cannot be read.
        public static let corrupted = Code(.corrupted)
        /// The backend cannot hold an election (a store without conditional writes, for instance).
        public static let unsupported = Code(.unsupported)
        /// A record that breaks the contract, such as a term that does not rise.
        public static let invalidArgument = Code(.invalidArgument)

        /// The code's name.
        public var description: String { value.rawValue }
    }

    /// What a caller can act on.
    public var code: Code
    /// What failed, and what to try.
    public var message: String
    /// The error below, if any.
    public var cause: (any Error)?

    /// Describes a failure.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// Message and cause, for a log line.
    public var description: String { cause.map { "\(message): \($0)" } ?? message }
}
