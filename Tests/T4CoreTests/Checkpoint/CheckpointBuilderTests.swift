import T4Conformance
import T4Core
import T4Protocols
import Testing

// A made-up history is checkpointed at random moments with tiny tables and tiers. Each checkpoint, loaded into an empty
// engine, must be the engine that applied the whole log, row for row.

@Suite struct CheckpointBuilderTests {
    /// Tables by id, as a store keeps them.
    final class Tables {
        var bytes: [String: [UInt8]] = [:]
        /// Raw bytes written since the last look.
        var written = 0

        func put(_ table: Table) {
            bytes[table.id.description] = table.bytes
            written += table.bytes.count
        }

        func open(_ entry: Manifest.TableEntry) throws -> TableReader {
            try TableReader(name: entry.id, bytes: #require(bytes[entry.id]), id: TableID(hex: entry.id))
        }

        /// The merged rows of a complete checkpoint.
        func rows(_ manifest: Manifest) throws -> RetainedRows<MergedRows> {
            let runs = manifest.deltas.map(\.tables) + [manifest.base]
            return RetainedRows(
                try MergedRows(runs.map { RunRows($0[...], open: open) }), compacted: Revision(manifest.compacted),
                isComplete: true)
        }
    }

    static let cut = TableCut(sizeMin: 300, sizeMax: 3_000, hashBits: 2)
    static var tuning: CheckpointBuilder.Tuning {
        var tuning = CheckpointBuilder.Tuning()
        tuning.tierSize = 600
        tuning.deltaCountMax = 5
        return tuning
    }

    func checkpoint(
        _ history: CheckpointHistory, _ fold: inout Fold, after previous: Manifest?, _ tables: Tables
    ) throws -> Manifest {
        var builder = CheckpointBuilder(
            previous: previous, index: fold.position.index, compacted: fold.compacted,
            firstCut: CheckpointBuilderTests.cut, tuning: CheckpointBuilderTests.tuning, open: tables.open,
            put: tables.put)
        try builder.add(fold.takeRows(), from: previous?.index ?? 0, to: fold.position.index)
        try builder.finish()
        let reader = try StateReader(history.engine.snapshot())
        let meta = reader.meta
        let (sum, keys) = try digest(of: dump(reader.snapshot))
        #expect(meta.digest == sum)
        #expect(meta.keys == keys)
        #expect(meta.revision == fold.revision)
        #expect(meta.compacted == fold.compacted)
        let database = try #require(DatabaseID([UInt8](repeating: 7, count: 16)))
        return Manifest(
            database: database, lineage: nil, position: fold.position, meta: meta,
            cut: CheckpointBuilderTests.cut, base: builder.base, deltas: builder.deltas)
    }

    func check(_ manifest: Manifest, _ history: CheckpointHistory, _ tables: Tables) throws {
        try history.compact()
        var rows = CheckpointRows(meta: try #require(manifest.meta)) { try tables.rows(manifest) }
        let restored = try CheckpointHistory.makeEngine()
        try restored.bulkLoad(&rows, at: manifest.position)
        #expect(rows.isVerified)
        let (left, right) = try (dump(restored.snapshot()), dump(history.engine.snapshot()))
        #expect(left.count == right.count)
        let difference = zip(left, right).first { $0 != $1 }
        #expect(difference == nil)
        for run in manifest.deltas.map(\.tables) + [manifest.base] {
            for (table, next) in zip(run, run.dropFirst()) {
                let (end, start) = (TableRow.keyPrefix(of: table.lastName), TableRow.keyPrefix(of: next.firstName))
                #expect(end.lexicographicallyPrecedes(start), "versions of one key stay together")
            }
        }
        #expect(manifest.deltas.count <= 8)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>) func restoresToTheEngineThatAppliedTheLog(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed &* 77)
        var history = try CheckpointHistory(seed: seed)
        let tables = Tables()
        var fold = Fold(after: .zero, revision: .initial, compacted: .none)
        var manifest: Manifest?
        var sliced = 0
        for _ in 0..<40 {
            for _ in 0..<Int.random(in: 0...60, using: &random) { try fold.add(history.next()) }
            let next = try checkpoint(history, &fold, after: manifest, tables)
            if Set(next.base.map(\.upTo)).count > 1 { sliced += 1 }
            try check(next, history, tables)
            manifest = next
        }
        #expect(sliced > 0, "the base is rewritten in slices")
    }

    /// After a complete rebase nothing tells any more when checkpoints were made.
    @Test func aRebaseForgetsTheSchedule() throws {
        func base(every step: Int) throws -> [Manifest.TableEntry] {
            var history = try CheckpointHistory(seed: 5)
            let tables = Tables()
            var fold = Fold(after: .zero, revision: .initial, compacted: .none)
            var manifest: Manifest?
            for number in 1...600 {
                try fold.add(history.next())
                if number.isMultiple(of: step) {
                    manifest = try checkpoint(history, &fold, after: manifest, tables)
                }
            }
            var builder = CheckpointBuilder(
                previous: manifest, index: fold.position.index, compacted: fold.compacted,
                tuning: CheckpointBuilderTests.tuning, open: tables.open, put: tables.put)
            try builder.rebase()
            return builder.base
        }
        let often = try base(every: 20)
        #expect(often.count > 3)
        #expect(try base(every: 100) == often)
        #expect(try base(every: 600) == often)
    }
}
