import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// A restore gives the right state or none, and says what is damaged.
@Suite struct RestoreDamageTests {
    private enum Damage: CaseIterable { case manifest, noManifest, table, noTable }

    private static func fixture(_ base: any ObjectStore) throws -> RestoreFixture {
        try RestoreFixture(base, seed: 21, revisions: 260, checkpointInterval: 60)
    }

    @Test(arguments: Damage.allCases) private func anOlderCheckpointStandsIn(_ damage: Damage) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            let number = fixture.checkpoints.count - 1
            let (newest, older) = (fixture.checkpoints[number], fixture.checkpoints[number - 1])
            let table = try fixture.ownTable(of: number)
            switch damage {
            case .manifest: try fixture.damage(newest.key)
            case .noManifest: try fixture.store.delete([newest.key])
            case .table: try fixture.damage(table)
            case .noTable: try fixture.store.delete([table])
            }
            let states = fixture.history.states
            let atNewest = states[Int(newest.file.checkpoint.index)]
            let end = fixture.history.last
            for (target, state) in [
                (.latestCheckpoint, atNewest), (.end, end), (.time(end.time), end),
                (.revision(end.revision), fixture.history.state(at: end.revision)),
            ] as [(RestorePoint.Target, RestoreHistory.State?)] {
                let plan = try fixture.expect(target, gives: state).plan
                #expect(plan.checkpoint?.key == older.key && plan.entryCount > 0)
                if damage == .noManifest { continue }
                #expect(plan.warnings.contains { $0.contains(newest.key.rawValue) })
                if damage != .manifest { #expect(plan.warnings.contains { $0.contains(table.rawValue) }) }
            }
            // Who names it gets it or nothing.
            let error = try fixture.expectFailure(.checkpoint(newest.key))
            #expect(error.code == (damage == .noManifest ? .notKept : .damaged))
            let name = damage == .table || damage == .noTable ? table : newest.key
            #expect(error.description.contains(name.rawValue))
        }
    }

    @Test func allCheckpointsAreDamaged() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            for written in fixture.checkpoints { try fixture.damage(written.key) }
            let plan = try fixture.expect(.end, gives: fixture.history.last).plan
            #expect(plan.checkpoint == nil && plan.warnings.count == fixture.checkpoints.count)
            try fixture.prune(1..<2)
            let error = try fixture.expectFailure(.end)
            #expect(error.code == .notKept)
            #expect(fixture.checkpoints.allSatisfy { error.message.contains($0.key.rawValue) })
        }
    }

    @Test func aDamagedHeadIsNotNeeded() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            try fixture.damage(StoreLayout.head)
            let newest = try #require(fixture.checkpoints.last)
            let state = fixture.history.states[Int(newest.file.checkpoint.index)]
            let plan = try fixture.expect(.latestCheckpoint, gives: state).plan
            #expect(plan.warnings.contains { $0.contains(StoreLayout.head.rawValue) })
        }
    }

    @Test func aDamagedLogObjectIsNamed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            let newest = try #require(fixture.checkpoints.last).file.checkpoint.index
            let object = try #require(fixture.objects.last { $0 > newest })
            let key = StoreLayout.log(firstIndex: object)
            try fixture.damage(key)
            for target in [.end, .revision(fixture.history.last.revision), .time(.max)] as [RestorePoint.Target] {
                let error = try fixture.expectFailure(target, as: LogError.self)
                #expect(error.code == .corrupted && error.description.contains(key.rawValue))
            }
            // Nobody can tell what the last revision was.
            _ = try fixture.expectFailure(.latestCheckpoint, bumpsRevision: true, as: LogError.self)
            let before = fixture.history.states[Int(object - 1)]
            try fixture.expect(.revision(before.revision), gives: fixture.history.state(at: before.revision))
            let error = try fixture.expectFailure(.revision(Revision(1)))
            #expect(error.kept?.newest == nil && error.kept?.oldest != nil)
        }
    }

    /// Goal: a gap in the log is never taken for its end. Method: objects between two checkpoints go.
    @Test func aGapInTheLogIsNotItsEnd() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            let count = fixture.checkpoints.count
            let (older, newest) = (fixture.checkpoints[count - 2], fixture.checkpoints[count - 1])
            let (from, to) = (older.file.checkpoint.index, newest.file.checkpoint.index)
            let middle = try #require(fixture.objects.first { $0 > (from + to) / 2 })
            #expect(middle < to)
            let missing = try fixture.prune(middle..<middle + 1)
            let state = fixture.history.states[Int(middle) + 1]
            for target in [.revision(state.revision.next), .time(state.time + 1)] as [RestorePoint.Target] {
                let error = try fixture.expectFailure(target)
                #expect(error.code == .notKept && error.message.contains(missing.rawValue))
                #expect(error.kept?.before?.checkpoint == older.key && error.kept?.after?.checkpoint == newest.key)
                #expect(error.kept?.newest?.revision == fixture.history.last.revision)
            }
            let before = fixture.history.states[Int(middle) - 1]
            try fixture.expect(.revision(before.revision), gives: fixture.history.state(at: before.revision))
            try fixture.expect(.end, gives: fixture.history.last)

            // Without the checkpoint behind the gap neither the end nor its own state can be reached.
            try fixture.damage(newest.key)
            for target in [.end, .latestCheckpoint, .time(.max)] as [RestorePoint.Target] {
                let error = try fixture.expectFailure(target)
                #expect(error.code == .notKept && error.message.contains(missing.rawValue))
            }
            // Also where only the name of the damaged one tells that there was more.
            try fixture.store.delete([StoreLayout.head])
            for target in [.end, .time(.max)] as [RestorePoint.Target] {
                let error = try fixture.expectFailure(target)
                #expect(error.message.contains(missing.rawValue))
            }
            // The revision that clients may have seen is that of the name.
            let bumped = try fixture.restore(.revision(before.revision), bumpsRevision: true).plan.bumpedRevision
            #expect(bumped?.rawValue == newest.file.checkpoint.revision + 2)
        }
    }

    /// A checkpoint that does not add up is passed over, and the log must lead to what it says.
    @Test func aStateThatAgreesWithNobodyIsRefused() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            var meta = fixture.history.last.meta
            meta.digest.add(name: [5, 1], value: [])
            let written = try fixture.checkpoint(meta: meta)
            try fixture.extend(5)
            for target in [.end, .latestCheckpoint] as [RestorePoint.Target] {
                let error = try fixture.expectFailure(target)
                #expect(error.code == .damaged && error.message.contains(written.key.rawValue))
                #expect(error.message.contains("entry \(written.file.checkpoint.position)"))
            }
        }
    }

    @Test func anOutageIsNoDamage() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            for prefix in ["manifest/", "checkpoint/", "sst/", "wal/"] {
                let faulty = FaultyStore(base, faults: [StoreFault(.get, prefix: prefix, .beforeEffect, .from(1))])
                let restorer = fixture.restorer(on: faulty)
                let error = #expect(throws: ObjectStoreError.self) {
                    try restorer.restore(to: .end) { course in
                        _ = try restorer.fill(CheckpointHistory.makeEngine(), course)
                    }
                }
                #expect(error?.code == .unavailable)
            }
        }
    }

    /// Checkpoints that were never made the newest do not count, unless somebody names them.
    @Test func checkpointsBeyondTheHeadDoNotCount() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Self.fixture(base)
            let head = try fixture.store.get(StoreLayout.head).bytes
            let newest = try #require(fixture.checkpoints.last)
            let beyond = try fixture.checkpoint()
            _ = try fixture.store.put(StoreLayout.head, head, when: .always)
            let plan = try fixture.expect(.end, gives: fixture.history.last).plan
            #expect(plan.checkpoint?.key == newest.key)
            let latest = try fixture.restore(.latestCheckpoint).plan
            #expect(latest.end == newest.file.checkpoint.position)
            try fixture.expect(.checkpoint(beyond.key), gives: fixture.history.last)
        }
    }

    @Test func anotherDatabaseIsRefused() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let store = try Self.fixture(base).store
            let other = Restorer(
                store, databaseID: try #require(DatabaseID([UInt8](repeating: 9, count: 16)))
            ) { _ in store }
            let error = #expect(throws: CheckpointError.self) { try other.course(to: .end) }
            #expect(error?.code == .invalidArgument)
        }
    }
}
