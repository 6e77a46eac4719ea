import CodingReference
import T4Core
import Testing

@testable import T4Server

/// Goal: every bbolt file is read, and no bytes make the reader crash, loop or lie. Method: files of t4's own writer, pages
/// made by hand in the forms that only bbolt makes, and damage everywhere.
struct BoltDatabaseTests {
    private typealias Row = RowFile.Row

    private func file(_ buckets: [(String, [Row])]) throws -> [UInt8] {
        try withTemporaryFolder { folder in
            var writer = try BoltFileWriter(TemporaryFile(in: folder))
            for (name, rows) in buckets {
                for row in rows { try writer.add(key: row.name.span.bytes, value: row.value.span.bytes) }
                try writer.endBucket(name)
            }
            let file = try writer.finish()
            return try file.content()
        }
    }

    private func key(_ number: Int) -> [UInt8] {
        (0..<4).reversed().map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    }

    private func rows(_ count: Int) -> [Row] { (0..<count).map { Row(name: key($0), value: key($0 &* 7919)) } }

    private func read(_ bytes: [UInt8], _ bucket: String) throws -> [Row]? {
        let database = try BoltDatabase(MemoryFile(bytes), byteCount: UInt64(bytes.count))
        guard let found = try database.buckets(named: [bucket])[bucket] else { return nil }
        var rows: [Row] = []
        var cursor = try database.cursor(found)
        while let row = try cursor.next() { rows.append(Row(name: row.key, value: row.value)) }
        let last = try database.lastKey(of: found)
        #expect(last == rows.last?.name)
        return rows
    }

    @Test(arguments: [0, 1, 2, 3, 100, 101, 10_000, 50_000])
    func whatIsWrittenIsRead(_ count: Int) throws {
        let bytes = try file([("a", []), ("b", rows(count)), ("c", rows(3))])
        #expect(try read(bytes, "a") == [])
        #expect(try read(bytes, "b") == rows(count))
        #expect(try read(bytes, "c") == rows(3))
        #expect(try read(bytes, "d") == nil)
    }

    @Test func largeRows() throws {
        let large = [Row(name: [UInt8](repeating: 9, count: 30_000), value: [UInt8](repeating: 1, count: 3 << 20))]
        #expect(try read(file([("large", large), ("small", rows(5))]), "large") == large)
    }

    // MARK: What bbolt writes otherwise

    /// A database of pages of any size, with one bucket that lies inline in the root's page.
    private func small(pageSize: Int, transactions: (UInt64, UInt64)) -> [UInt8] {
        var inline: [UInt8] = []
        BoltFile.appendHeader(.leaf, page: 0, count: 1, overflow: 0, to: &inline)
        for number in [0, 16, 1, 2] as [UInt32] { inline.append(littleEndian: number) }
        inline += [7, 8, 9]
        var leaf: [UInt8] = []
        BoltFile.appendHeader(.leaf, page: 3, count: 1, overflow: 0, to: &leaf)
        let value = BoltFile.bucket(root: 0) + inline
        for number in [1, 16, 1, UInt32(value.count)] { leaf.append(littleEndian: number) }
        leaf += Array("a".utf8) + value
        var bytes = [UInt8](repeating: 0, count: 4 * pageSize)
        for (page, transaction) in [(0, transactions.0), (1, transactions.1)] {
            let meta = meta(page: page, pageSize: pageSize, transaction: transaction)
            bytes.replaceSubrange(page * pageSize..<page * pageSize + meta.count, with: meta)
        }
        bytes.replaceSubrange(3 * pageSize..<3 * pageSize + leaf.count, with: leaf)
        return bytes
    }

    /// As the writer's, but of any page size and transaction: its numbers are replaced, and its checksum made anew.
    private func meta(page: Int, pageSize: Int, transaction: UInt64) -> [UInt8] {
        var meta = Array(BoltFile.firstPages(root: 3, pages: 4).dropFirst(page * 4096).prefix(80))
        func replace(_ offset: Int, _ number: some FixedWidthInteger & BitwiseCopyable) {
            var bytes: [UInt8] = []
            bytes.append(littleEndian: number)
            meta.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        }
        replace(16 + 8, UInt32(pageSize))
        replace(16 + 48, transaction)
        replace(16 + 56, meta[16..<72].reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
        return meta
    }

    @Test(arguments: [1024, 4096, 16384, 65536]) func inlineBucketsAndPageSizes(_ pageSize: Int) throws {
        let wanted = [Row(name: [7], value: [8, 9])]
        #expect(try read(small(pageSize: pageSize, transactions: (4, 5)), "a") == wanted)
        // The other one counts when one is damaged, wherever it lies.
        for page in 0...1 {
            var bytes = small(pageSize: pageSize, transactions: (4, 5))
            bytes[page * pageSize + 30] ^= 1
            #expect(try read(bytes, "a") == wanted)
        }
        var none = small(pageSize: pageSize, transactions: (4, 5))
        for page in 0...1 { none[page * pageSize + 30] ^= 1 }
        #expect(throws: BoltDatabase.Failure.self) { try read(none, "a") }
    }

    @Test func theNewerTransactionCounts() throws {
        // The older one names a page that is none.
        for (page, transactions) in [(0, (4, 5)), (1, (5, 4))] as [(Int, (UInt64, UInt64))] {
            var bytes = small(pageSize: 4096, transactions: transactions)
            let start = page * 4096
            bytes[start + 32] = 77
            let sum = bytes[start + 16..<start + 72].reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
                ($0 ^ UInt64($1)) &* 0x100_0000_01B3
            }
            for byte in 0..<8 { bytes[start + 72 + byte] = UInt8(truncatingIfNeeded: sum >> (byte * 8)) }
            #expect(try read(bytes, "a") == [Row(name: [7], value: [8, 9])])
        }
    }

    // MARK: Damage

    /// The bytes with a number of a page's header or elements replaced.
    private func changed(_ bytes: [UInt8], _ offset: Int, _ number: UInt64, size: Int) -> [UInt8] {
        var bytes = bytes
        for byte in 0..<size { bytes[offset + byte] = UInt8(truncatingIfNeeded: number >> (byte * 8)) }
        return bytes
    }

    @Test func everyNumberIsLookedAt() throws {
        let good = try file([("b", rows(500))])
        let pages = good.count / 4096
        // Leaves come first, then the branch above them, then the root bucket's leaf.
        let (leaf, branch) = (3 * 4096, (pages - 2) * 4096)
        #expect(good[branch + 8] == 1 && good[leaf + 8] == 2)
        let below: UInt64 = 3
        let cases: [(String, [UInt8])] = [
            ("another page", changed(good, leaf, 4, size: 8)),
            ("a page of no kind", changed(good, leaf + 8, 0x10, size: 2)),
            ("too many elements", changed(good, leaf + 10, 0xFFFF, size: 2)),
            ("continued behind the end", changed(good, leaf + 12, 0xFFFF_FFFF, size: 4)),
            ("continued into the next", changed(good, leaf + 12, 1, size: 4)),
            ("a place outside", changed(good, leaf + 16 + 4, 0xFFFF_FFF0, size: 4)),
            ("a key that is too long", changed(good, leaf + 16 + 8, 0xFFFF_FFFF, size: 4)),
            ("a value that is too long", changed(good, leaf + 16 + 12, 0xFFFF_FFFF, size: 4)),
            ("a bucket among rows", changed(good, leaf + 16, 1, size: 4)),
            ("keys that fall", changed(good, leaf + 16 + 8, 0, size: 4)),
            ("a page below that is none", changed(good, branch + 16 + 8, 1 << 40, size: 8)),
            ("a page twice", changed(good, branch + 32 + 8, below, size: 8)),
            ("a loop", changed(good, branch + 16 + 8, UInt64(pages - 2), size: 8)),
            ("a meta page below", changed(good, branch + 16 + 8, 0, size: 8)),
        ]
        for (name, bytes) in cases {
            if name == "keys that fall" {
                // An empty first key is no fault of the order; the second one is.
                #expect(throws: (any Error).self, "\(name)") {
                    try read(changed(bytes, leaf + 32 + 8, 0, size: 4), "b")
                }
                continue
            }
            #expect(throws: BoltDatabase.Failure.self, "\(name)") { try read(bytes, "b") }
        }
    }

    @Test func noFlippedBitCrashes() throws {
        let good = try file([("a", rows(2)), ("b", rows(300))])
        for offset in stride(from: 0, to: good.count, by: 5) {
            var bytes = good
            bytes[offset] ^= 1 << UInt8(offset % 8)
            do { _ = try read(bytes, "b") } catch is BoltDatabase.Failure {}
        }
    }

    @Test func noLengthCrashes() throws {
        let good = try file([("b", rows(300))])
        for count in stride(from: 0, to: good.count, by: 509) {
            #expect(throws: BoltDatabase.Failure.self) { try read(Array(good.prefix(count)), "b") }
        }
    }
}
