import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: what travels to the leader and back arrives as it was, and nothing else is taken for it. Method: random requests and
/// answers; bytes put together by hand; damage.
@Suite struct RequestCodingTests {
    private static let seed = PeerSeed(DatabaseID(low: 1, high: 2))

    /// Every field, by its name.
    private func text(_ value: some Any) -> String {
        var text = ""
        dump(value, to: &text)
        return text
    }

    private func check(_ request: LeaderRequest) throws {
        let bytes = request.encoded(Self.seed)
        let read = try LeaderRequest(bytes, Self.seed)
        #expect(text(read) == text(request))
        try damage(bytes) { try LeaderRequest($0, Self.seed) }
    }

    private func check(_ answer: LeaderAnswer) throws {
        let bytes = answer.encoded(Self.seed)
        let read = try LeaderAnswer(bytes, Self.seed)
        #expect(text(read) == text(answer))
        try damage(bytes) { try LeaderAnswer($0, Self.seed) }
    }

    private func damage(_ bytes: [UInt8], _ read: ([UInt8]) throws -> some Any) throws {
        for wrong in [Array(bytes.dropLast()), bytes + [0], Array(bytes.prefix(3)), []] {
            #expect(throws: PeerCodingError.self) { try read(wrong) }
        }
        var changed = bytes
        changed[bytes.count / 2] ^= 4
        #expect(throws: PeerCodingError.self) { try read(changed) }
    }

    @Test func requests() throws {
        var random = SeededGenerator(seed: 11)
        var kinds: Set<Int> = []
        for _ in 0..<400 {
            let requester = random.maybe { Requester(user: $0.maybe { $0.bytes() }, revision: $0.next()) }
            try check(.proposal(random.proposal(&kinds), from: requester))
        }
        #expect(kinds.count == 9)
        try check(.queries([]))
        try check(.queries([.index, .renew(7), .timeToLive(-1), .members, .index]))
    }

    @Test func changesOfUsers() throws {
        let (a, b, c) = ([1] as [UInt8], [2, 3] as [UInt8], [] as [UInt8])
        let permission = AuthPermission(.readWrite, key: a, rangeEnd: b)
        let token = AuthToken(hash: a, user: b, expires: 9)
        let requests: [AuthRequest] = [
            .enable, .disable, .addUser(AuthUser(a, password: b, hasNoPassword: true, roles: [a, c])), .deleteUser(a),
            .changePassword(user: a, password: b), .grantRole(user: a, role: b), .revokeRole(user: a, role: b),
            .addRole(a), .deleteRole(a), .grantPermission(role: c, permission),
            .revokePermission(role: a, key: b, rangeEnd: c), .issueToken(token, checkedRevision: 3),
            .extendToken(hash: a, expires: 4), .removeTokens(hashes: [a, b]),
        ]
        for request in requests { try check(.proposal(.auth(request), from: nil)) }
    }

    @Test func answers() throws {
        var random = SeededGenerator(seed: 12)
        var kinds: Set<Int> = []
        for _ in 0..<400 { try check(.committed(random.response(&kinds), index: random.next())) }
        #expect(kinds.count == 8)
        let time = LeaseTime(remaining: 3, granted: 4)
        let member = ClusterMember(
            instance: "i", name: "n", address: "a:1", clientURLs: ["http://c", ""], match: 8, isInSync: true)
        try check(
            .replies(
                [.index, .renewed(5), .renewed(nil), .timeToLive(time), .timeToLive(nil), .members([member])], index: 6)
        )
        try check(.failed(DatabaseError(.leaseNotFound, "which one?")))
        try check(.failed(DatabaseError(.authRevisionOld)))
    }

    /// The bytes that docs/formats.md describes.
    @Test func bytes() throws {
        func piece(_ content: [UInt8]) -> [UInt8] {
            var writer = PeerWriter()
            writer.put(raw: content)
            return writer.sealed(Self.seed)
        }
        func little(_ value: UInt64, _ size: Int) -> [UInt8] {
            (0..<size).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
        }
        let put = PutRequest(key: [7], value: [8, 9], lease: 10, previous: true)
        let keyed = little(1, 4) + [7]
        let content = keyed + little(2, 4) + [8, 9] + little(10, 8) + [1, 0, 0]
        #expect(LeaderRequest.proposal(.put(put), from: nil).encoded(Self.seed) == piece([2, 0, 1] + content))
        let from = Requester(user: [5], revision: 6)
        #expect(
            LeaderRequest.proposal(.put(put), from: from).encoded(Self.seed)
                == piece([2, 1, 1] + little(1, 4) + [5] + little(6, 8) + [1] + content))
        #expect(
            LeaderRequest.queries([.index, .renew(3)]).encoded(Self.seed)
                == piece([1] + little(2, 4) + [0, 1] + little(3, 8)))
        #expect(
            LeaderAnswer.committed(.revoke(Revision(4)), index: 5).encoded(Self.seed)
                == piece([2] + little(5, 8) + [6] + little(4, 8)))
        #expect(
            LeaderAnswer.failed(DatabaseError(.noSpace, "x")).encoded(Self.seed)
                == piece([3] + little(7, 4) + Array("noSpace".utf8) + little(1, 4) + Array("x".utf8)))
        // Numbers that mean nothing.
        for wrong in [[0], [3], [2, 0, 0], [2, 0, 10], [2, 2], [1] + little(1, 4) + [4]] as [[UInt8]] {
            #expect(throws: PeerCodingError.self) { try LeaderRequest(piece(wrong), Self.seed) }
        }
        for wrong in [[0], [4], [2] + little(5, 8) + [9], [3] + little(1, 4) + [120, 0, 0, 0, 0]] as [[UInt8]] {
            #expect(throws: PeerCodingError.self) { try LeaderAnswer(piece(wrong), Self.seed) }
        }
    }

    /// Nested as deeply as a client may: taken; deeper: refused, not a stack that overflows.
    @Test func nesting() throws {
        func nested(_ depth: Int) -> TxnRequest {
            var request = TxnRequest(compares: [], success: [])
            for _ in 1..<depth { request = TxnRequest(compares: [], success: [.txn(request)]) }
            return request
        }
        try check(.proposal(.txn(nested(128)), from: nil))
        // No comparison, one operation: a transaction.
        let level: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 0, 4]
        for depth in [129, 1_000_000] {
            var writer = PeerWriter()
            writer.put(raw: [2, 0, 3])
            for _ in 0..<depth { writer.put(raw: level) }
            let bytes = writer.sealed(Self.seed)
            #expect(throws: PeerCodingError.contradiction("transactions nested too deeply")) {
                try LeaderRequest(bytes, Self.seed)
            }
        }
    }
}

extension SeededGenerator {
    fileprivate mutating func bytes() -> [UInt8] {
        (0..<Int.random(in: 0..<9, using: &self)).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    fileprivate mutating func flag() -> Bool { Bool.random(using: &self) }

    fileprivate mutating func integer() -> Int64 { Int64(bitPattern: next()) }

    fileprivate mutating func maybe<Value>(_ make: (inout Self) -> Value) -> Value? { flag() ? make(&self) : nil }

    fileprivate mutating func some<Value>(_ make: (inout Self) -> Value) -> [Value] {
        (0..<Int.random(in: 0..<4, using: &self)).map { _ in make(&self) }
    }

    fileprivate mutating func proposal(_ kinds: inout Set<Int>) -> ProposalKind {
        let kind = Int.random(in: 0..<9, using: &self)
        kinds.insert(kind)
        switch kind {
        case 0: return .put(put())
        case 1: return .deleteRange(delete())
        case 2: return .txn(txn(depth: 0))
        case 3: return .compact(integer())
        case 4: return .grant(LeaseRecord(id: integer(), ttl: integer()))
        case 5: return .revoke(lease: integer())
        case 6: return .raise(Alarm(.corrupt, member: next()))
        case 7: return .disarm(Alarm(.noSpace, member: next()))
        default: return .auth(.changePassword(user: bytes(), password: bytes()))
        }
    }

    private mutating func put() -> PutRequest {
        PutRequest(
            key: bytes(), value: bytes(), lease: integer(), previous: flag(), ignoreValue: flag(), ignoreLease: flag())
    }

    private mutating func delete() -> DeleteRangeRequest {
        DeleteRangeRequest(key: bytes(), rangeEnd: bytes(), previous: flag())
    }

    private mutating func range() -> RangeRequest {
        RangeRequest(
            key: bytes(), rangeEnd: bytes(), limit: integer(), revision: integer(),
            sortOrder: [.none, .ascend, .descend].randomElement(using: &self)!,
            sortTarget: [.key, .version, .create, .mod, .value].randomElement(using: &self)!, serializable: flag(),
            keysOnly: flag(), countOnly: flag(), minModRevision: integer(), maxModRevision: integer(),
            minCreateRevision: integer(), maxCreateRevision: integer())
    }

    private mutating func txn(depth: Int) -> TxnRequest {
        TxnRequest(
            compares: some { random in
                let targets: [Compare.Target] = [
                    .version(random.integer()), .create(random.integer()), .mod(random.integer()),
                    .lease(random.integer()), .value(random.bytes()),
                ]
                return Compare(
                    key: random.bytes(), rangeEnd: random.bytes(),
                    result: [.equal, .greater, .less, .notEqual].randomElement(using: &random)!,
                    target: targets.randomElement(using: &random)!)
            }, success: some { $0.operation(depth: depth) }, failure: some { $0.operation(depth: depth) })
    }

    private mutating func operation(depth: Int) -> RequestOperation {
        switch Int.random(in: 0..<(depth < 3 ? 5 : 4), using: &self) {
        case 0: .range(range())
        case 1: .put(put())
        case 2: .deleteRange(delete())
        case 3: .empty
        default: .txn(txn(depth: depth + 1))
        }
    }

    private mutating func revision() -> Revision { Revision(integer()) }

    private mutating func keyValue() -> KeyValue {
        KeyValue(
            key: bytes(), createRevision: revision(), modRevision: revision(), version: integer(), lease: integer(),
            value: bytes())
    }

    fileprivate mutating func response(_ kinds: inout Set<Int>) -> ProposalResponse {
        let kind = Int.random(in: 0..<8, using: &self)
        kinds.insert(kind)
        switch kind {
        case 0: return .put(putResponse())
        case 1: return .deleteRange(deleteResponse())
        case 2: return .txn(txnResponse(depth: 0))
        case 3: return .compact(revision())
        case 4: return .grant(LeaseGrantResponse(revision: revision(), id: integer(), ttl: integer()))
        case 5: return .revoke(revision())
        case 6: return .alarm(revision(), maybe { Alarm(.noSpace, member: $0.next()) })
        default: return .auth(revision())
        }
    }

    private mutating func putResponse() -> PutResponse {
        PutResponse(revision: revision(), previous: maybe { $0.keyValue() })
    }

    private mutating func deleteResponse() -> DeleteRangeResponse {
        DeleteRangeResponse(revision: revision(), deleted: integer(), previous: some { $0.keyValue() })
    }

    private mutating func txnResponse(depth: Int) -> TxnResponse {
        TxnResponse(
            revision: revision(), succeeded: flag(),
            responses: some { random in
                switch Int.random(in: 0..<(depth < 3 ? 4 : 3), using: &random) {
                case 0:
                    .range(
                        RangeResponse(
                            revision: random.revision(), kvs: random.some { $0.keyValue() }, more: random.flag(),
                            count: random.integer()))
                case 1: .put(random.putResponse())
                case 2: .deleteRange(random.deleteResponse())
                default: .txn(random.txnResponse(depth: depth + 1))
                }
            })
    }
}
