/// A row of a checkpoint: a version of a key, or a system row.
///
/// | row | name | value |
/// |---|---|---|
/// | version of a key | as in the history keyspace: 2, escaped user key, 00 01, inverted revision | `StoredRecord` |
/// | system row | as in the system keyspace: 5, name | as there, empty where `isRemoval` |
///
/// Names order as bytes: versions by user key and newest first, then system rows. A version never changes; of two
/// system rows of one name that of the newer run counts.
package struct TableRow: Hashable, Sendable {
    package var name: [UInt8]
    /// The system row does not exist any more. A deletion of a key is no removal but a version: a tombstone.
    package var isRemoval: Bool
    package var value: [UInt8]

    package init(name: [UInt8], isRemoval: Bool = false, value: [UInt8]) {
        self.name = name
        self.isRemoval = isRemoval
        self.value = value
    }

    /// The version of `key` that `record` holds.
    package init(key: [UInt8], record: StoredRecord) {
        self.init(name: Keyspace.historyKey(key, record.mod), value: record.row)
    }

    /// Whether this is a version of a key.
    package var isVersion: Bool { name.first == Keyspace.history }

    /// What all versions of this row's key start with; the whole name of a system row.
    package var keyPrefix: ArraySlice<UInt8> { TableRow.keyPrefix(of: name) }

    /// `keyPrefix` of the row with that name.
    package static func keyPrefix(of name: [UInt8]) -> ArraySlice<UInt8> {
        name.first == Keyspace.history ? name.dropLast(8) : name[...]
    }

    /// Revision of a version.
    package var revision: Revision {
        Revision(Int64(bitPattern: ~name.span.bytes.bigEndian(at: name.count - 8, as: UInt64.self)))
    }

    /// Whether the row is well formed, so that everything above may be read without fear.
    var isValid: Bool {
        switch name.first {
        case Keyspace.history:
            // Space, end of the key, revision.
            name.count >= 11 && name[name.count - 10] == 0 && name[name.count - 9] == 1 && !isRemoval
                && value.count >= StoredRecord.headerBytes
        case Keyspace.system: name.count >= 2 && (!isRemoval || value.isEmpty)
        default: false
        }
    }
}

/// Rows in strictly rising order of their names.
package protocol TableRows {
    /// The next row; nil at the end.
    mutating func next() throws -> TableRow?
}

/// Rows from memory.
package struct RowList: TableRows {
    private var rest: ArraySlice<TableRow>

    /// Rows that are in order already.
    package init(_ rows: [TableRow]) { rest = rows[...] }

    package mutating func next() -> TableRow? { rest.popFirst() }
}
