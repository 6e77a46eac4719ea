// What became of a proposal, on its way back from the leader, as in `ProposalCoding.swift`.

extension PeerWriter {
    /// Adds an answer.
    mutating func put(_ response: ProposalResponse) {
        switch response {
        case .put(let response):
            put(UInt8(1))
            put(response)
        case .deleteRange(let response):
            put(UInt8(2))
            put(response)
        case .txn(let response):
            put(UInt8(3))
            put(response)
        case .compact(let revision):
            put(UInt8(4))
            put(revision)
        case .grant(let response):
            put(UInt8(5))
            put(response.revision)
            put(response.id)
            put(response.ttl)
        case .revoke(let revision):
            put(UInt8(6))
            put(revision)
        case .alarm(let revision, let alarm):
            put(UInt8(7))
            put(revision)
            put(optional: alarm) { $0.put($1) }
        case .auth(let revision):
            put(UInt8(8))
            put(revision)
        case .mirror: preconditionFailure("whoever follows another database is alone")
        }
    }

    private mutating func put(_ revision: Revision) { put(revision.rawValue) }

    private mutating func put(_ keyValue: KeyValue) {
        put(counted: keyValue.key)
        put(keyValue.createRevision)
        put(keyValue.modRevision)
        put(keyValue.version)
        put(keyValue.lease)
        put(counted: keyValue.value)
    }

    private mutating func put(_ response: PutResponse) {
        put(response.revision)
        put(optional: response.previous) { $0.put($1) }
    }

    private mutating func put(_ response: DeleteRangeResponse) {
        put(response.revision)
        put(response.deleted)
        put(all: response.previous) { $0.put($1) }
    }

    private mutating func put(_ response: RangeResponse) {
        put(response.revision)
        put(all: response.kvs) { $0.put($1) }
        put(response.more)
        put(response.count)
    }

    private mutating func put(_ response: TxnResponse) {
        put(response.revision)
        put(response.succeeded)
        put(all: response.responses) { writer, response in
            switch response {
            case .range(let response):
                writer.put(UInt8(1))
                writer.put(response)
            case .put(let response):
                writer.put(UInt8(2))
                writer.put(response)
            case .deleteRange(let response):
                writer.put(UInt8(3))
                writer.put(response)
            case .txn(let response):
                writer.put(UInt8(4))
                writer.put(response)
            }
        }
    }

    /// Adds why something was refused.
    mutating func put(_ error: DatabaseError) {
        put(error.code.rawValue)
        put(error.message)
    }
}

extension PeerReader {
    /// Takes an answer.
    mutating func response() throws(PeerCodingError) -> ProposalResponse {
        let kind: UInt8 = try number()
        switch kind {
        case 1: return .put(try putResponse())
        case 2: return .deleteRange(try deleteRangeResponse())
        case 3: return .txn(try txnResponse())
        case 4: return .compact(try revision())
        case 5: return .grant(LeaseGrantResponse(revision: try revision(), id: try number(), ttl: try number()))
        case 6: return .revoke(try revision())
        case 7:
            return .alarm(
                try revision(), try optional("alarm") { (reader) throws(PeerCodingError) in try reader.alarm() })
        case 8: return .auth(try revision())
        default: throw .unknown(field: "answer", UInt64(kind))
        }
    }

    private mutating func revision() throws(PeerCodingError) -> Revision { Revision(try number()) }

    private mutating func keyValue() throws(PeerCodingError) -> KeyValue {
        KeyValue(
            key: try counted(), createRevision: try revision(), modRevision: try revision(), version: try number(),
            lease: try number(), value: try counted())
    }

    private mutating func keyValues() throws(PeerCodingError) -> [KeyValue] {
        try all { (reader) throws(PeerCodingError) in try reader.keyValue() }
    }

    private mutating func putResponse() throws(PeerCodingError) -> PutResponse {
        PutResponse(
            revision: try revision(),
            previous: try optional("previous") { (reader) throws(PeerCodingError) in try reader.keyValue() })
    }

    private mutating func deleteRangeResponse() throws(PeerCodingError) -> DeleteRangeResponse {
        DeleteRangeResponse(revision: try revision(), deleted: try number(), previous: try keyValues())
    }

    private mutating func rangeResponse() throws(PeerCodingError) -> RangeResponse {
        RangeResponse(revision: try revision(), kvs: try keyValues(), more: try flag("more"), count: try number())
    }

    private mutating func txnResponse() throws(PeerCodingError) -> TxnResponse {
        TxnResponse(
            revision: try revision(), succeeded: try flag("succeeded"),
            responses: try all { (reader) throws(PeerCodingError) in
                let kind: UInt8 = try reader.number()
                switch kind {
                case 1: return .range(try reader.rangeResponse())
                case 2: return .put(try reader.putResponse())
                case 3: return .deleteRange(try reader.deleteRangeResponse())
                case 4: return .txn(try reader.txnResponse())
                default: throw .unknown(field: "response", UInt64(kind))
                }
            })
    }

    /// Takes why something was refused.
    mutating func databaseError() throws(PeerCodingError) -> DatabaseError {
        let name = try text()
        guard let code = DatabaseError.Code(rawValue: name) else {
            throw .contradiction("an error \(name) that is unknown here")
        }
        return DatabaseError(code, try text())
    }
}
