import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

@Suite struct CheckpointDiffTests {
    /// Against both states, restored, and against the history where that is complete.
    @Test(arguments: [UInt64](11...16)) func findsWhatDiffers(_ seed: UInt64) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try StoredDatabase(base, seed: seed)
            var random = SeededGenerator(seed: seed)
            for _ in 0..<9 {
                try database.extend(Int.random(in: 1...50, using: &random))
                try database.checkpoint()
            }
            var (shared, complete, lost) = (0, 0, 0)
            for (number, older) in database.written.enumerated() {
                for newer in database.written[number...] {
                    let changes = try Inspection.diff(
                        prefix: [97], from: database.view(older), to: database.view(newer))
                    let ids = [older, newer].map { Set($0.file.checkpoint.tables.map(\.id)) }
                    if older.key != newer.key, !ids[0].isDisjoint(with: ids[1]) { shared += 1 }
                    let before = try StateReader(database.restored(older).snapshot())
                    let after = try StateReader(database.restored(newer).snapshot())
                    let expected = try differences(before, after)
                    #expect(changes.filter { $0.before != nil || $0.after != nil }.map(\.key) == expected)
                    for change in changes {
                        #expect(try before.latest(change.key)?.value == change.before)
                        #expect(try after.latest(change.key)?.value == change.after)
                        if change.operations == 0 { lost += 1 }
                    }
                    guard after.meta.compacted <= before.meta.revision else { continue }
                    complete += 1
                    let span = try Inspection(database.view(newer), name: "c").diff(
                        prefix: [97], from: before.meta.revision.next, to: after.meta.revision)
                    #expect(changes == span.changes)
                }
            }
            #expect(shared > 0 && complete > 5)
            #expect(lost > 0 || database.history.compacted == .none, "compaction has removed some changes")
        }
    }

    /// Keys whose newest versions differ.
    private func differences(_ before: StateReader, _ after: StateReader) throws -> [[UInt8]] {
        var revisions: [[UInt8]: [Revision]] = [:]
        for reader in [before, after] {
            try reader.forEachLatest(in: .all) { key, row in
                revisions[key.copyBytes(), default: []].append(RecordHeader(row).mod)
                return .next
            }
        }
        return revisions.filter { Set($0.value).count + $0.value.count != 3 }.keys.sorted {
            $0.lexicographicallyPrecedes($1)
        }
    }

    @Test func theFirstMustBeTheOlderOne() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try StoredDatabase(base)
            for _ in 0..<2 {
                try database.extend(30)
                try database.checkpoint()
            }
            let views = try database.written.map(database.view)
            let error = #expect(throws: CheckpointError.self) {
                try Inspection.diff(prefix: [], from: views[1], to: views[0])
            }
            #expect(error?.code == .invalidArgument)
        }
    }
}
