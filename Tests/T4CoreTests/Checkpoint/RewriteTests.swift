import Foundation
import Logging
import T4BuiltIns
// Goal: a table that was damaged or lost is not carried on for ever: the node has its rows, and writes them anew when it meets
// the damage, when it had to pass over a checkpoint at its start, and when it is told to.
// Method: a node in whose store a table of the newest checkpoint is damaged or deleted; then everything that is left when only
// the newest checkpoint is kept is verified, and a node is filled from it.
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct RewriteTests {
    enum Harm: CaseIterable, Sendable {
        case damage, loss
    }

    private func write(_ test: StoreNode, _ round: String, _ count: Int) async throws {
        for number in 0..<count { try await test.put("\(round)\(number)", String(repeating: round, count: 50)) }
    }

    /// A node with a checkpoint that has a base and a delta, and behind it some log.
    private func make(_ durability: Durability, on base: any ObjectStore) async throws -> StoreNode {
        let test = try await StoreNode(durability, on: base)
        test.settings.uploadAgeMax = .milliseconds(10)
        try await test.start()
        try await write(test, "a", 40)
        try await test.node.checkpoint()
        try await write(test, "b", 4)
        try await test.node.checkpoint()
        try await write(test, "c", 1)
        return test
    }

    private func newest(_ base: any ObjectStore) async throws -> ManifestFile {
        try await onThread {
            let store = BlockingStore(PrefixedStore(base, prefix: "db/"))
            let checkpoints = CheckpointStore(store, databaseID: try DatabaseObject.require(store).id)
            return try checkpoints.manifest(of: #require(try checkpoints.head()).head)
        }
    }

    /// Harms a table of the base of the newest checkpoint.
    private func harm(_ harm: Harm, _ base: any ObjectStore) async throws -> ObjectKey {
        let file = try await newest(base)
        let table = try #require(file.checkpoint.base.first)
        #expect(!file.checkpoint.deltas.isEmpty)
        let key = ObjectKey("db/" + (try #require(file.envelope.places[table.id])).key)
        switch harm {
        case .loss: try await base.delete([key])
        case .damage:
            var bytes = try await base.get(key, bytes: nil).bytes
            bytes[40] ^= 8
            _ = try await base.put(key, .bytes(bytes), when: .always)
        }
        return key
    }

    /// What the store holds is whole once older checkpoints are gone, and is what the node had.
    private func expectIsWhole(_ test: StoreNode) async throws {
        let (all, base) = (try test.all(), test.base)
        try await test.stop()
        let report = try await onThread {
            let store = BlockingStore(PrefixedStore(base, prefix: "db/"))
            let checkpoints = CheckpointStore(store, databaseID: try DatabaseObject.require(store).id)
            _ = try Collector(
                checkpoints, policy: CollectionPolicy(keep: 1, retain: .zero), clock: .system, logger: .silent
            ).collect()
            return try StoreVerifier(store, depth: .allStates) { BlockingStore(PrefixedStore(base, prefix: $0)) }.run()
        }
        #expect(report.isClean && report.digests == 1, "\(report.text)")
        let other = try await StoreNode(test.durability, on: base)
        try await other.start()
        #expect(try other.all() == all)
        try await other.stop()
    }

    @Test(arguments: Harm.allCases, [Durability.local, .objectStore])
    func aCheckpointThatMeetsTheDamageIsWrittenAnew(_ harm: Harm, _ durability: Durability) async throws {
        let base = try await makeMemoryStore()
        let test = try await make(durability, on: base)
        let before = try await newest(base)
        _ = try await self.harm(harm, base)
        // More than there was: everything is merged.
        try await write(test, "d", 60)
        #expect(try await test.node.checkpoint() != nil)
        let after = try await newest(base)
        #expect(after.checkpoint.parameters == before.checkpoint.parameters)
        #expect(after.checkpoint.index > before.checkpoint.index)
        // The one after that is made from it as usual.
        try await write(test, "e", 3)
        #expect(try await test.node.checkpoint() != nil)
        #expect(try await newest(base).checkpoint.base == after.checkpoint.base)
        try await expectIsWhole(test)
    }

    @Test(arguments: Harm.allCases) func aNodeThatIsToldToWritesAnew(_ harm: Harm) async throws {
        let base = try await makeMemoryStore()
        let test = try await make(.objectStore, on: base)
        let key = try await self.harm(harm, base)
        // Nothing reads the table: the next checkpoint uses it again.
        try await test.node.checkpoint()
        #expect(try await newest(base).envelope.places.values.contains { "db/\($0.key)" == key.rawValue })
        let report = try await onThread {
            let store = BlockingStore(PrefixedStore(base, prefix: "db/"))
            return try StoreVerifier(store, depth: .objects) { BlockingStore(PrefixedStore(base, prefix: $0)) }.run()
        }
        #expect(report.problems.contains { "db/\($0.object)" == key.rawValue }, "\(report.text)")
        try await test.stop()
        test.settings.checkpoints.beginsAnew = true
        try await test.start()
        try await test.node.checkpoint()
        try await expectIsWhole(test)
    }

    /// An empty directory is filled from the checkpoint before, and the log.
    @Test(arguments: Harm.allCases) func whatWasPassedOverIsNotUsedAgain(_ harm: Harm) async throws {
        let base = try await makeMemoryStore()
        let test = try await make(.objectStore, on: base)
        let all = try test.all()
        try await test.stop()
        try test.removeDisk()
        _ = try await self.harm(harm, base)
        try await test.start()
        #expect(try test.all() == all)
        try await test.node.checkpoint()
        try await expectIsWhole(test)
    }

    /// What is to be written anew stays so when a try fails, and is whole afterwards.
    @Test func aWishOutlivesATryThatFails() async throws {
        let base = try await makeMemoryStore()
        let test = try await make(.objectStore, on: base)
        try await test.stop()
        _ = try await harm(.damage, base)
        test.store = FaultyStore(
            base, faults: [StoreFault(.put, prefix: "db/sst/", error: .permissionDenied)])
        test.settings.checkpoints.beginsAnew = true
        try await test.start()
        // The first try is that of the start or this one.
        do { try await test.node.checkpoint() } catch let error as ObjectStoreError
            where error.code == .permissionDenied
        {}
        try await test.node.checkpoint()
        try await expectIsWhole(test)
    }

    /// Tables wait for the store in files, not under a view of the engine (Rule E2).
    @Test(.timeLimit(.minutes(5))) func noViewOfTheEngineIsHeldWhileTheStoreIsWaitedFor() async throws {
        let base = try await makeMemoryStore()
        let test = try await make(.local, on: base)
        try await test.stop()
        let views = Monitor(0)
        test.registry.register(engine: "memory", settings: Settings.self) { _, context in
            let memory = try BackendRegistry.builtIn.makeEngine("memory", settings: NoSettings(), context: context)
            return ViewedEngine(memory, views)
        }
        let held = HeldStore(base, prefix: "db/sst/")
        (test.store, test.settings.checkpoints.beginsAnew) = (held, true)
        try await test.start()
        try await onThread {
            held.waitForHeld(1)
            views.wait { $0 == 0 ? () : nil }
        }
        #expect(FileManager.default.fileExists(atPath: test.directory + "/checkpoint.tmp"))
        held.open()
        try await test.node.checkpoint()
        try await expectIsWhole(test)
        #expect(!FileManager.default.fileExists(atPath: test.directory + "/checkpoint.tmp"))
    }

    /// Nothing is made from an engine whose rows are not what they must be, and that is said once.
    @Test func aDamagedEngineIsNotWrittenAnew() async throws {
        let base = try await makeMemoryStore()
        let test = try await make(.objectStore, on: base)
        try await test.stop()
        let lines = Monitor<[String]>([])
        test.logger = Logger(label: "test") { _ in CollectedLog(lines) }
        try await test.start()
        // The start makes one of its own.
        try await test.node.checkpoint()
        let before = try await newest(base)
        _ = try await harm(.loss, base)
        let engine = test.node.engine
        var batch = WriteBatch()
        batch.delete(Keyspace.currentKey(Array("a7")))
        try engine.apply(batch, at: engine.appliedPosition)
        try await write(test, "d", 60)
        let tables = try await test.objects("sst/")
        for _ in 0..<3 {
            await #expect(throws: DamagedEngine.self) { try await test.node.checkpoint() }
            // Raised by the node itself: so that this is in the log before the next one.
            try await test.node.raise(Alarm(.corrupt, member: test.node.memberID))
        }
        #expect(lines.withLock { $0.count { $0.contains("the alarm CORRUPT is raised") } } == 1)
        // The log's rows behind the newest checkpoint may be there, without and with the alarm, but no base.
        let added = Set(try await test.objects("sst/")).subtracting(tables)
        #expect(added.count == 2)
        #expect(try await newest(base) == before)
        #expect(lines.withLock { $0.count { $0.contains("the engine in the data directory is damaged") } } == 1)
        #expect(!FileManager.default.fileExists(atPath: test.directory + "/checkpoint.tmp"))
        try await test.stop()
    }

    /// Checkpoints that are made from the one before and the log go on.
    @Test func aDamagedEngineDoesNotEndCheckpointsOfTheLog() async throws {
        let base = try await makeMemoryStore()
        let test = try await make(.objectStore, on: base)
        try await test.stop()
        let lines = Monitor<[String]>([])
        test.logger = Logger(label: "test") { _ in CollectedLog(lines) }
        test.registry.register(engine: "memory", settings: Settings.self) { _, context in
            let memory = try BackendRegistry.builtIn.makeEngine("memory", settings: NoSettings(), context: context)
            return ViewedEngine(memory, Monitor(0), hides: Keyspace.currentKey(Array("a7")))
        }
        let before = try await newest(base)
        test.settings.checkpoints.beginsAnew = true
        try await test.start()
        // The start asks for one as well: the two may be one.
        do { try await test.node.checkpoint() } catch is DamagedEngine {}
        // Nothing is written to a damaged engine unless somebody wants it.
        await #expect(throws: DatabaseError.self) { try await write(test, "d", 1) }
        #expect(try await test.node.disarm(Alarm(.corrupt, member: test.node.memberID)))
        try await write(test, "d", 1)
        #expect(try await test.node.checkpoint() != nil)
        #expect(try await newest(base).checkpoint.base == before.checkpoint.base)
        #expect(lines.withLock { $0.count { $0.contains("the engine in the data directory is damaged") } } == 1)
        try await test.stop()
    }

    /// What a crash left of tables in files is gone after the next start.
    @Test func aStartRemovesFilesOfTables() async throws {
        let test = try await make(.local, on: makeMemoryStore())
        try await test.stop()
        let folder = test.directory + "/checkpoint.tmp"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
        #expect(FileManager.default.createFile(atPath: folder + "/table", contents: nil))
        try await test.start()
        #expect(!FileManager.default.fileExists(atPath: folder))
        try await test.stop()
    }
}

private struct Settings: Decodable {}

/// An engine that counts the views of it that are held, and may hide a row from scans.
private final class ViewedEngine: EngineWrapper {
    private final class View: SnapshotWrapper {
        let base: any EngineSnapshot
        private let views: Monitor<Int>
        private let hidden: [UInt8]?

        init(_ base: any EngineSnapshot, _ views: Monitor<Int>, _ hidden: [UInt8]?) {
            (self.base, self.views, self.hidden) = (base, views, hidden)
            views.withLock { $0 += 1 }
        }

        deinit {
            views.withLock { $0 -= 1 }
            views.broadcast()
        }

        func scan(
            _ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep
        ) throws(EngineError) {
            try base.scan(range, order: order) { key, value in
                key.copyBytes() == hidden ? .next : visit(key, value)
            }
        }
    }

    let base: any LocalEngine
    private let views: Monitor<Int>
    private let hidden: [UInt8]?

    init(_ base: any LocalEngine, _ views: Monitor<Int>, hides hidden: [UInt8]? = nil) {
        (self.base, self.views, self.hidden) = (base, views, hidden)
    }

    func snapshot() throws(EngineError) -> any EngineSnapshot { View(try base.snapshot(), views, hidden) }
}
