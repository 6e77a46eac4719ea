// Goal: a table that was damaged or lost is not carried on for ever: the node has its rows, and writes them anew when it meets
// the damage, when it had to pass over a checkpoint at its start, and when it is told to.
// Method: a node in whose store a table of the newest checkpoint is damaged or deleted; then everything that is left when only
// the newest checkpoint is kept is verified, and a node is filled from it.
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

    /// Rows of the engine that are not what they must be are not written where they would count as right.
    @Test func anEngineThatDoesNotAddUpIsNotWritten() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try CheckpointFixture(base)
            try fixture.extend(30)
            _ = try #require(try fixture.writer().write(fixture.mark()))
            try fixture.extend(5)
            let mark = try fixture.mark()
            var state = EngineState(
                snapshot: try fixture.history.engine.snapshot(), position: mark.position, meta: mark.meta)
            state.meta.keys += 1
            let wrong = state
            let error = #expect(throws: CheckpointError.self) { try fixture.writer().writeAnew(mark, from: wrong) }
            #expect(error?.code == .corrupted)
            state.meta.keys -= 1
            let written = try #require(try fixture.writer().writeAnew(mark, from: state))
            #expect(written.file.checkpoint.deltas.isEmpty)
            try fixture.load(written.file, into: CheckpointHistory.makeEngine())
        }
    }
}
