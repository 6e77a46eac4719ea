import Synchronization

/// What a client wants changed, before it is decided.
package enum ProposalKind: Sendable {
    case put(PutRequest)
    case deleteRange(DeleteRangeRequest)
    case txn(TxnRequest)
    /// The revision to compact to.
    case compact(Int64)
    /// A lease with an id that was chosen and a TTL of the minimum or more.
    case grant(LeaseRecord)
    case revoke(lease: Int64)
    case raise(Alarm)
    case disarm(Alarm)
    case auth(AuthRequest)
    case mirror(MirrorEntry)
}

/// The answer to a proposal.
package enum ProposalResponse: Sendable {
    case put(PutResponse)
    case deleteRange(DeleteRangeResponse)
    case txn(TxnResponse)
    case compact(Revision)
    case grant(LeaseGrantResponse)
    case revoke(Revision)
    /// Of `raise` the alarm; of `disarm` the alarm if it was raised.
    case alarm(Revision, Alarm?)
    case auth(Revision)
    case mirror(MirrorEntry.Outcome)
}

/// A proposal on its way through the commit pipeline. Its completion is called exactly once, from any thread: with the
/// first result.
package final class Proposal: Sendable {
    package typealias Completion = @Sendable (Result<ProposalResponse, DatabaseError>) -> Void

    package let kind: ProposalKind
    /// Who asks; nil for the node itself, which may do everything.
    package let requester: Requester?
    /// Bytes that the proposal counts against the queue's limit.
    package let byteCount: Int
    /// Runs since it was made.
    let stopwatch = Stopwatch()
    private let completion: Completion
    private let isCompleted = Atomic(false)

    package init(_ kind: ProposalKind, from requester: Requester? = nil, completion: @escaping Completion) {
        self.kind = kind
        self.requester = requester
        self.byteCount = kind.byteCount
        self.completion = completion
    }

    package func complete(_ result: Result<ProposalResponse, DatabaseError>) {
        if !isCompleted.exchange(true, ordering: .relaxed) { completion(result) }
    }
}

extension ProposalKind {
    /// Keys and values, with a flat charge per operation.
    var byteCount: Int {
        switch self {
        case .put(let request): 64 + request.key.count + request.value.count
        case .deleteRange(let request): 64 + request.key.count + request.rangeEnd.count
        case .txn(let request): request.byteCount
        case .compact, .grant, .revoke, .raise, .disarm: 64
        case .auth(let request): request.byteCount
        case .mirror(let entry): entry.byteCount
        }
    }

    /// Goes to whoever leads also from a node that takes no writes: logins, and the alarm that its own engine is damaged.
    var isTakenByReaders: Bool {
        switch self {
        case .auth(let request): request.isAboutTokens
        case .raise: true
        case .put, .deleteRange, .txn, .compact, .grant, .revoke, .disarm, .mirror: false
        }
    }

    /// Frees space or forgets, or is about the emergency itself, so that it is let through when the disk is nearly full.
    package var freesSpace: Bool {
        switch self {
        case .deleteRange, .compact, .revoke, .raise, .disarm: true
        case .auth(let request): request.freesSpace
        case .put, .txn, .grant, .mirror: false
        }
    }
}

extension TxnRequest {
    fileprivate var byteCount: Int {
        (success + failure).reduce(64 + compares.count * 64) { total, operation in
            switch operation {
            case .put(let request): total + 64 + request.key.count + request.value.count
            case .range(let request): total + 64 + request.key.count
            case .deleteRange(let request): total + 64 + request.key.count
            case .txn(let request): total + request.byteCount
            case .empty: total
            }
        }
    }
}

/// A change that was decided, with the version it replaces.
package struct StateChange: Sendable {
    package var mutation: Mutation
    /// The version before, of a put or a deletion.
    package var previous: StoredRecord?

    package init(_ mutation: Mutation, previous: StoredRecord? = nil) {
        self.mutation = mutation
        self.previous = previous
    }
}

/// What an entry of the log changes, and the revision it makes; `.none` when it makes none.
package struct EntryChanges: Sendable {
    package var changes: [StateChange]
    package var revision: Revision

    package init(changes: [StateChange], revision: Revision) {
        self.changes = changes
        self.revision = revision
    }
}

/// A proposal that was decided: its answer, valid once the entry (if any) is committed.
package struct Decision: Sendable {
    package var result: Result<ProposalResponse, DatabaseError>
    /// Empty when nothing changes: then there is no entry.
    package var changes: [StateChange]
    /// The revision the entry makes; `.none` when it makes none.
    package var revision: Revision

    package init(
        result: Result<ProposalResponse, DatabaseError>, changes: [StateChange] = [], revision: Revision = .none
    ) {
        self.result = result
        self.changes = changes
        self.revision = revision
    }
}
