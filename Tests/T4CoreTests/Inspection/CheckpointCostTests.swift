import Synchronization
import T4Protocols
import Testing

@testable import T4Core

// A large checkpoint in place: what questions cost in requests and bytes.

@Suite struct CheckpointCostTests {
    /// What went over a store.
    final class Traffic: Sendable {
        private let seen = Mutex<[StoreObservation]>([])

        func add(_ observation: StoreObservation) { seen.withLock { $0.append(observation) } }

        /// Requests and bytes since the last look.
        func take() -> (requests: Int, bytes: UInt64) {
            seen.withLock { seen in
                defer { seen = [] }
                return (seen.count, seen.reduce(0) { $0 + $1.bytesRead })
            }
        }
    }

    /// Two checkpoints of many large keys, of which the second differs in one.
    struct Fixture {
        static let keyCount = 6000
        let traffic = Traffic()
        let checkpoints: CheckpointStore
        var files: [ManifestFile] = []
        var size = 0

        init(_ base: any ObjectStore) throws {
            let store = BlockingStore(base)
            let traffic = traffic
            checkpoints = CheckpointStore(
                BlockingStore(ReadAheadStore(MeteredStore(base) { traffic.add($0) })),
                databaseID: StoredDatabase.databaseID)
            var rows = TableFixture(seed: 3)
            var places: [String: ManifestFile.Place] = [:]
            var last: Manifest?
            let all = rows.rows(count: Fixture.keyCount, valueSize: 500)
            let one = rows.version(of: rows.key(4000), at: 9, value: [1])
            for (index, new) in [all, [one]].enumerated() {
                var builder = CheckpointBuilder(
                    previous: last, index: UInt64(index + 1), compacted: .none,
                    firstCut: TableCut(sizeMin: 300_000, sizeMax: 500_000, hashBits: 6)
                ) { entry in
                    try TableReader(
                        name: "table", bytes: store.get(ObjectKey(#require(places[entry.id]).key)).bytes, id: nil)
                } put: { table in
                    let key = StoreLayout.table(table.id, epoch: 0)
                    _ = try store.put(key, table.bytes, when: .always)
                    places["\(table.id)"] = .init(key: key, size: UInt64(table.bytes.count))
                }
                try builder.add(new, from: UInt64(index), to: UInt64(index + 1))
                try builder.finish()
                let meta = MetaRow(
                    revision: Revision(index == 0 ? 7 : 9), compacted: .none, keys: UInt64(Fixture.keyCount),
                    digest: StateDigest())
                let manifest = Manifest(
                    database: StoredDatabase.databaseID, lineage: nil,
                    position: LogPosition(term: 1, index: UInt64(index + 1)), meta: meta,
                    cut: TableCut(sizeMin: 300_000, sizeMax: 500_000, hashBits: 6), base: builder.base,
                    deltas: builder.deltas)
                files.append(
                    try ManifestFile(
                        manifest,
                        .init(commitTime: 1, writtenTime: 2, node: "", engine: "", software: "", places: places)))
                last = manifest
            }
            size = Int(places.values.reduce(0) { $0 + $1.size })
        }

        func key(_ number: Int) -> [UInt8] { TableFixture(seed: 0).key(number) }
    }

    @Test func aKeyCostsABlockOfEachRun() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Fixture(base)
            #expect(fixture.files[0].checkpoint.base.count > 5 && fixture.size > 3_000_000)
            #expect(fixture.files[1].checkpoint.deltas.count == 1)
            let view = try Inspection(CheckpointSnapshot(fixture.files[1], of: fixture.checkpoints), name: "c")
            #expect(try view.get(fixture.key(1234))?.kv.value.count == 500)
            let first = fixture.traffic.take()
            // End of the table and a block.
            #expect(first.requests == 2 && first.bytes < 90_000, "\(first)")
            #expect(try view.get(fixture.key(1235)) != nil)
            #expect(fixture.traffic.take().requests <= 1, "what was read is kept")
            #expect(try view.get([UInt8]("nowhere")) == nil)
            #expect(fixture.traffic.take().requests == 0, "no table has such a key")
            #expect(try view.get(fixture.key(4000))?.kv.value == [1])
            let changed = fixture.traffic.take()
            // Also the small table above it, which is read at once, and the version before.
            #expect(changed.requests <= 4 && changed.bytes < 120_000, "\(changed)")
            #expect(view.summary.keyCount == 6000)
            #expect(fixture.traffic.take().requests == 0)
        }
    }

    @Test func aScanReadsAhead() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Fixture(base)
            let view = try Inspection(CheckpointSnapshot(fixture.files[1], of: fixture.checkpoints), name: "c")
            #expect(try view.count(prefix: [UInt8]("/registry/pods/0000")) == 6000)
            let all = fixture.traffic.take()
            let tables = fixture.files[1].checkpoint.tables.count
            #expect(all.requests <= tables * 6, "\(all), \(tables) tables, about 30 blocks each")
            #expect(all.bytes < UInt64(fixture.size) * 3 / 2)
            #expect(try view.list(prefix: [UInt8]("/registry/pods/000050"), limit: 5).count == 5)
            let some = fixture.traffic.take()
            #expect(some.requests <= 4 && some.bytes < 300_000, "\(some)")
        }
    }

    /// Tables of both are not read; nor are, for a span of revisions, those without a version of them.
    @Test func aDifferenceReadsWhatDiffers() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try Fixture(base)
            let views = try fixture.files.map { try CheckpointSnapshot($0, of: fixture.checkpoints) }
            let changes = try Inspection.diff(prefix: [], from: views[0], to: views[1])
            #expect(changes.map(\.key) == [fixture.key(4000)])
            #expect(changes[0].kind == .updated && changes[0].before?.count == 500 && changes[0].after == [1])
            let cost = fixture.traffic.take()
            #expect(cost.requests <= 6 && cost.bytes < 300_000, "\(cost)")
            let later = try Inspection(
                CheckpointSnapshot(fixture.files[1], of: fixture.checkpoints), name: "c")
            let span = try later.diff(prefix: [], from: Revision(8), to: Revision(9))
            #expect(span.changes == changes)
            let spanCost = fixture.traffic.take()
            #expect(spanCost.requests <= fixture.files[1].checkpoint.tables.count + 4, "\(spanCost)")
        }
    }
}
