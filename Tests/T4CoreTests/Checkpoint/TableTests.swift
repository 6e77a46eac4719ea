import T4Conformance
import T4Core
import T4Protocols
import Testing

// Tables give back what was put in, are named by it, and no wrong byte in them goes unseen.

@Suite struct TableTests {
    @Test func givesBackItsRows() throws {
        var fixture = TableFixture(seed: 1)
        var rows = fixture.rows(count: 3000, valueSize: 60)
        rows.append(TableRow(name: SystemRow.lease(9), value: [0, 0, 0, 0, 0, 0, 0, 5]))
        rows.append(TableRow(name: SystemRow.lease(10), isRemoval: true, value: []))
        var writer = TableWriter()
        for row in rows { try writer.add(row) }
        let finished = writer.finish()
        let table = try #require(finished)
        let reader = try TableReader(name: "sst/x", bytes: table.bytes, id: table.id)
        #expect(try collect(reader.rows()) == rows)
        #expect(reader.properties == table.properties)
        #expect(reader.properties.rowCount == 3002)
        #expect(reader.properties.tombstoneCount == 1)
        #expect(reader.properties.firstName == rows.first?.name)
        #expect(reader.properties.lastName == rows.last?.name)
        let empty = writer.finish()
        #expect(empty == nil)
    }

    @Test func readsFromAName() throws {
        var fixture = TableFixture(seed: 2)
        let rows = fixture.rows(count: 2000, valueSize: 40)
        let table = try #require(try cut(rows, TableCut(sizeMin: .max, sizeMax: .max, hashBits: 1)).first)
        var read = 0
        let reader = try TableReader(name: "t", size: UInt64(table.bytes.count), id: table.id) { range in
            read += range.count
            return Array(table.bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        }
        let opened = read
        for start in [0, 1, 999, 1999] {
            #expect(try collect(reader.rows(from: rows[start].name)) == Array(rows[start...]))
            // A name between two rows.
            #expect(try collect(reader.rows(from: rows[start].name + [0])) == Array(rows[(start + 1)...]))
        }
        read = 0
        var last = reader.rows(from: rows[1999].name)
        let row = try last.next()
        #expect(row == rows[1999])
        #expect(read < table.bytes.count / 3, "only the block that is wanted is read")
        #expect(opened <= 64 << 10)
    }

    @Test func refusesRowsOutOfOrder() throws {
        var fixture = TableFixture(seed: 3)
        let rows = fixture.rows(count: 2, valueSize: 1)
        var writer = TableWriter()
        try writer.add(rows[1])
        for row in [rows[1], rows[0], TableRow(name: [1, 2], value: [])] {
            #expect(throws: CheckpointError.self) {
                var copy = writer
                try copy.add(row)
            }
        }
    }

    /// Each single byte of a table, changed: every reader notices.
    @Test func noticesEveryWrongByte() throws {
        var fixture = TableFixture(seed: 4)
        let rows = fixture.rows(count: 40, valueSize: 20)
        let table = try #require(try cut(rows, TableCut(meanRowSize: 100)).first)
        var unseen: [Int] = []
        for offset in table.bytes.indices {
            var bytes = table.bytes
            bytes[offset] ^= 1 << UInt8(offset % 8)
            do {
                let reader = try TableReader(name: "t", bytes: bytes, id: table.id)
                _ = try collect(reader.rows())
                unseen.append(offset)
            } catch is CheckpointError {}
        }
        #expect(unseen.isEmpty)
        for size in [0, 10, table.bytes.count - 1] {
            #expect(throws: CheckpointError.self) {
                _ = try TableReader(name: "t", bytes: Array(table.bytes[..<size]), id: nil)
            }
        }
    }

    /// A row more, a row less or another value leaves the ids of the other tables alone.
    @Test func keepsTheTablesOfUnchangedRanges() throws {
        var fixture = TableFixture(seed: 5)
        let rows = fixture.rows(count: 20_000, valueSize: 30)
        let parameters = TableCut(sizeMin: 8_000, sizeMax: 200_000, hashBits: 7)
        let before = Set(try cut(rows, parameters).map(\.id))
        #expect(before.count > 20)
        var changed = rows
        changed[9_000] = fixture.version(of: fixture.key(9_000), at: 99, value: [1])
        #expect(Set(try cut(changed, parameters).map(\.id)).subtracting(before).count == 1)
        var fewer = rows
        fewer.remove(at: 5_000)
        #expect(Set(try cut(fewer, parameters).map(\.id)).subtracting(before).count <= 2)
        var more = rows
        more.insert(fixture.version(of: fixture.key(7_000) + [1], at: 99, value: [1]), at: 7_001)
        #expect(Set(try cut(more, parameters).map(\.id)).subtracting(before).count <= 2)
    }

    @Test func neverSplitsAKey() throws {
        let fixture = TableFixture(seed: 6)
        var rows: [TableRow] = []
        for number in 0..<20 {
            for revision in stride(from: Int64(2_000), to: 1_000, by: -1) {
                rows.append(fixture.version(of: fixture.key(number), at: revision, value: [1, 2, 3]))
            }
        }
        rows.append(TableRow(name: SystemRow.lease(1), value: [0, 0, 0, 0, 0, 0, 0, 5]))
        let tables = try cut(rows, TableCut(sizeMin: 100, sizeMax: 200, hashBits: 3))
        #expect(tables.count == 21)
        #expect(tables.dropLast().allSatisfy { $0.properties.rowCount == 1_000 })
    }
}

@Suite struct MergedRowsTests {
    /// Random runs against one dictionary.
    @Test(arguments: 0..<20 as Range<UInt64>) func agreesWithADictionary(_ seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var runs: [[TableRow]] = []
        var model: [[UInt8]: TableRow] = [:]
        for age in 0..<Int.random(in: 1...9, using: &generator) {
            var rows: [[UInt8]: TableRow] = [:]
            for _ in 0..<Int.random(in: 0...60, using: &generator) {
                let id = Int64.random(in: 0...80, using: &generator)
                let isRemoval = Bool.random(using: &generator)
                let row = TableRow(
                    name: SystemRow.lease(id), isRemoval: isRemoval, value: isRemoval ? [] : [UInt8(age)])
                rows[row.name] = row
            }
            model.merge(rows) { newer, _ in newer }
            runs.append(rows.values.sorted { $0.name.lexicographicallyPrecedes($1.name) })
        }
        let expected = model.values.sorted { $0.name.lexicographicallyPrecedes($1.name) }
        #expect(try collect(MergedRows(runs.map { RowList($0) })) == expected)
        let complete = RetainedRows(
            try MergedRows(runs.map { RowList($0) }), compacted: .none, isComplete: true)
        #expect(try collect(complete) == expected.filter { !$0.isRemoval })
    }

    @Test func dropsWhatACompactionDrops() throws {
        let fixture = TableFixture(seed: 7)
        let (first, second, third) = (fixture.key(1), fixture.key(2), fixture.key(3))
        let rows = [
            fixture.version(of: first, at: 12, value: [12]), fixture.version(of: first, at: 9, value: [9]),
            fixture.version(of: first, at: 5, value: [5]), fixture.deletion(of: first, at: 4),
            fixture.deletion(of: second, at: 8), fixture.version(of: second, at: 3, value: [3]),
            fixture.deletion(of: third, at: 10), fixture.version(of: third, at: 2, value: [2]),
        ]
        func kept(_ isComplete: Bool) throws -> [Int64] {
            try collect(RetainedRows(RowList(rows), compacted: Revision(10), isComplete: isComplete))
                .map(\.revision.rawValue)
        }
        // The deletion at the compacted revision itself stays: a watch may start there.
        #expect(try kept(true) == [12, 9, 10])
        #expect(try kept(false) == [12, 9, 8, 10])
    }
}
