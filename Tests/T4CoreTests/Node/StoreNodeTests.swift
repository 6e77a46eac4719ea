// Goal: with an object store a disk may go. Method: nodes on a store in memory that outlives their directories.
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

struct StoreNodeTests {
    static let both = [Durability.local, .objectStore]

    @Test(arguments: both)
    func aLostDiskIsFilledFromTheStore(_ durability: Durability) async throws {
        let test = try await StoreNode(durability)
        try await test.start()
        for number in 0..<200 { try await test.put("key\(number % 40)", "value\(number)") }
        let lease = try await test.node.grantLease(id: 7, ttl: 1000)
        try await test.node.put(PutRequest(key: Array("leased"), value: [1], lease: lease.id))
        try await test.node.checkpoint()
        for number in 200..<300 { try await test.put("key\(number % 50)", "value\(number)") }
        _ = try await test.node.deleteRange(DeleteRangeRequest(key: Array("key3")))
        let (content, revision, meta) = (try test.all(), test.node.revision, try test.node.read().meta)
        try await test.stop()
        try test.removeDisk()

        try await test.start()
        #expect(try test.all() == content)
        #expect(test.node.revision == revision)
        #expect(try test.node.read().meta == meta)
        #expect(try test.node.read().leases() == [LeaseRecord(id: 7, ttl: 1000)])
        let old = try test.node.range(RangeRequest(key: Array("key0"), revision: 2))
        #expect(old.kvs.map(\.text) == ["key0=value0"])
        try await test.put("after", "it")
        #expect(test.node.revision == revision.next)
        try await test.stop()
    }

    @Test(arguments: both)
    func aRestartGoesOnWithTheLocalLog(_ durability: Durability) async throws {
        let test = try await StoreNode(durability)
        try await test.start()
        var terms: [UInt64] = []
        for round in 0..<4 {
            for number in 0..<30 { try await test.put("\(round)/\(number)", "value") }
            terms.append(test.node.term)
            if round == 1 { try await test.node.checkpoint() }
            try await test.restart()
        }
        #expect(try test.all().count == 120)
        #expect(terms == [1, 2, 3, 4])
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all().count == 120)
        try await test.stop()
    }

    @Test func withoutACheckpointTheWholeChainIsRead() async throws {
        let base = try await makeMemoryStore()
        // No checkpoint ever gets its head.
        let faulty = FaultyStore(
            base, faults: [StoreFault(.put, prefix: "db/manifest/", .beforeEffect, .from(1), error: .permissionDenied)])
        let test = try await StoreNode(.objectStore, on: base, through: faulty)
        try await test.start()
        for number in 0..<50 { try await test.put("key", "value\(number)") }
        await #expect(throws: ObjectStoreError.self) { try await test.node.checkpoint() }
        #expect(test.node.storeStatus?.checkpointFailure != nil)
        try await test.put("still", "works")
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all() == ["key=value49", "still=works"])
        try await test.stop()
    }

    @Test func checkpointsLetTheLocalLogGo() async throws {
        let test = try await StoreNode(.local, engine: "lmdb")
        try await test.start()
        func segments() throws -> Int {
            try LogReader(directory: test.directory + "/wal", databaseID: nil).segments().count
        }
        // So that the one at the start does not come in between.
        try await test.node.checkpoint()
        var round: UInt8 = 0
        while try segments() < 4 {
            round += 1
            for number in 0..<20 {
                try await test.node.put(
                    PutRequest(key: Array("\(number)"), value: [UInt8](repeating: round, count: 4000)))
            }
        }
        try await test.node.checkpoint()
        #expect(try segments() == 1)
        let content = try test.all()
        try await test.restart()
        #expect(try test.all() == content)
        try await test.stop()
    }

    /// One object for each write at first, and few after the next checkpoint, without a loss for those who read the log.
    @Test func objectsOfTheLogAreJoined() async throws {
        let test = try await StoreNode(.objectStore)
        try await test.start()
        // So that the one at the start does not come in between.
        try await test.node.checkpoint()
        for number in 0..<100 { try await test.put("\(number)", "value") }
        #expect(try await test.objects("wal/").count > 100)
        try await test.node.checkpoint()
        #expect(try await test.objects("wal/").count <= 4)
        for number in 100..<150 { try await test.put("\(number)", "value") }
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all().count == 150)
        let chain = try await test.chain
        let indexes = try await onThread {
            var indexes: [UInt64] = []
            _ = try chain.read(after: .zero) { entry in
                indexes.append(entry.position.index)
                return .next
            }
            return indexes
        }
        // 150 writes and two terms.
        #expect(indexes == Array(1...152))
        try await test.stop()
    }

    @Test func aDirectoryOfAnotherDatabaseIsRefused() async throws {
        let one = try await StoreNode(.local)
        try await one.start()
        try await one.put("one", "1")
        try await one.stop()
        let other = try await StoreNode(.local)
        try await other.start()
        try await other.stop()
        other.store = one.base
        let error = await #expect(throws: StoreTie.Failure.self) { try await other.start() }
        #expect(error?.description.contains("another data directory") == true)
    }

    @Test func anEmptiedStoreIsRefused() async throws {
        let test = try await StoreNode(.local)
        try await test.start()
        try await test.put("a", "1")
        try await test.stop()
        test.store = try await makeMemoryStore()
        let error = await #expect(throws: StoreTie.Failure.self) { try await test.start() }
        #expect(error?.description.contains("is not in the configured store") == true)
        test.store = test.base
        try await test.start()
        #expect(try test.all() == ["a=1"])
        try await test.stop()
    }

    @Test func aNodeWithoutAStoreGetsOneLater() async throws {
        let test = try await StoreNode(.local, engine: "lmdb")
        var configuration = NodeConfiguration(dataDirectory: test.directory, engine: "lmdb")
        configuration.segmentSizeMax = 64 << 10
        let logger = quietLogger
        let plain = try await Node.start(configuration, registry: .builtIn, logger: logger)
        for number in 0..<40 { try await plain.put(PutRequest(key: [UInt8(number)], value: [1])) }
        try await plain.stop()
        try await test.start()
        try await test.put("with", "store")
        #expect(try await test.chain.store.find(StoreLayout.log(firstIndex: 1)) != nil)
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all().count == 41)
        try await test.stop()
        // And never without again.
        await #expect(throws: StoreTie.Failure.self) {
            _ = try await Node.start(configuration, registry: .builtIn, logger: logger)
        }
    }

    /// A store inside the directory is given up for another one, which is seeded from the engine.
    @Test func anInnerStoreIsGivenUpForAnother() async throws {
        let test = try await StoreNode(.local, engine: "lmdb")
        test.settings.isInside = true
        try await test.start()
        for number in 0..<60 {
            try await test.node.put(PutRequest(key: [UInt8(number % 20)], value: [UInt8](repeating: 1, count: 4000)))
        }
        try await test.node.compact(CompactionRequest(revision: 30))
        try await test.node.checkpoint()
        let (content, meta) = (try test.all(), try test.node.read().meta)
        try await test.stop()
        let outer = try await makeMemoryStore()
        test.store = outer
        test.settings.isInside = false
        try await test.start()
        #expect(try test.all() == content)
        try await test.put("new", "place")
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all() == content + ["new=place"])
        #expect(try test.node.read().meta.compacted == meta.compacted)
        let old = try test.node.range(RangeRequest(key: [1], revision: 31))
        #expect(old.kvs.count == 1)
        try await test.stop()
    }
}
