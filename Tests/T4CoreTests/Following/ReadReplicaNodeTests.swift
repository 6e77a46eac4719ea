import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: a read replica only reads, and outlives what is wrong with its store. Method: two nodes in one process around a store whose
/// calls are counted and whose objects are damaged.
@Suite struct ReadReplicaNodeTests {
    /// A node with everything in it that a copy has to have, and a replica of it.
    private func withPair(
        _ body: (_ primary: StoreNode, _ replica: StoreNode, _ seen: FaultyStore) async throws -> Void
    ) async throws {
        let primary = try await StoreNode(.objectStore)
        try await primary.start()
        for number in 0..<60 { try await primary.put("key\(number % 20)", "value\(number)") }
        let lease = try await primary.node.grantLease(id: 7, ttl: 1000)
        try await primary.node.put(PutRequest(key: Array("leased"), value: [1], lease: lease.id))
        try await primary.node.checkpoint()
        for number in 0..<30 { try await primary.put("key\(number % 25)", "later\(number)") }
        let seen = FaultyStore(
            primary.base,
            faults: [.put, .delete].map { StoreFault($0, .beforeEffect, .from(1), error: .permissionDenied) })
        let replica = try await StoreNode(.local, on: primary.base, through: seen)
        replica.replicaInterval = .milliseconds(10)
        try await replica.start()
        try await body(primary, replica, seen)
        try await replica.stop()
        try await primary.stop()
    }

    private func expectEqual(_ replica: StoreNode, _ primary: StoreNode) async throws {
        while replica.node.revision < primary.node.revision { await Task.yield() }
        #expect(try replica.all() == primary.all())
        #expect(try replica.node.read().meta == primary.node.read().meta)
        #expect(try replica.node.read().leases() == primary.node.read().leases())
    }

    @Test func itOnlyReads() async throws {
        try await withPair { primary, replica, seen in
            try await expectEqual(replica, primary)
            for number in 0..<40 { try await primary.put("more\(number)", "x") }
            try await primary.node.checkpoint()
            for number in 0..<40 { try await primary.put("more\(number)", "y") }
            try await expectEqual(replica, primary)
            #expect(replica.node.isReadOnly && !replica.node.isServing)
            await #expect(throws: DatabaseError.self) { try await replica.put("a", "b") }
            try await replica.restart()
            try await expectEqual(replica, primary)
            #expect(seen.callCount(.put) == 0 && seen.callCount(.delete) == 0)
            #expect(replica.node.term == primary.node.term)
            while replica.node.staleness == nil { await Task.yield() }
            // Without the flag it goes on as the database: only then it writes.
            try await primary.stop()
            replica.store = replica.base
            replica.replicaInterval = nil
            replica.durability = .objectStore
            let revision = replica.node.revision
            try await replica.restart()
            try await replica.put("taken", "over")
            #expect(replica.node.revision == revision.next && replica.node.term == 2)
            try await primary.start()
            #expect(primary.node.revision == revision.next)
        }
    }

    /// A damaged object of the log: what is there is served, and once it is whole again the replica goes on.
    @Test func damageIsNoEnd() async throws {
        try await withPair { primary, replica, _ in
            try await expectEqual(replica, primary)
            let revision = replica.node.revision
            let index = replica.node.published.appliedIndex
            try await replica.stop()
            for number in 0..<10 { try await primary.put("behind\(number)", "x") }
            let key = ObjectKey("db/" + StoreLayout.log(firstIndex: index + 5).rawValue)
            let whole = try await primary.base.get(key, bytes: nil).bytes
            var damaged = whole
            damaged[damaged.count / 2] ^= 1
            _ = try await primary.base.put(key, .bytes(damaged), when: .always)
            try await replica.start()
            while replica.node.revision.rawValue < revision.rawValue + 4 { await Task.yield() }
            #expect(replica.node.staleness == nil && replica.failures.withLock { $0.isEmpty })
            #expect(replica.node.revision.rawValue == revision.rawValue + 4)
            _ = try await primary.base.put(key, .bytes(whole), when: .always)
            try await expectEqual(replica, primary)
        }
    }
}
