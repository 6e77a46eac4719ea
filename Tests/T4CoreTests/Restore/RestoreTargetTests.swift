import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct RestoreTargetTests {
    /// Goal: any moment of a database can be had back. Method: every 50th revision and 40 times of 2,000 revisions with
    /// all kinds of changes, against a model.
    @Test func everyMomentOfAHistoryIsRestored() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 3, revisions: 2000, checkpointInterval: 280)
            let history = fixture.history
            #expect(fixture.checkpoints.count >= 5)
            var replayed: Set<Bool> = []
            for revision in stride(from: 50, through: 2000, by: 50).map({ Revision($0) }) {
                let state = try #require(history.state(at: revision))
                let plan = try fixture.expect(.revision(revision), gives: state).plan
                #expect(!plan.keepsDatabase && plan.warnings.isEmpty)
                let suitable = fixture.checkpoints.last { $0.file.checkpoint.index <= state.position.index }
                #expect(plan.checkpoint?.key == suitable?.key)
                #expect(plan.entryCount == state.position.index - (suitable?.file.checkpoint.index ?? 0))
                replayed.insert(plan.checkpoint == nil)
            }
            #expect(replayed == [true, false], "from the empty state, and from checkpoints")
            var random = SeededGenerator(seed: 9)
            let (first, last) = (history.states[1].time, history.last.time)
            let times = [first, last] + (0..<38).map { _ in UInt64.random(in: first...last, using: &random) }
            for time in times + [last + 5, .max] {
                let state = try #require(history.state(atTime: time))
                let plan = try fixture.expect(.time(time), gives: state).plan
                let suitable = fixture.checkpoints.last { $0.file.checkpoint.index <= state.position.index }
                #expect(plan.checkpoint?.key == suitable?.key && !plan.keepsDatabase)
            }
        }
    }

    @Test func historyIsKeptAsFarAsItIsNotCompacted() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 5, revisions: 400, checkpointInterval: 120)
            for revision in [60, 130, 250, 399] as [Int64] {
                let restored = try fixture.restore(.revision(Revision(revision)))
                let replayed = try CheckpointHistory.makeEngine()
                var replay = try LogReplay(on: replayed)
                for entry in fixture.history.entries.prefix(Int(restored.plan.end.index)) { try replay.add(entry) }
                try replayed.apply(replay.finish(), at: replay.position)
                for engine in [restored.engine, replayed] { try compact(engine) }
                let (left, right) = try (dump(restored.engine.snapshot()), dump(replayed.snapshot()))
                #expect(left == right && left.contains { $0.name[0] == Keyspace.history })
            }
        }
    }

    @Test func checkpointsAndTheEndAreWhole() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 6, revisions: 300, checkpointInterval: 60)
            for written in fixture.checkpoints {
                let state = fixture.history.states[Int(written.file.checkpoint.index)]
                let restored = try fixture.expect(.checkpoint(written.key), gives: state)
                let plan = restored.plan
                #expect(plan.keepsDatabase && plan.entryCount == 0 && plan.checkpoint?.key == written.key)
                #expect(plan.checkpoint?.tableCount == written.file.checkpoint.tables.count)
                #expect(restored.progress.last?.tablesDone == written.file.checkpoint.tables.count)
            }
            let newest = try #require(fixture.checkpoints.last)
            let latest = try fixture.expect(
                .latestCheckpoint, gives: fixture.history.states[Int(newest.file.checkpoint.index)])
            #expect(latest.plan.keepsDatabase && latest.plan.checkpoint?.key == newest.key)
            let end = try fixture.expect(.end, gives: fixture.history.last)
            #expect(end.plan.keepsDatabase && end.plan.entryCount > 0)
            let done = try #require(end.progress.last)
            #expect(done.entriesDone == end.plan.entryCount && done.entriesAll == end.plan.entryCount)
            #expect(done.tablesDone == done.tablesAll && done.tablesAll > 0)
        }
    }

    @Test func aDatabaseWithoutCheckpointsIsRestoredFromItsLog() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 7, revisions: 80, checkpointInterval: 1000)
            #expect(fixture.checkpoints.isEmpty)
            try fixture.expect(.end, gives: fixture.history.last)
            try fixture.expect(.revision(Revision(2)), gives: fixture.history.state(at: Revision(2)))
            let time = fixture.history.states[30].time
            try fixture.expect(.time(time), gives: fixture.history.state(atTime: time))
            let error = try fixture.expectFailure(.latestCheckpoint)
            #expect(error.code == .notKept && error.kept?.newest?.revision == fixture.history.last.revision)
        }
    }

    @Test func anEmptyPrefixIsAnError() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = RestoreFixture(base)
            for target in [.end, .latestCheckpoint, .revision(Revision(5)), .time(5), .checkpoint("checkpoint/x")]
                as [RestorePoint.Target]
            {
                let error = try fixture.expectFailure(target)
                #expect(error.code == .notKept && error.kept == RestoreError.Kept())
            }
        }
    }

    @Test func whatLiesOutsideNamesWhatThereIs() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 8, revisions: 300, checkpointInterval: 70)
            let last = fixture.history.last
            let newest = RestoreError.State(revision: last.revision, time: last.time)
            let beyond = try fixture.expectFailure(.revision(last.revision.next))
            #expect(beyond.code == .notKept && beyond.message.contains("\(last.revision)"))
            #expect(beyond.kept?.newest == newest)
            #expect(beyond.kept?.before?.checkpoint == fixture.checkpoints.last?.key && beyond.kept?.after == nil)
            let first = try #require(beyond.kept?.oldest)
            #expect(first == RestoreError.State(revision: .initial, time: fixture.history.states[1].time))
            for target in [.revision(Revision(1)), .revision(Revision(-3)), .time(first.time - 1)]
                as [RestorePoint.Target]
            {
                let before = try fixture.expectFailure(target)
                #expect(before.code == .notKept && before.kept?.oldest == first && before.kept?.newest == newest)
                #expect(before.kept?.before == nil && before.kept?.after?.checkpoint == fixture.checkpoints[0].key)
            }
            let unknown = try fixture.expectFailure(
                .checkpoint("checkpoint/0000000001/00000000000000000001/manifest.json"))
            #expect(unknown.message.contains("00000000000000000001") && unknown.kept?.newest == newest)

            // The log before the second checkpoint goes, and the first checkpoint.
            let oldest = fixture.checkpoints[1]
            try fixture.prune(1..<oldest.file.checkpoint.index)
            try fixture.store.delete([fixture.checkpoints[0].key])
            let tooOld = try fixture.expectFailure(.revision(Revision(30)))
            #expect(tooOld.code == .notKept && tooOld.kept?.oldest?.checkpoint == oldest.key)
            #expect(tooOld.kept?.before == nil && tooOld.kept?.after?.checkpoint == oldest.key)
            let tooEarly = try fixture.expectFailure(.time(oldest.file.envelope.commitTime - 1))
            #expect(tooEarly.kept?.oldest?.time == oldest.file.envelope.commitTime)
            try fixture.expect(
                .time(oldest.file.envelope.commitTime),
                gives: fixture.history.state(atTime: oldest.file.envelope.commitTime))
            try fixture.expect(.revision(last.revision), gives: fixture.history.state(at: last.revision))
        }
    }

    /// A revision ends with its entry: a checkpoint that holds entries without a revision behind it is too late.
    @Test func aRevisionEndsWithItsEntry() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 9, revisions: 100, checkpointInterval: 40)
            var exact: CheckpointWriter.Written
            var state: RestoreHistory.State
            repeat {
                try fixture.extend(untilRevisionIsMade: true)
                state = fixture.history.last
                exact = try fixture.checkpoint()
                let early = try fixture.expect(.revision(state.revision), gives: state)
                #expect(early.plan.checkpoint?.key == exact.key && early.plan.entryCount == 0)
                try fixture.extend(1)
            } while fixture.history.last.revision != state.revision
            let revision = state.revision
            let late = try fixture.checkpoint()
            #expect(late.file.checkpoint.revision == revision.rawValue && late.key != exact.key)
            let again = try fixture.expect(.revision(revision), gives: state)
            #expect(again.plan.checkpoint?.key == exact.key)
            try fixture.store.delete([exact.key])
            let replayed = try fixture.expect(.revision(revision), gives: state)
            #expect(replayed.plan.entryCount > 0 && replayed.plan.warnings.isEmpty)

            // Nothing else is left: the later state at that revision, and it says so.
            let before = fixture.checkpoints.dropLast().map(\.key)
            try fixture.store.delete(before)
            try fixture.prune(1..<late.file.checkpoint.index)
            let inexact = try fixture.expect(.revision(revision), gives: fixture.history.last)
            #expect(inexact.plan.checkpoint?.key == late.key)
            #expect(inexact.plan.warnings.contains { $0.contains(late.key.rawValue) })
        }
    }

    /// Of one revision and term the index in the name tells which is the newest.
    @Test func checkpointsOfOneRevisionAreInOrder() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 10, revisions: 60, checkpointInterval: 1000)
            var written: [CheckpointWriter.Written] = []
            while written.count < 3 {
                try fixture.extend(untilRevisionIsMade: true)
                written = [try fixture.checkpoint()]
                while written.count < 3 {
                    try fixture.extend(1)
                    let (last, first) = (fixture.history.last, written[0].file.checkpoint)
                    guard last.revision.rawValue == first.revision, last.position.term == first.term else { break }
                    if written.count == 2 { try fixture.store.delete([written[0].key]) }
                    written.append(try fixture.checkpoint())
                }
            }
            #expect(Set(written.map(\.key)).count == 3)
            try fixture.store.delete([StoreLayout.head])
            let restored = try fixture.expect(.latestCheckpoint, gives: fixture.history.last)
            #expect(restored.plan.checkpoint?.key == written[2].key)
        }
    }

    @Test func aBumpedRevisionIsBeyondAllThatWasSeen() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 11, revisions: 200, checkpointInterval: 60)
            let last = fixture.history.last.revision
            for (target, revision) in [(.revision(Revision(75)), 75), (.latestCheckpoint, nil), (.end, last.rawValue)]
                as [(RestorePoint.Target, Int64?)]
            {
                let restored = try fixture.restore(target, bumpsRevision: true)
                let state = fixture.history.states[Int(restored.plan.end.index)]
                if let revision { #expect(state.revision.rawValue == revision) }
                let bumped = try #require(restored.plan.bumpedRevision)
                // A watch that goes on behind the last revision needs `last + 1`: only a later one is compacted for it.
                #expect(bumped.rawValue == last.rawValue + 2 && !restored.plan.keepsDatabase)
                var expected = state
                (expected.revision, expected.compacted) = (bumped, bumped)
                try fixture.expectState(restored.engine, expected)
                try compact(restored.engine)
                try fixture.expectState(restored.engine, expected)
                let rows = try dump(restored.engine.snapshot())
                #expect(!rows.contains { [Keyspace.history, Keyspace.changes].contains($0.name[0]) })
            }
        }
    }

    /// Removes what is compacted, as the background does in a node.
    private func compact(_ engine: any LocalEngine) throws {
        var start: [UInt8]?
        repeat {
            let step = try Compaction.step(StateReader(engine.snapshot()), from: start, rowLimit: 100)
            try engine.apply(step.batch, at: engine.appliedPosition)
            start = step.next
        } while start != nil
    }
}
