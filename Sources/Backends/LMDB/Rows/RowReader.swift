import CLMDB
import T4Protocols

/// Reads rows in one transaction; hides that LMDB keys are short.
struct RowReader {
    let transaction: OpaquePointer
    let tables: Tables

    /// The value of a key.
    @inline(__always)
    func value(for key: UnsafeRawBufferPointer) throws(LMDBFailure) -> UnsafeRawBufferPointer? {
        if key.count < Layout.headSizeBytes {
            // LMDB refuses empty keys; the protocol has none.
            return key.isEmpty ? nil : try get(tables.rows, key)
        }
        return try tailValue(for: key)
    }

    /// True when there is no row; a group of long keys is never empty.
    func isEmpty() throws(LMDBFailure) -> Bool {
        var statistics = MDB_stat()
        try check("mdb_stat", mdb_stat(transaction, tables.rows, &statistics))
        return statistics.ms_entries == 0
    }

    /// A record of the unnamed database.
    func record(_ key: [UInt8]) throws(LMDBFailure) -> UnsafeRawBufferPointer? {
        try key.lend { (key) throws(LMDBFailure) in try get(tables.main, key) }
    }

    /// The position recorded by the last batch.
    func position() throws(LMDBFailure) -> LogPosition {
        guard let bytes = try record(Layout.positionKey) else { return .zero }
        return LogPosition(term: try bytes.first(8).number(), index: try bytes.after(min(8, bytes.count)).number())
    }

    @inline(__always)
    private func get(_ table: MDB_dbi, _ key: UnsafeRawBufferPointer) throws(LMDBFailure) -> UnsafeRawBufferPointer? {
        var key = MDB_val(key)
        var value = MDB_val()
        return try find("mdb_get", mdb_get(transaction, table, &key, &value)) ? value.bytes : nil
    }

    private func tailValue(for key: UnsafeRawBufferPointer) throws(LMDBFailure) -> UnsafeRawBufferPointer? {
        guard let found = try get(tables.rows, key.first(Layout.headSizeBytes)) else { return nil }
        var group = try found.number()
        var rest = key.after(Layout.headSizeBytes)
        let pieceSize = Layout.headSizeBytes - Layout.groupSizeBytes
        while rest.count >= pieceSize {
            let next = try withTailKey(group, rest.first(pieceSize)) { (key) throws(LMDBFailure) in
                try get(tables.tails, key)
            }
            guard let next else { return nil }
            group = try next.number()
            rest = rest.after(pieceSize)
        }
        return try withTailKey(group, rest) { (key) throws(LMDBFailure) in try get(tables.tails, key) }
    }
}
