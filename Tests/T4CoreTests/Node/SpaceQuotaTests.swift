import Synchronization
import T4BuiltIns
import T4Core
import T4Protocols
import Testing

/// Goal: a database that reaches its quota refuses what etcd refuses then, raises the alarm, and is usable again once
/// there is room and somebody disarms it.
struct SpaceQuotaTests {
    private final class Size {
        var bytes = 0
        var asked = 0
    }

    @Test func theSizeIsAskedForNowAndThen() throws {
        let size = Size()
        let quota = SpaceQuota(limit: 64_000, member: 7) { () throws(EngineError) in
            size.asked += 1
            return size.bytes
        }
        #expect(quota.alarm == Alarm(.noSpace, member: 7))
        #expect(try quota.admits(300))
        #expect(size.asked == 1)
        #expect(try quota.admits(300))
        #expect(try quota.admits(300))
        #expect(try quota.admits(300))
        #expect(size.asked == 1)
        // More than a 64th of the limit was added since.
        #expect(try quota.admits(300))
        #expect(size.asked == 2)
        // What may be too much for the last size is measured first.
        size.bytes = 63_000
        #expect(try quota.admits(63_700) == false)
        #expect(size.asked == 3)
        #expect(try quota.admits(1000) == false, "the limit itself is too much")
        #expect(size.asked == 4)
        #expect(try quota.admits(999))
        #expect(try quota.admits(1))
        #expect(size.asked == 5, "the second does not fit beside the first, before the size is asked for")
        size.bytes = 64_000
        #expect(try quota.admits(999) == false)
        size.bytes = 0
        #expect(try quota.admits(1))
    }

    @Test func needsAreEstimatedAsInEtcd() {
        let put = RequestOperation.put(PutRequest(key: [1, 2], value: [3]))
        let delete = RequestOperation.deleteRange(DeleteRangeRequest(key: [1]))
        func need(_ success: [RequestOperation], _ failure: [RequestOperation] = []) -> Int {
            ProposalKind.txn(TxnRequest(compares: [], success: success, failure: failure)).spaceNeeded
        }
        #expect(ProposalKind.put(PutRequest(key: [1, 2], value: [3])).spaceNeeded == 259)
        #expect(ProposalKind.grant(LeaseRecord(id: 1, ttl: 1)).spaceNeeded == 64)
        #expect(need([put, delete, put]) == 518)
        #expect(need([put], [put, put, put]) == 777)
        #expect(need([delete], []) == 0)
        #expect(need([.txn(TxnRequest(compares: [], success: [put], failure: []))]) == 0)
        for kind in [ProposalKind.deleteRange(DeleteRangeRequest(key: [1])), .compact(5), .revoke(lease: 1)] {
            #expect(kind.spaceNeeded == 0)
        }
    }

    /// Fills a node until it is full, makes room, and goes on.
    @Test(arguments: ["memory", "lmdb"].filter(BackendRegistry.builtIn.engineNames.contains))
    func aFullDatabaseIsUsableAgain(_ engine: String) async throws {
        let quota = 8 << 20
        let test = try TestNode(engine: engine) { $0.quotaBytes = quota }
        let node = test.node
        let own = Alarm(.noSpace, member: node.memberID)
        let value = [UInt8](repeating: 7, count: 100_000)
        func put(_ number: UInt8, twice: Bool = false) async -> DatabaseError.Code? {
            do {
                try await node.put(PutRequest(key: [number], value: twice ? value + value : value))
                return nil
            } catch {
                return error.code
            }
        }
        var count = 0
        var code: DatabaseError.Code?
        while code == nil {
            code = await put(UInt8(count % 4))
            count += 1
            try #require(count < 2000, "the quota is never reached")
        }
        #expect(code == .noSpace)
        #expect(try node.alarms() == [own])
        let revision = node.revision
        #expect(await put(0) == .noSpace)
        #expect(node.revision == revision)

        try await node.deleteRange(DeleteRangeRequest(key: [0], rangeEnd: [0]))
        // Disarmed with all the history still there, it is raised again by what did not fit.
        #expect(try await node.disarm(own))
        #expect(await put(0, twice: true) == .noSpace)
        #expect(try node.alarms() == [own])
        #expect(try await node.disarm(own))
        try await node.compact(CompactionRequest(revision: node.revision.rawValue, physical: true))
        try await withCheckedContinuation { continuation in
            node.flush { continuation.resume(returning: $0) }
        }.get()
        try await onThread { try node.reclaimSpace() }
        #expect(try node.sizeInUse() < quota)
        #expect(await put(0) == nil)
        #expect(try node.alarms().isEmpty)
    }
}
