import T4Conformance
import T4Core
import T4Protocols

/// Rows of made-up histories.
struct TableFixture {
    var generator: SeededGenerator

    init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

    /// One version of each of `count` keys, in order.
    mutating func rows(count: Int, valueSize: Int, revision: Int64 = 7) -> [TableRow] {
        (0..<count).map { number in
            version(of: key(number), at: revision, value: bytes(valueSize))
        }
    }

    func key(_ number: Int) -> [UInt8] {
        let digits = String(number)
        return Array("/registry/pods/\(String(repeating: "0", count: 8 - digits.count))\(digits)".utf8)
    }

    mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in generator.next() }.map { UInt8($0 & 0xFF) } }

    func version(of key: [UInt8], at revision: Int64, value: [UInt8]) -> TableRow {
        let record = StoredRecord(
            create: Revision(revision), mod: Revision(revision), version: 1, lease: 0, sub: 0, value: value)
        return TableRow(key: key, record: record)
    }

    func deletion(of key: [UInt8], at revision: Int64) -> TableRow {
        TableRow(key: key, record: .tombstone(mod: Revision(revision), sub: 0))
    }
}

/// Everything a source of rows has.
func collect(_ rows: some TableRows) throws -> [TableRow] {
    var rows = rows
    var all: [TableRow] = []
    while let row = try rows.next() { all.append(row) }
    return all
}

/// Tables of rows that are in order.
func cut(_ rows: [TableRow], _ cut: TableCut) throws -> [Table] {
    var cutter = TableCutter(cut)
    var tables: [Table] = []
    for row in rows {
        if let table = try cutter.add(row) { tables.append(table) }
    }
    if let table = cutter.finish() { tables.append(table) }
    return tables
}
