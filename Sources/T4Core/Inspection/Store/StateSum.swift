import T4Protocols

/// Adds up a complete state while its rows go by: what a checkpoint's digest and number of keys must be.
final class StateSum {
    private(set) var digest = StateDigest()
    private(set) var keys: UInt64 = 0
    /// Of the version before.
    private var prefix: ArraySlice<UInt8> = []

    /// Takes the next row; in order, and only rows that are left.
    func add(_ row: TableRow) {
        guard row.isVersion else { return digest.add(name: row.name, value: row.value) }
        let isNewest = row.keyPrefix != prefix
        prefix = row.keyPrefix
        guard isNewest, !RecordHeader(row.value.span.bytes).isTombstone else { return }
        digest.add(name: Keyspace.currentKey(Keyspace.parseHistory(row.name.span.bytes).key), value: row.value)
        keys += 1
    }

    /// Whether this is the state that a checkpoint is of.
    func matches(_ checkpoint: Manifest) -> Bool { checkpoint.meta.map(matches) ?? false }

    /// Whether this is the state that an engine says it holds.
    func matches(_ meta: MetaRow) -> Bool { difference(from: meta) == nil }

    /// What is different in the state that an engine says it holds; nil where nothing is.
    func difference(from meta: MetaRow) -> String? {
        if digest == meta.digest, keys == meta.keys { return nil }
        return "\(keys) keys with the sum \(digest.bytes.hex), not \(meta.keys) with \(meta.digest.bytes.hex)"
    }
}

/// Rows that are added up when they are taken.
struct SummedRows: TableRows {
    private var rows: any TableRows
    private let sum: StateSum

    init(_ rows: any TableRows, _ sum: StateSum) {
        self.rows = rows
        self.sum = sum
    }

    mutating func next() throws -> TableRow? {
        guard let row = try rows.next() else { return nil }
        sum.add(row)
        return row
    }
}
