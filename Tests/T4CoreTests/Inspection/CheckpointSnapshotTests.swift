import Synchronization
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

// What is read from a checkpoint in place is compared with what a restore of it gives.

@Suite struct CheckpointSnapshotTests {
    /// A row, or several, or none, with the order in which they came.
    func rows(
        _ snapshot: any EngineSnapshot, _ range: KeyRange, _ order: ScanOrder = .ascending, limit: Int = .max
    ) throws -> [EngineRow] {
        var rows: [EngineRow] = []
        try snapshot.scan(range, order: order) { name, value in
            rows.append(EngineRow(name: name.copyBytes(), value: value.copyBytes()))
            return rows.count == limit ? .stop : .next
        }
        return rows
    }

    @Test(arguments: [UInt64](1...4)) func theViewHasTheRowsOfTheRestoredEngine(_ seed: UInt64) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try StoredDatabase(base, seed: seed)
            var random = SeededGenerator(seed: seed)
            var runs: Set<Int> = []
            for _ in 0..<8 {
                try database.extend(Int.random(in: 1...90, using: &random))
                let checkpoint = try database.checkpoint()
                runs.insert(checkpoint.file.checkpoint.deltas.count)
                let engine = try database.restored(checkpoint).snapshot()
                let view = try database.view(checkpoint)
                let all = try dump(engine)
                #expect(try dump(view) == all)
                #expect(try rows(view, .all, .descending) == all.reversed())
                // Bounds that are names of rows, parts of such, or lie between them.
                for _ in 0..<60 {
                    var bounds = (0..<2).map { _ in
                        var name = all.randomElement(using: &random)!.name
                        if Bool.random(using: &random) {
                            name.removeLast(Int.random(in: 0...name.count, using: &random))
                        }
                        if Bool.random(using: &random) { name.append(UInt8.random(in: 0...2, using: &random)) }
                        return name
                    }
                    bounds.sort { $0.lexicographicallyPrecedes($1) }
                    let range = KeyRange(lower: bounds[0], upper: Bool.random(using: &random) ? bounds[1] : nil)
                    let order: ScanOrder = Bool.random(using: &random) ? .ascending : .descending
                    let limit = Bool.random(using: &random) ? 3 : .max
                    let (left, right) = try (
                        rows(view, range, order, limit: limit), rows(engine, range, order, limit: limit)
                    )
                    #expect(left == right, "\(range) \(order)")
                    var found: [UInt8]?
                    var expected: [UInt8]?
                    let isFound = try view.read(bounds[0]) { found = $0.copyBytes() }
                    let isThere = try engine.read(bounds[0]) { expected = $0.copyBytes() }
                    #expect(isFound == isThere && found == expected)
                }
            }
            #expect(runs.count > 1)
        }
    }

    @Test(arguments: [UInt64](5...7)) func anInspectionGivesTheSameAnswers(_ seed: UInt64) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try StoredDatabase(base, seed: seed)
            var random = SeededGenerator(seed: seed)
            for _ in 0..<5 {
                try database.extend(60)
                let checkpoint = try database.checkpoint()
                let reader = try StateReader(database.restored(checkpoint).snapshot())
                let place = Inspection(
                    reader, databaseID: StoredDatabase.databaseID, lastEntry: database.history.position,
                    source: .checkpoint("c"))
                let view = try Inspection(database.view(checkpoint), name: "c")
                #expect(view.summary.revision == place.summary.revision)
                #expect(view.summary.compactedRevision == place.summary.compactedRevision)
                #expect(view.summary.keyCount == place.summary.keyCount)
                #expect(view.summary.lastEntry == place.summary.lastEntry)
                #expect(view.summary.source == place.summary.source)
                #expect(view.summary.databaseID == place.summary.databaseID)
                let count = try reader.countLatest(in: .all)
                #expect(place.summary.keyCount == count)
                let keys = try place.list(prefix: [], limit: 0)
                #expect(!keys.isEmpty)
                #expect(try view.list(prefix: [], limit: 0) == keys)
                #expect(try view.list(prefix: [97, 0], limit: 2) == place.list(prefix: [97, 0], limit: 2))
                #expect(try view.count(prefix: [97, 0]) == place.count(prefix: [97, 0]))
                let others: [[UInt8]] = [[97, 2], [97, 255, 255, 255], []]
                for key in keys.map(\.kv.key) + others {
                    #expect(try view.get(key) == place.get(key))
                    #expect(try view.history(key, limit: 0) == place.history(key, limit: 0))
                }
                for _ in 0..<10 {
                    let last = Revision(Int64.random(in: 1...place.summary.revision.rawValue, using: &random))
                    let first = Revision(Int64.random(in: 1...last.rawValue, using: &random))
                    let prefixes: [[UInt8]] = [[], [97, 1], [97, 255]]
                    let prefix = prefixes.randomElement(using: &random)!
                    let (left, right) = try (
                        view.diff(prefix: prefix, from: first, to: last),
                        place.diff(prefix: prefix, from: first, to: last)
                    )
                    #expect(left.changes == right.changes && left.first == right.first)
                }
            }
        }
    }

    /// A damaged block is an error that names the table; what is elsewhere can still be read.
    @Test func damageIsNamedWhereItIsMet() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let database = try StoredDatabase(base)
            try database.extend(300)
            let checkpoint = try database.checkpoint()
            let table = try #require(checkpoint.file.checkpoint.base.first)
            let key = ObjectKey(try #require(checkpoint.file.envelope.places[table.id]).key)
            var bytes = try database.store.get(key).bytes
            bytes[20] ^= 1
            _ = try database.store.put(key, bytes, when: .always)
            let view = try Inspection(database.view(checkpoint), name: "c")
            let error = #expect(throws: EngineError.self) { try view.list(prefix: [], limit: 0) }
            #expect(error?.code == .corrupted)
            #expect(error?.description.contains(key.rawValue) == true)
            let last = try #require(checkpoint.file.checkpoint.base.last { $0.firstName.first == Keyspace.history })
            #expect(last.id != table.id)
            _ = try view.history(Keyspace.parseHistory(last.firstName.span.bytes).key, limit: 0)
        }
    }
}
