// Goal: what a collection left of the log is never taken for all of it. Method: histories that were collected, and stores
// that lost what names the checkpoints behind them.
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct RestoreCollectedTests {
    /// Collected down to the newest checkpoint and the first one, which is pinned without its log.
    private static func fixture(_ base: any ObjectStore) throws -> RestoreFixture {
        let fixture = try RestoreFixture(base, seed: 4, revisions: 260, checkpointInterval: 60)
        let checkpoints = CheckpointStore(fixture.store, databaseID: LogFixture.databaseID)
        _ = try PinBoard(checkpoints).add(
            .backup, id: "first", checkpoint: fixture.checkpoints[0].key, keepsLog: false, at: 1)
        let policy = CollectionPolicy(keep: 1, retain: .zero)
        let report = try Collector(checkpoints, policy: policy, clock: .system, logger: .silent).collect()
        #expect(report.logCutIndex == fixture.checkpoints.last?.file.checkpoint.index)
        #expect(report.checkpointCount == fixture.checkpoints.count - 2 && report.logObjectCount > 0)
        return fixture
    }

    @Test func whatIsKeptIsRestored() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            try fixture.expect(.end, gives: fixture.history.last)
            let last = fixture.history.last.revision
            try fixture.expect(.revision(last), gives: fixture.history.state(at: last))
            let first = fixture.checkpoints[0].file.checkpoint
            let restored = try fixture.restore(.checkpoint(fixture.checkpoints[0].key))
            #expect(restored.plan.end == first.position)
            let error = try fixture.expectFailure(.revision(Revision(first.revision + 30)))
            #expect(error.code == .notKept)
            #expect(error.kept?.before?.checkpoint == fixture.checkpoints[0].key)
            #expect(error.kept?.after?.checkpoint == fixture.checkpoints.last?.key)
        }
    }

    /// Before the oldest checkpoint there is nothing, although the first object of the log is still there.
    @Test func theFirstObjectIsNotTheBeginning() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            #expect(try fixture.store.find(StoreLayout.log(firstIndex: 1)) != nil)
            let error = try fixture.expectFailure(.time(0))
            #expect(error.code == .notKept)
            #expect(error.kept?.after?.checkpoint == fixture.checkpoints[0].key)
            try expectKept(error, fixture)
        }
    }

    /// Goal: what is said to be kept is kept. The pinned checkpoint is, and nothing between it and the next one.
    private func expectKept(_ error: RestoreError, _ fixture: RestoreFixture) throws {
        let kept = try #require(error.kept)
        #expect(kept.alone.map(\.checkpoint) == [fixture.checkpoints[0].key], "\(kept)")
        #expect(kept.oldest?.checkpoint == fixture.checkpoints.last?.key)
        #expect(kept.oldest?.revision.rawValue == fixture.checkpoints.last?.file.checkpoint.revision)
        #expect(kept.newest?.revision == fixture.history.last.revision)
    }

    /// Also where that has to be told from the log alone.
    @Test func whatIsKeptIsSaidWithoutTheStateOfCollections() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            try fixture.damage(StoreLayout.collectionState)
            for target in [.time(0), .revision(Revision(1))] as [RestorePoint.Target] {
                try expectKept(try fixture.expectFailure(target), fixture)
            }
            // Where nothing was collected the damage makes no difference.
            let whole = try RestoreFixture(
                PrefixedStore(base, prefix: "whole/"), seed: 4, revisions: 130, checkpointInterval: 40)
            _ = try whole.store.put(StoreLayout.collectionState, [1], when: .absent)
            let kept = try #require(try whole.expectFailure(.revision(Revision(1))).kept)
            #expect(kept.alone.isEmpty && kept.oldest?.checkpoint == nil && kept.oldest?.revision == .initial)
        }
    }

    /// Nothing but the collection's own state tells that there was more.
    @Test func aLostCheckpointIsMissed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            let newest = try #require(fixture.checkpoints.last)
            try fixture.store.delete([StoreLayout.head, newest.key])
            for target in [.end, .time(.max)] as [RestorePoint.Target] {
                let error = try fixture.expectFailure(target)
                #expect(error.code == .notKept, "\(error)")
            }
            // The state of the collections is no root of a restore.
            try fixture.damage(StoreLayout.collectionState)
            let restored = try fixture.restore(.checkpoint(fixture.checkpoints[0].key))
            #expect(restored.plan.end == fixture.checkpoints[0].file.checkpoint.position)
            #expect(restored.plan.warnings.contains { $0.contains(StoreLayout.collectionState.rawValue) })
        }
    }
}
