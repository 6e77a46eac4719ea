import Foundation
import Logging
import T4BuiltIns
import T4Core
import T4Protocols
import Testing

/// Starting, stopping and reading a data directory.
struct NodeTests {
    @Test(arguments: BackendRegistry.builtIn.engineNames)
    func everythingIsThereAfterARestart(_ engine: String) async throws {
        let test = try TestNode(engine: engine)
        let lease = try await test.node.grantLease(ttl: 1000)
        for count in 0..<50 {
            try await test.node.put(
                PutRequest(key: [UInt8]("k\(count % 7)"), value: [UInt8]("\(count)"), lease: count == 49 ? lease.id : 0)
            )
        }
        try await test.node.compact(CompactionRequest(revision: 20))
        let before = try StateHash.hash(test.node.read(), through: test.node.revision)
        let (term, revision) = (test.node.term, test.node.revision)
        try test.restart()
        #expect(test.node.term == term + 1)
        #expect(test.node.revision == revision)
        #expect(test.node.compactedRevision == Revision(20))
        #expect(try StateHash.hash(test.node.read(), through: test.node.revision) == before)
        #expect(test.node.leases.ids == [lease.id])
        #expect(try test.node.read().keys(leasedTo: lease.id) == [[UInt8]("k0")])
    }

    @Test func aDirectoryInUseIsRefused() throws {
        let test = try TestNode()
        let error = #expect(throws: DataDirectory.Failure.self) {
            _ = try TestNode.open(test.directory, test.engine)
        }
        #expect(error?.description.contains("is in use by another t4 process") == true)
        #expect(error?.description.contains(test.directory) == true)
    }

    @Test func aLogOfAnotherDatabaseIsRefused() async throws {
        let (one, other) = (try TestNode(), try TestNode())
        try await one.node.put(PutRequest(key: [1], value: [1]))
        try one.node.stopAndWait()
        try other.node.stopAndWait()
        try FileManager.default.removeItem(atPath: one.directory + "/wal")
        try FileManager.default.copyItem(atPath: other.directory + "/wal", toPath: one.directory + "/wal")
        #expect(throws: (any Error).self) { _ = try TestNode.open(one.directory, one.engine) }
    }

    @Test func callsAfterStopFail() async throws {
        let test = try TestNode()
        let node = test.node
        try node.stopAndWait()
        try node.stopAndWait()
        do {
            try await node.put(PutRequest(key: [1], value: [1]))
            Issue.record("a write was taken")
        } catch {
            #expect(error.code == .stopped)
        }
        #expect(throws: DatabaseError.self) { try node.range(RangeRequest(key: [1])) }
    }

    @Test func timesToLiveHaveBounds() async throws {
        let test = try TestNode()
        #expect(try await test.node.grantLease(ttl: 1).ttl == 2)
        #expect(try await test.node.grantLease(ttl: 9_000_000_000).ttl == 9_000_000_000)
        do {
            _ = try await test.node.grantLease(ttl: 9_000_000_001)
            Issue.record("a lease of too many seconds was granted")
        } catch {
            #expect(error.code == .leaseTTLTooLarge)
        }
    }

    @Test func leasesExpire() async throws {
        let test = try TestNode()
        // On a busy machine a lease may be gone before its key is written.
        var isAttached = false
        while !isAttached {
            let lease = try await test.node.grantLease(ttl: 2)
            do {
                try await test.node.put(PutRequest(key: [UInt8]("a"), value: [], lease: lease.id))
                isAttached = true
            } catch {
                #expect(error.code == .leaseNotFound)
            }
        }
        for try await change in test.node.changes(from: Revision(3)) {
            #expect(change.events.map(\.kind) == [.delete])
            break
        }
        #expect(try test.node.range(RangeRequest(key: [UInt8]("a"))).count == 0)
    }

    @Test func theChangeFeedHasEveryRevisionOnce() async throws {
        let test = try TestNode()
        let node = test.node
        for count in 0..<20 { try await node.put(PutRequest(key: [UInt8]("p\(count)"), value: [])) }
        async let later: Void = {
            for count in 20..<40 {
                try await node.put(PutRequest(key: [UInt8]("q"), value: []))
                try await node.put(PutRequest(key: [UInt8]("p\(count)"), value: []))
            }
        }()
        var seen: [Int64] = []
        for try await change in node.changes(prefix: [UInt8]("p"), from: Revision(2)) {
            seen.append(change.revision.rawValue)
            if seen.count == 40 { break }
        }
        try await later
        #expect(seen == Array(2...21) + stride(from: 23, through: 61, by: 2))
    }

    @Test func theFeedSaysWhenHistoryIsGone() async throws {
        let test = try TestNode()
        for _ in 0..<9 { try await test.node.put(PutRequest(key: [1], value: [])) }
        try await test.node.compact(CompactionRequest(revision: 8))
        await #expect(throws: DatabaseError.self) {
            for try await _ in test.node.changes(from: Revision(3)) {}
        }
    }

    /// Inspection of a running and of a stopped node gives what the node itself has.
    @Test(arguments: BackendRegistry.builtIn.engineNames)
    func inspectionSeesTheWholeLog(_ engine: String) async throws {
        let test = try TestNode(engine: engine)
        for count in 0..<30 {
            try await test.node.put(PutRequest(key: [UInt8]("k\(count % 4)"), value: [UInt8]("\(count)")))
        }
        try await test.node.deleteRange(DeleteRangeRequest(key: [UInt8]("k1")))
        func look() throws {
            let inspection = try Inspection(
                dataDirectory: test.directory, registry: .builtIn, logger: Logger(label: "test"))
            let summary = try inspection.summary()
            #expect(summary.revision == Revision(32))
            #expect(summary.keyCount == 3)
            #expect(try inspection.get([UInt8]("k2"))?.kv.text == "k2=26")
            #expect(try inspection.get([UInt8]("k1")) == nil)
            let history = try inspection.history([UInt8]("k1"), limit: 0)
            #expect(history.count == 9 && history.last?.isDeletion == true)
            let diff = try inspection.diff(prefix: [UInt8]("k"), from: Revision(30), to: Revision(32))
            #expect(diff.changes.map(\.kind) == [.updated, .deleted])
        }
        try look()
        try test.node.stopAndWait()
        try look()
        // The support type stops its node once more.
        try test.restart()
    }
}
