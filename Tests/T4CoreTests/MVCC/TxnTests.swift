import T4Core
import Testing

/// Transactions: comparisons, order of effects, refusals. Each case is one that etcd answers this way.
struct TxnTests {
    private let test: TestNode
    private var node: Node { test.node }

    init() throws { test = try TestNode() }

    private func key(_ text: String) -> [UInt8] { [UInt8](text) }

    private func put(_ text: String, _ value: String) -> RequestOperation {
        .put(PutRequest(key: key(text), value: key(value)))
    }

    private func get(_ text: String, end: String = "", revision: Int64 = 0) -> RequestOperation {
        .range(RangeRequest(key: key(text), rangeEnd: key(end), revision: revision))
    }

    private func delete(_ text: String, end: String = "") -> RequestOperation {
        .deleteRange(DeleteRangeRequest(key: key(text), rangeEnd: key(end)))
    }

    private func run(
        if compares: [Compare] = [], _ success: [RequestOperation], else failure: [RequestOperation] = []
    ) async throws -> TxnResponse {
        try await node.txn(TxnRequest(compares: compares, success: success, failure: failure))
    }

    private func code(_ success: [RequestOperation], _ failure: [RequestOperation] = []) async -> DatabaseError.Code? {
        do {
            _ = try await run(success, else: failure)
            return nil
        } catch {
            return (error as? DatabaseError)?.code
        }
    }

    @Test func operationsSeeEarlierOnes() async throws {
        _ = try await run([put("old", "0")])
        let response = try await run(
            [get("a"), put("a", "1"), get("a"), delete("old"), delete("none"), put("b", "2"), get("a", end: "z")])
        #expect(response.revision == Revision(3))
        let texts = response.responses.map { response -> String in
            switch response {
            case .range(let range): "\(range.revision):" + range.kvs.map(\.text).joined(separator: ",")
            case .put(let put): "put \(put.revision)"
            case .deleteRange(let delete): "delete \(delete.deleted) \(delete.revision)"
            case .txn: "txn"
            }
        }
        #expect(texts == ["2:", "put 3", "3:a=1", "delete 1 3", "delete 0 3", "put 3", "3:a=1,b=2"])
    }

    @Test(arguments: [
        (Compare.Result.equal, [true, false, false]), (.notEqual, [false, true, true]),
        (.greater, [false, false, true]), (.less, [false, true, false]),
    ])
    func comparisons(_ result: Compare.Result, _ expected: [Bool]) async throws {
        _ = try await run([put("k", "m")])
        // Stored: version 1, create 2, mod 2, lease 0, value "m"; given: equal, above, below.
        let targets: [[Compare.Target]] = [
            [.version(1), .version(2), .version(0)], [.create(2), .create(3), .create(1)],
            [.mod(2), .mod(3), .mod(1)], [.lease(0), .lease(1), .lease(-1)],
            [.value(key("m")), .value(key("n")), .value(key("l"))],
        ]
        for target in targets {
            for (given, holds) in zip(target, expected) {
                let compare = Compare(key: key("k"), result: result, target: given)
                #expect(try await run(if: [compare], []).succeeded == holds, "\(result) \(given)")
            }
        }
    }

    @Test func absentKeysAreZeroButHaveNoValue() async throws {
        func holds(_ result: Compare.Result, _ target: Compare.Target, end: String = "") async throws -> Bool {
            let compare = Compare(key: key("x"), rangeEnd: key(end), result: result, target: target)
            return try await run(if: [compare], []).succeeded
        }
        #expect(try await holds(.equal, .version(0)))
        #expect(try await holds(.equal, .create(0), end: "z"))
        #expect(try await holds(.less, .mod(1)))
        for result in [Compare.Result.equal, .notEqual, .less, .greater] {
            #expect(try await holds(result, .value([])) == false)
        }
    }

    @Test func rangeComparesNeedEveryKey() async throws {
        _ = try await run([put("a", "1"), put("b", "1")])
        let compare = Compare(key: key("a"), rangeEnd: key("c"), result: .equal, target: .value(key("1")))
        #expect(try await run(if: [compare], []).succeeded)
        _ = try await run([put("b", "2")])
        #expect(try await run(if: [compare], []).succeeded == false)
    }

    @Test func aTxnWithoutWritesMakesNoRevision() async throws {
        _ = try await run([put("a", "1")])
        let compare = Compare(key: key("a"), result: .equal, target: .version(9))
        let response = try await run(if: [compare], [put("a", "2")], else: [get("a")])
        #expect(response.succeeded == false && response.revision == Revision(2))
        #expect(node.revision == Revision(2))
        #expect(try await run([get("a")]).revision == Revision(2))
        #expect(try await run([delete("nothing")]).revision == Revision(2))
    }

    @Test func nestedComparesLookAtTheStateBefore() async throws {
        let inner = TxnRequest(
            compares: [Compare(key: key("a"), result: .equal, target: .version(0))], success: [put("b", "absent")],
            failure: [put("b", "present")])
        let response = try await run([put("a", "1"), .txn(inner)])
        #expect(response.revision == Revision(2))
        #expect(try node.range(RangeRequest(key: key("b"))).kvs.map(\.text) == ["b=absent"])
    }

    @Test func refusals() async throws {
        _ = try await run([put("a", "1")])
        #expect(await code([put("k", "1"), put("k", "2")]) == .duplicateKey)
        #expect(await code([], [put("k", "1"), delete("j", end: "l")]) == .duplicateKey)
        #expect(await code([delete("a", end: "c"), delete("b")]) == nil)
        func nested(_ success: [RequestOperation], _ failure: [RequestOperation] = []) -> RequestOperation {
            .txn(TxnRequest(compares: [], success: success, failure: failure))
        }
        #expect(await code([nested([put("k", "1")], [put("k", "2")])]) == nil)
        #expect(await code([nested([put("k", "1")]), put("k", "2")]) == .duplicateKey)
        #expect(await code([nested([], [put("k", "1")]), nested([put("k", "2")])]) == .duplicateKey)
        #expect(await code([nested([put("k", "1")]), delete("k")]) == .duplicateKey)
        #expect(await code([.empty]) == .keyNotFound)
        #expect(await code([put("", "1")]) == .keyNotProvided)
        let many = (0...128).map { put("k\($0)", "v") }
        #expect(await code(many) == .tooManyOperations)
        #expect(await code(Array(many.dropLast())) == nil)
        #expect(await code(Array(many.dropLast(2)) + [nested(Array(many.suffix(1)))]) == .tooManyOperations)
        #expect(await code([.put(PutRequest(key: key("z"), value: [], lease: 5))]) == .leaseNotFound)
    }

    /// etcd lets this pass, since it compares puts only with the deletions before them, and writes the key twice in one
    /// revision; t4 keeps to its rule, for what really runs.
    @Test func aKeyThatWasPutIsNotDeletedInTheSameTxn() async throws {
        _ = try await run([put("k", "0")])
        let before = node.revision
        let absent = Compare(key: key("k"), result: .equal, target: .version(0))
        func nested(_ compares: [Compare], _ success: [RequestOperation]) -> RequestOperation {
            .txn(TxnRequest(compares: compares, success: success, failure: []))
        }
        let deletion = delete("j", end: "l")
        #expect(await code([nested([], [put("k", "1")]), nested([], [deletion])]) == .duplicateKey)
        #expect(
            await code([put("other", "1"), nested([], [put("new", "1")]), nested([], [delete("new")])]) == .duplicateKey
        )
        #expect(node.revision == before)
        #expect(await code([nested([], [put("k", "1")]), nested([absent], [deletion])]) == nil)
        #expect(await code([nested([absent], [put("k", "1")]), nested([], [deletion])]) == nil)
        #expect(node.revision.rawValue == before.rawValue + 2)
    }

    /// etcd lets these pass by accident and writes the key twice in one revision; t4 keeps to its rule.
    @Test func deletingFromAKeyOnCoversPuts() async throws {
        _ = try await run([put("k", "0")])
        let before = node.revision
        for start in ["a", "k", "\0"] {
            let fromKey = delete(start, end: "\0")
            #expect(await code([put("k", "1"), fromKey]) == .duplicateKey)
            #expect(await code([fromKey, put("k", "1")]) == .duplicateKey)
            let nested = TxnRequest(compares: [], success: [fromKey], failure: [])
            #expect(await code([put("k", "1"), .txn(nested)]) == .duplicateKey)
        }
        #expect(node.revision == before)
        #expect(await code([put("k", "1"), delete("l", end: "\0")]) == nil)
        #expect(node.revision == before.next)
    }

    @Test func aRefusedTxnWritesNothing() async throws {
        _ = try await run([put("a", "1")])
        let before = node.revision
        #expect(await code([put("b", "1"), get("a", revision: 99)]) == .futureRevision)
        #expect(
            await code([put("b", "1"), .put(PutRequest(key: key("c"), value: [], ignoreValue: true))]) == .keyNotFound)
        #expect(node.revision == before)
        #expect(try node.range(RangeRequest(key: key("b"))).count == 0)
    }

    /// A read at an older revision inside a transaction needs history that may still be on its way to the engine.
    @Test func historyInsideATransaction() async throws {
        let node = node
        try await withThrowingTaskGroup(of: Void.self) { group in
            for count in 0..<40 {
                group.addTask { try await node.put(PutRequest(key: [UInt8]("h"), value: [UInt8("\(count % 10)")!])) }
            }
            try await group.waitForAll()
        }
        async let writes: Void = {
            for _ in 0..<20 { try await node.put(PutRequest(key: [UInt8]("h"), value: [1])) }
        }()
        for revision in Int64(2)...41 {
            let response = try await run([get("h", revision: revision), put("other", "x")])
            guard case .range(let range) = response.responses[0] else {
                Issue.record("no range")
                return
            }
            #expect(range.kvs.first?.modRevision == Revision(revision))
        }
        try await writes
    }
}
