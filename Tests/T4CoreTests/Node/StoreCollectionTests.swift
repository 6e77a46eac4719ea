// Goal: nodes collect garbage by themselves, and nothing that they do beside other collections costs them anything.
// Method: nodes on a store in memory, and calls that have an effect of which they do not hear.
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

struct StoreCollectionTests {
    private static func checkpoints(_ base: any ObjectStore) throws -> CheckpointStore {
        let store = BlockingStore(PrefixedStore(base, prefix: "db/"))
        return CheckpointStore(store, databaseID: try #require(try DatabaseObject.read(store)).id)
    }

    private static func epoch(_ base: any ObjectStore) async throws -> UInt64 {
        try await onThread { try checkpoints(base).epoch() }
    }

    /// Checkpoints are made one after the other, so that whatever follows the one before is over then.
    private static func wait(_ test: StoreNode) async throws {
        for _ in 0..<2 { try await test.node.checkpoint() }
    }

    @Test func aNodeCollectsOncePerRunAndThenSeldom() async throws {
        let test = try await StoreNode(.objectStore)
        test.settings.collection = CollectionPolicy(keep: 1, retain: .zero)
        try await test.start()
        try await Self.wait(test)
        #expect(try await Self.epoch(test.base) == 1)
        for number in 0..<3 {
            try await test.put("key", "value\(number)")
            try await test.node.checkpoint()
        }
        #expect(try await test.objects("checkpoint/").count == 4)
        try await test.restart()
        try await Self.wait(test)
        #expect(try await Self.epoch(test.base) == 2)
        #expect(try await test.objects("checkpoint/").count == 1)
        try await test.put("key", "last")
        try await test.stop()
        try test.removeDisk()
        try await test.start()
        #expect(try test.all() == ["key=last"])
        try await test.stop()
    }

    @Test func withoutAPolicyNothingIsCollected() async throws {
        let test = try await StoreNode(.local)
        try await test.start()
        try await Self.wait(test)
        #expect(try await Self.epoch(test.base) == 0)
        try await test.stop()
    }

    /// The node cannot tell whether its checkpoint became the newest one. It did: what is behind it must still be read from
    /// there, and a collection may cut the log there.
    @Test func nothingIsJoinedAcrossACheckpointThatMayBe() async throws {
        let base = try await makeMemoryStore()
        let faulty = FaultyStore(
            base, faults: [StoreFault(.put, prefix: "db/manifest/", .afterEffect, .nth(2), error: .permissionDenied)])
        let test = try await StoreNode(.objectStore, on: base, through: faulty)
        try await test.start()
        try await Self.wait(test)
        for number in 0..<10 { try await test.put("\(number)", "before") }
        await #expect(throws: ObjectStoreError.self) { try await test.node.checkpoint() }
        for number in 0..<10 { try await test.put("\(number)", "behind") }
        #expect(try await test.node.checkpoint() != nil)
        try await Self.wait(test)
        try await test.stop()
        #expect(try await test.objects("wal/").count < 20)
        let chain = try await test.chain
        try await onThread {
            let checkpoints = try Self.checkpoints(base)
            let files = try checkpoints.checkpoints().map { try checkpoints.manifest($0) }
            #expect(files.count == 3)
            for file in files {
                let end = try chain.read(after: file.checkpoint.position) { _ in .next }
                #expect(end.position == files.last?.checkpoint.position)
            }
            let policy = CollectionPolicy(keep: 2, retain: .zero)
            let report = try Collector(checkpoints, policy: policy, clock: .system, logger: .silent).collect()
            #expect(report.logCutIndex == files[1].checkpoint.index)
        }
    }

    /// What is left of the log does not begin a database anew: the newest checkpoint does, or nothing.
    @Test func aLostHeadIsNoBeginning() async throws {
        let test = try await StoreNode(.objectStore)
        try await test.start()
        try await test.put("key", "value")
        try await test.node.checkpoint()
        try await test.stop()
        let base = test.base
        try await onThread {
            let policy = CollectionPolicy(keep: 1, retain: .zero)
            let report = try Collector(Self.checkpoints(base), policy: policy, clock: .system, logger: .silent)
                .collect()
            #expect(report.logCutIndex > 0)
        }
        try await base.delete(["db/manifest/latest"])
        try test.removeDisk()
        try await test.start()
        #expect(try test.all() == ["key=value"])
        try await test.node.checkpoint()
        try await test.stop()
        #expect(try await test.objects("manifest/") == ["manifest/latest"])

        let checkpoints = try await test.objects("checkpoint/").map { ObjectKey("db/" + $0) }
        try await base.delete(["db/manifest/latest"] + checkpoints)
        try test.removeDisk()
        let error = await #expect(throws: CheckpointError.self) { try await test.start() }
        #expect(error?.message.contains("manifest/latest is missing") == true)
    }
}
