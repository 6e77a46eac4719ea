// The form in which proposals travel to the leader; docs/formats.md, "Between nodes", describes every byte.
// Version 1: the first.

extension PeerWriter {
    /// Adds bytes behind their number (4).
    mutating func put(counted bytes: [UInt8]) {
        put(UInt32(bytes.count))
        put(raw: bytes)
    }

    mutating func put(_ flag: Bool) { put(UInt8(flag ? 1 : 0)) }

    /// Adds the number of values (4) and each of them.
    mutating func put<Value>(all values: [Value], _ body: (inout PeerWriter, Value) -> Void) {
        put(UInt32(values.count))
        for value in values { body(&self, value) }
    }

    /// Adds whether there is a value, and the value.
    mutating func put<Value>(optional value: Value?, _ body: (inout PeerWriter, Value) -> Void) {
        put(value != nil)
        if let value { body(&self, value) }
    }

    // MARK: Proposals

    private enum Kind: UInt8 {
        case put = 1
        case deleteRange, txn, compact, grant, revoke, raise, disarm, auth
    }

    /// Adds what is proposed.
    mutating func put(_ kind: ProposalKind) {
        switch kind {
        case .put(let request):
            put(Kind.put.rawValue)
            put(request)
        case .deleteRange(let request):
            put(Kind.deleteRange.rawValue)
            put(request)
        case .txn(let request):
            put(Kind.txn.rawValue)
            put(request)
        case .compact(let revision):
            put(Kind.compact.rawValue)
            put(revision)
        case .grant(let lease):
            put(Kind.grant.rawValue)
            put(lease.id)
            put(lease.ttl)
        case .revoke(let lease):
            put(Kind.revoke.rawValue)
            put(lease)
        case .raise(let alarm):
            put(Kind.raise.rawValue)
            put(alarm)
        case .disarm(let alarm):
            put(Kind.disarm.rawValue)
            put(alarm)
        case .auth(let request):
            put(Kind.auth.rawValue)
            put(request)
        case .mirror: preconditionFailure("whoever follows another database is alone")
        }
    }

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
        case .version(let value): put(target: 0, value)
        case .create(let value): put(target: 1, value)
        case .mod(let value): put(target: 2, value)
        case .lease(let value): put(target: 4, value)
        case .value(let bytes):
            put(UInt8(3))
            put(counted: bytes)
        }
    }

    private mutating func put(target: UInt8, _ value: Int64) {
        put(target)
        put(value)
    }

    private mutating func put(_ operation: RequestOperation) {
        switch operation {
        case .empty: put(UInt8(0))
        case .range(let request):
            put(UInt8(1))
            put(request)
        case .put(let request):
            put(UInt8(2))
            put(request)
        case .deleteRange(let request):
            put(UInt8(3))
            put(request)
        case .txn(let request):
            put(UInt8(4))
            put(request)
        }
    }

    mutating func put(_ alarm: Alarm) {
        put(alarm.kind.rawValue)
        put(alarm.member)
    }
}

extension PeerReader {
    /// Takes bytes that stand behind their number.
    mutating func counted() throws(PeerCodingError) -> [UInt8] { try raw(Int(number(UInt32.self))) }

    /// Takes so many values as a number in front of them says.
    mutating func all<Value>(
        _ body: (inout PeerReader) throws(PeerCodingError) -> Value
    ) throws(PeerCodingError) -> [Value] {
        let count: UInt32 = try number()
        var values: [Value] = []
        for _ in 0..<count { values.append(try body(&self)) }
        return values
    }

    /// Takes a value that may be missing.
    mutating func optional<Value>(
        _ field: String, _ body: (inout PeerReader) throws(PeerCodingError) -> Value
    ) throws(PeerCodingError) -> Value? {
        try flag(field) ? try body(&self) : nil
    }

    /// Takes a value that has a number.
    mutating func choice<Choice: RawRepresentable>(_ field: String) throws(PeerCodingError) -> Choice
    where Choice.RawValue: FixedWidthInteger & BitwiseCopyable {
        let value: Choice.RawValue = try number()
        guard let choice = Choice(rawValue: value) else {
            throw .unknown(field: field, UInt64(truncatingIfNeeded: value))
        }
        return choice
    }

    // MARK: Proposals

    /// Transactions within transactions that are taken: more than any request has that was let in.
    private static let depthMax = 128

    /// Takes what is proposed.
    mutating func proposal() throws(PeerCodingError) -> ProposalKind {
        let kind: UInt8 = try number()
        switch kind {
        case 1: return .put(try putRequest())
        case 2: return .deleteRange(try deleteRangeRequest())
        case 3: return .txn(try txnRequest(depth: 0))
        case 4: return .compact(try number())
        case 5: return .grant(LeaseRecord(id: try number(), ttl: try number()))
        case 6: return .revoke(lease: try number())
        case 7: return .raise(try alarm())
        case 8: return .disarm(try alarm())
        case 9: return .auth(try authRequest())
        default: throw .unknown(field: "proposal", UInt64(kind))
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
        let kind: UInt8 = try number()
        let target: Compare.Target
        switch kind {
        case 0: target = .version(try number())
        case 1: target = .create(try number())
        case 2: target = .mod(try number())
        case 3: target = .value(try counted())
        case 4: target = .lease(try number())
        default: throw .unknown(field: "target", UInt64(kind))
        }
        return Compare(key: key, rangeEnd: end, result: result, target: target)
    }

    private mutating func operation(depth: Int) throws(PeerCodingError) -> RequestOperation {
        let kind: UInt8 = try number()
        switch kind {
        case 0: return .empty
        case 1: return .range(try rangeRequest())
        case 2: return .put(try putRequest())
        case 3: return .deleteRange(try deleteRangeRequest())
        case 4: return .txn(try txnRequest(depth: depth + 1))
        default: throw .unknown(field: "operation", UInt64(kind))
        }
    }

    mutating func alarm() throws(PeerCodingError) -> Alarm { Alarm(try choice("alarm"), member: try number()) }
}
