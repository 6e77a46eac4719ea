import T4BuiltIns
import T4Core
import T4Protocols
import Testing

/// Alarms: which requests each refuses, and that only its end ends it.
struct AlarmTests {
    private let member: UInt64 = 0xFEDC_BA98_7654_3210

    private func key(_ text: String) -> [UInt8] { [UInt8](text) }

    private func code(_ body: () async throws -> Void) async -> DatabaseError.Code? {
        do {
            try await body()
            return nil
        } catch {
            return (error as? DatabaseError)?.code
        }
    }

    private func expect(
        _ wanted: DatabaseError.Code?, at location: SourceLocation = #_sourceLocation,
        _ body: () async throws -> Void
    ) async {
        let found = await code(body)
        #expect(found == wanted, sourceLocation: location)
    }

    private func put(_ node: Node, _ text: String = "a", lease: Int64 = 0) async -> DatabaseError.Code? {
        await code { try await node.put(PutRequest(key: key(text), value: [1], lease: lease)) }
    }

    private func txn(
        _ node: Node, _ success: [RequestOperation], else failure: [RequestOperation] = []
    ) async -> DatabaseError.Code? {
        await code { try await node.txn(TxnRequest(compares: [], success: success, failure: failure)) }
    }

    @Test func withoutSpaceNothingIsAddedAndAllElseWorks() async throws {
        let test = try TestNode()
        let node = test.node
        let lease = try await node.grantLease(ttl: 100_000)
        #expect(await put(node, lease: lease.id) == nil)
        #expect(await put(node, "b") == nil)
        try await node.raise(Alarm(.noSpace, member: member))

        let putting = RequestOperation.put(PutRequest(key: key("a"), value: [2]))
        let deleting = RequestOperation.deleteRange(DeleteRangeRequest(key: key("b")))
        #expect(await put(node) == .noSpace)
        #expect(await put(node, lease: 99) == .noSpace)
        #expect(await txn(node, [putting]) == .noSpace)
        #expect(await txn(node, [deleting], else: [putting]) == .noSpace, "the branch that does not run counts too")
        await expect(.noSpace) { _ = try await node.grantLease(ttl: 10) }
        await expect(.noSpace) { _ = try await node.grantLease(ttl: 9_000_000_001) }
        #expect(node.revision == Revision(3), "nothing was written")

        #expect(await txn(node, [deleting]) == nil)
        #expect(node.revision == Revision(4))
        // As etcd counts.
        #expect(await txn(node, [.txn(TxnRequest(compares: [], success: [putting], failure: []))]) == nil)
        #expect(node.revision == Revision(5))
        #expect(try node.range(RangeRequest(key: key("a"))).kvs.map(\.value) == [[2]])
        await expect(nil) { try await node.deleteRange(DeleteRangeRequest(key: key("a"))) }
        await expect(nil) { try await node.revokeLease(lease.id) }
        await expect(nil) { try await node.compact(CompactionRequest(revision: 4, physical: true)) }

        #expect(try await node.disarm(Alarm(.noSpace, member: member)))
        #expect(await put(node) == nil)
    }

    @Test func corruptDataCanBeReadButNotChanged() async throws {
        let test = try TestNode()
        let node = test.node
        #expect(await put(node) == nil)
        try await node.raise(Alarm(.corrupt, member: member))

        let deleting = RequestOperation.deleteRange(DeleteRangeRequest(key: key("a")))
        #expect(await put(node) == .corrupt)
        #expect(await txn(node, [deleting]) == .corrupt)
        await expect(.corrupt) { try await node.deleteRange(DeleteRangeRequest(key: key("none"))) }
        await expect(.corrupt) { try await node.compact(CompactionRequest(revision: 99)) }
        await expect(.corrupt) { _ = try await node.grantLease(ttl: 10) }
        await expect(.corrupt) { try await node.revokeLease(5) }
        #expect(node.revision == Revision(2))

        #expect(try node.range(RangeRequest(key: key("a"))).count == 1)
        #expect(await txn(node, [.range(RangeRequest(key: key("a")))]) == nil)
        #expect(try await node.disarm(Alarm(.corrupt, member: member)))
        #expect(await put(node) == nil)
    }

    @Test func eachMemberAndKindIsAnAlarmOfItsOwn() async throws {
        let test = try TestNode()
        let node = test.node
        let alarms = [
            Alarm(.noSpace, member: 0), Alarm(.noSpace, member: member), Alarm(.corrupt, member: 0),
        ]
        for alarm in alarms.reversed() + alarms { try await node.raise(alarm) }
        #expect(try node.alarms() == alarms)
        #expect(await put(node) == .corrupt)
        #expect(try await node.disarm(Alarm(.corrupt, member: member)) == false)
        #expect(try await node.disarm(Alarm(.noSpace, member: member)))
        #expect(await put(node) == .corrupt)
        #expect(try await node.disarm(Alarm(.corrupt, member: 0)))
        #expect(await put(node) == .noSpace)
        #expect(try await node.disarm(Alarm(.noSpace, member: 0)))
        #expect(try await node.disarm(Alarm(.noSpace, member: 0)) == false)
        #expect(try node.alarms().isEmpty)
        #expect(await put(node) == nil)
        #expect(node.revision == Revision(2), "alarms make no revision")
    }

    @Test(arguments: BackendRegistry.builtIn.engineNames)
    func alarmsOutliveARestart(_ engine: String) async throws {
        let test = try TestNode(engine: engine)
        #expect(await put(test.node) == nil)
        try await test.node.raise(Alarm(.corrupt, member: 1))
        try await test.node.raise(Alarm(.noSpace, member: member))
        try await test.node.disarm(Alarm(.corrupt, member: 1))
        try test.restart()
        #expect(try test.node.alarms() == [Alarm(.noSpace, member: member)])
        #expect(await put(test.node) == .noSpace)
        #expect(test.node.revision == Revision(2))
        try await test.node.disarm(Alarm(.noSpace, member: member))
        try test.restart()
        #expect(try test.node.alarms().isEmpty)
        #expect(await put(test.node) == nil)
    }

    /// Replaying decides nothing: what was written before an alarm, and while none was raised, is there afterwards.
    @Test func theLogReplaysOverAlarms() async throws {
        let test = try TestNode(engine: "memory")
        for _ in 0..<3 {
            #expect(await put(test.node) == nil)
            try await test.node.raise(Alarm(.noSpace, member: member))
            #expect(await put(test.node) == .noSpace)
            try await test.node.disarm(Alarm(.noSpace, member: member))
        }
        let hash = try StateHash.hash(test.node.read(), through: test.node.revision)
        try test.restart()
        #expect(test.node.revision == Revision(4))
        #expect(try StateHash.hash(test.node.read(), through: test.node.revision) == hash)
    }

    /// One group of the commit thread may hold an alarm and requests before and behind it.
    @Test func anAlarmCountsFromItsPlaceInTheQueue() async throws {
        let test = try TestNode()
        let node = test.node
        let alarm = Alarm(.noSpace, member: member)
        let kinds: [ProposalKind] = [
            .put(PutRequest(key: key("before"), value: [])), .raise(alarm),
            .put(PutRequest(key: key("under"), value: [])), .disarm(alarm),
            .put(PutRequest(key: key("behind"), value: [])),
        ]
        let codes = await withTaskGroup(of: (Int, DatabaseError.Code?).self) { group in
            for (index, kind) in kinds.enumerated() {
                let answers = AsyncStream<DatabaseError.Code?>.makeStream()
                node.submit(kind) { result in
                    if case .failure(let error) = result { answers.continuation.yield(error.code) }
                    answers.continuation.finish()
                }
                group.addTask {
                    for await code in answers.stream { return (index, code) }
                    return (index, nil)
                }
            }
            var codes = [DatabaseError.Code?](repeating: nil, count: kinds.count)
            for await (index, code) in group { codes[index] = code }
            return codes
        }
        #expect(codes == [nil, nil, .noSpace, nil, nil])
        #expect(try node.range(RangeRequest(key: [0], rangeEnd: [0])).kvs.map(\.key) == [key("before"), key("behind")])
    }

    @Test func bodiesWithAlarmsCanBeReadBack() {
        let mutations: [Mutation] = [
            .raise(Alarm(.noSpace, member: .max)), .disarm(Alarm(.corrupt, member: 0)),
            .raise(Alarm(.corrupt, member: 1)),
        ]
        let body = MutationCoding.encode(mutations)
        #expect(body.count == 30)
        #expect(MutationCoding.decode(body, revision: .none) == mutations)
        #expect(MutationCoding.decode(Array(body.dropLast()), revision: .none) == nil)
        for kind in [UInt8(0), 3, 255] {
            #expect(MutationCoding.decode([6, kind] + [UInt8](repeating: 0, count: 8), revision: .none) == nil)
        }
    }
}
