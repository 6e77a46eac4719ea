// The form in which proposals travel to the leader; docs/formats.md, "Between nodes", describes every byte.
// Version 1: the first.

private enum Kind: UInt8 {
    case put = 1
    case deleteRange, txn, compact, grant, revoke, raise, disarm, auth
}

private enum TargetKind: UInt8 {
    case version, create, mod, value, lease
}

private enum OperationKind: UInt8 {
    case empty, range, put, deleteRange, txn
}

extension PeerWriter {
    /// Adds what is proposed.
    mutating func put(_ kind: ProposalKind) {
        switch kind {
        case .put(let request):
            begin(.put)
            put(request)
        case .deleteRange(let request):
            begin(.deleteRange)
            put(request)
        case .txn(let request):
            begin(.txn)
            put(request)
        case .compact(let revision):
            begin(.compact)
            put(revision)
        case .grant(let lease):
            begin(.grant)
            put(lease.id)
            put(lease.ttl)
        case .revoke(let lease):
            begin(.revoke)
            put(lease)
        case .raise(let alarm):
            begin(.raise)
            put(alarm)
        case .disarm(let alarm):
            begin(.disarm)
            put(alarm)
        case .auth(let request):
            begin(.auth)
            put(request)
        case .mirror: preconditionFailure("whoever follows another database is alone")
        }
    }

    private mutating func begin(_ kind: Kind) { put(kind.rawValue) }

    /// Adds who asks.
    mutating func put(_ requester: Requester) {
        put(optional: requester.user) { $0.put(counted: $1) }
        put(requester.revision)
    }

    private mutating func put(_ request: PutRequest) {
        put(counted: request.key)
        put(counted: request.value)
        put(request.lease)
        put(request.previous)
        put(request.ignoreValue)
        put(request.ignoreLease)
    }

    private mutating func put(_ request: DeleteRangeRequest) {
        put(counted: request.key)
        put(counted: request.rangeEnd)
        put(request.previous)
    }

    private mutating func put(_ request: RangeRequest) {
        put(counted: request.key)
        put(counted: request.rangeEnd)
        put(request.limit)
        put(request.revision)
        put(request.sortOrder.rawValue)
        put(request.sortTarget.rawValue)
        put(request.serializable)
        put(request.keysOnly)
        put(request.countOnly)
        put(request.minModRevision)
        put(request.maxModRevision)
        put(request.minCreateRevision)
        put(request.maxCreateRevision)
    }

    private mutating func put(_ request: TxnRequest) {
        put(all: request.compares) { $0.put($1) }
        put(all: request.success) { $0.put($1) }
        put(all: request.failure) { $0.put($1) }
    }

    private mutating func put(_ compare: Compare) {
        put(counted: compare.key)
        put(counted: compare.rangeEnd)
        put(compare.result.rawValue)
        switch compare.target {
        case .version(let value): put(target: .version, value)
        case .create(let value): put(target: .create, value)
        case .mod(let value): put(target: .mod, value)
        case .lease(let value): put(target: .lease, value)
        case .value(let bytes):
            put(TargetKind.value.rawValue)
            put(counted: bytes)
        }
    }

    private mutating func put(target: TargetKind, _ value: Int64) {
        put(target.rawValue)
        put(value)
    }

    private mutating func put(_ operation: RequestOperation) {
        switch operation {
        case .empty: put(OperationKind.empty.rawValue)
        case .range(let request):
            put(OperationKind.range.rawValue)
            put(request)
        case .put(let request):
            put(OperationKind.put.rawValue)
            put(request)
        case .deleteRange(let request):
            put(OperationKind.deleteRange.rawValue)
            put(request)
        case .txn(let request):
            put(OperationKind.txn.rawValue)
            put(request)
        }
    }

    mutating func put(_ alarm: Alarm) {
        put(alarm.kind.rawValue)
        put(alarm.member)
    }
}

extension PeerReader {
    /// Transactions within transactions that are taken: more than any request has that was let in.
    private static let depthMax = 128

    /// Takes what is proposed.
    mutating func proposal() throws(PeerCodingError) -> ProposalKind {
        let kind: Kind = try choice("proposal")
        switch kind {
        case .put: return .put(try putRequest())
        case .deleteRange: return .deleteRange(try deleteRangeRequest())
        case .txn: return .txn(try txnRequest(depth: 0))
        case .compact: return .compact(try number())
        case .grant: return .grant(LeaseRecord(id: try number(), ttl: try number()))
        case .revoke: return .revoke(lease: try number())
        case .raise: return .raise(try alarm())
        case .disarm: return .disarm(try alarm())
        case .auth: return .auth(try authRequest())
        }
    }

    /// Takes who asks.
    mutating func requester() throws(PeerCodingError) -> Requester {
        Requester(
            user: try optional("user") { (reader) throws(PeerCodingError) in try reader.counted() },
            revision: try number())
    }

    private mutating func putRequest() throws(PeerCodingError) -> PutRequest {
        PutRequest(
            key: try counted(), value: try counted(), lease: try number(), previous: try flag("previous"),
            ignoreValue: try flag("ignore_value"), ignoreLease: try flag("ignore_lease"))
    }

    private mutating func deleteRangeRequest() throws(PeerCodingError) -> DeleteRangeRequest {
        DeleteRangeRequest(key: try counted(), rangeEnd: try counted(), previous: try flag("previous"))
    }

    private mutating func rangeRequest() throws(PeerCodingError) -> RangeRequest {
        RangeRequest(
            key: try counted(), rangeEnd: try counted(), limit: try number(), revision: try number(),
            sortOrder: try choice("sort order"), sortTarget: try choice("sort target"),
            serializable: try flag("serializable"), keysOnly: try flag("keys_only"), countOnly: try flag("count_only"),
            minModRevision: try number(), maxModRevision: try number(), minCreateRevision: try number(),
            maxCreateRevision: try number())
    }

    private mutating func txnRequest(depth: Int) throws(PeerCodingError) -> TxnRequest {
        guard depth < PeerReader.depthMax else { throw .contradiction("transactions nested too deeply") }
        let compares = try all { (reader) throws(PeerCodingError) in try reader.compare() }
        let success = try all { (reader) throws(PeerCodingError) in try reader.operation(depth: depth) }
        let failure = try all { (reader) throws(PeerCodingError) in try reader.operation(depth: depth) }
        return TxnRequest(compares: compares, success: success, failure: failure)
    }

    private mutating func compare() throws(PeerCodingError) -> Compare {
        let (key, end) = (try counted(), try counted())
        let result: Compare.Result = try choice("comparison")
        let kind: TargetKind = try choice("target")
        let target: Compare.Target
        switch kind {
        case .version: target = .version(try number())
        case .create: target = .create(try number())
        case .mod: target = .mod(try number())
        case .value: target = .value(try counted())
        case .lease: target = .lease(try number())
        }
        return Compare(key: key, rangeEnd: end, result: result, target: target)
    }

    private mutating func operation(depth: Int) throws(PeerCodingError) -> RequestOperation {
        let kind: OperationKind = try choice("operation")
        switch kind {
        case .empty: return .empty
        case .range: return .range(try rangeRequest())
        case .put: return .put(try putRequest())
        case .deleteRange: return .deleteRange(try deleteRangeRequest())
        case .txn: return .txn(try txnRequest(depth: depth + 1))
        }
    }

    mutating func alarm() throws(PeerCodingError) -> Alarm { Alarm(try choice("alarm"), member: try number()) }
}
