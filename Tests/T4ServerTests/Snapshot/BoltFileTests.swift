import Testing

@testable import T4Server

/// Goal: bbolt reads what is written. Method: buckets of every shape are read back by a reader that is as strict as
/// bbolt's check.
struct BoltFileTests {
    typealias Row = BoltReader.Row

    private func file(_ buckets: [(String, [Row])]) throws -> BoltReader {
        try withTemporaryFolder { folder in
            var writer = try BoltFileWriter(TemporaryFile(in: folder))
            for (name, rows) in buckets {
                for row in rows { try writer.add(key: row.key.span.bytes, value: row.value.span.bytes) }
                try writer.endBucket(name)
            }
            let file = try writer.finish()
            return try BoltReader(file.content())
        }
    }

    private func key(_ number: Int) -> [UInt8] {
        (0..<4).reversed().map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
    }

    private func expectRead(_ buckets: [(String, [Row])]) throws {
        let read = try file(buckets)
        #expect(read.buckets.map(\.name) == buckets.map(\.0))
        for (read, wanted) in zip(read.buckets, buckets) { #expect(read.rows == wanted.1, "bucket \(wanted.0)") }
    }

    @Test func noBuckets() throws { try expectRead([]) }

    /// Around the sizes at which a second page and a second and third level begin.
    @Test(arguments: [0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 10_000, 50_000])
    func rows(_ count: Int) throws {
        let rows = (0..<count).map { Row(key: key($0), value: key($0 &* 7919)) }
        try expectRead([("a", []), ("b", rows), ("c", rows.suffix(3)), ("d", [])])
    }

    @Test(arguments: [UInt64](1...20))
    func sizes(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let buckets = (0..<Int.random(in: 0...3, using: &random)).map { number in
            let rows = (0..<Int.random(in: 0...60, using: &random)).map { number in
                let most = [0, 20, 1000, 2020, 2040, 4060, 5000, 20_000].randomElement(using: &random)!
                let value = [UInt8](repeating: UInt8(number), count: Int.random(in: most / 2...most, using: &random))
                let name = key(number) + [UInt8](repeating: 1, count: Int.random(in: 0...40, using: &random))
                return Row(key: name, value: value)
            }
            return ("bucket\(number)", rows)
        }
        try expectRead(buckets)
    }

    @Test func theLargest() throws {
        let long = [UInt8](repeating: 0xFE, count: 32768)
        let large = (0..<5).map { Row(key: key($0), value: [UInt8](repeating: UInt8($0), count: 3 << 20)) }
        try expectRead([("large", large), ("long", [Row(key: [1], value: []), Row(key: long, value: long)])])
    }

    /// More buckets than one page of the root names.
    @Test func manyBuckets() throws {
        try expectRead((1000..<1600).map { ("bucket \($0)", [Row(key: [1], value: key($0))]) })
    }

    /// The reader must see damage, or the tests above would prove nothing.
    @Test func theReaderSeesDamage() throws {
        let good = try withTemporaryFolder { folder in
            var writer = try BoltFileWriter(TemporaryFile(in: folder))
            for number in 0..<500 { try writer.add(key: key(number).span.bytes, value: ([1] as [UInt8]).span.bytes) }
            try writer.endBucket("a")
            let file = try writer.finish()
            return try file.content()
        }
        _ = try BoltReader(good)
        // A meta page, the freelist's count, the kind of the first leaf, its first key, and one page too many.
        for damage in [40, 4096 + 20, 2 * 4096 + 10, 3 * 4096 + 8, 3 * 4096 + 16 + 4] {
            var bad = good
            bad[damage] ^= 0x40
            #expect(throws: BoltReader.Damage.self, "the byte at \(damage)") { _ = try BoltReader(bad) }
        }
        #expect(throws: BoltReader.Damage.self) { _ = try BoltReader(good + [UInt8](repeating: 0, count: 4096)) }
    }
}
