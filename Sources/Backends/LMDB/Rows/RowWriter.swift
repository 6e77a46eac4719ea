import CLMDB
import T4Protocols

/// Handles of the databases in the data file.
struct Tables {
    var main: MDB_dbi = 0
    var rows: MDB_dbi = 0
    var tails: MDB_dbi = 0
}

/// Changes rows in one write transaction; hides that LMDB keys are short.
struct RowWriter {
    let transaction: OpaquePointer
    let tables: Tables

    /// Sets a key. `isAppended` promises that the key is above all others.
    @inline(__always)
    func put(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, isAppended: Bool) throws(LMDBFailure) {
        let flags = UInt32(isAppended ? MDB_APPEND : 0)
        if key.count < Layout.headSizeBytes { return try put(tables.rows, key, value, flags) }
        let head = key.first(Layout.headSizeBytes)
        try putTail(group(in: tables.rows, under: head, flags), key.after(Layout.headSizeBytes), value)
    }

    /// Removes a key, if it is there.
    @inline(__always)
    func delete(_ key: UnsafeRawBufferPointer) throws(LMDBFailure) {
        if key.count < Layout.headSizeBytes {
            _ = try delete(tables.rows, key)
            return
        }
        let head = key.first(Layout.headSizeBytes)
        guard let group = try number(tables.rows, head) else { return }
        if try deleteTail(group, key.after(Layout.headSizeBytes)) { _ = try delete(tables.rows, head) }
    }

    /// Records the position of the batch that the transaction makes.
    func putPosition(_ position: LogPosition) throws(LMDBFailure) {
        let numbers = (position.term.bigEndian, position.index.bigEndian)
        try Layout.positionKey.lend { (key) throws(LMDBFailure) in
            try withUnsafeBytes(of: numbers) { (value) throws(LMDBFailure) in try put(tables.main, key, value, 0) }
        }
    }

    /// Sets a record of the unnamed database.
    func putRecord(_ key: [UInt8], _ value: [UInt8]) throws(LMDBFailure) {
        try key.lend { (key) throws(LMDBFailure) in
            try value.lend { (value) throws(LMDBFailure) in try put(tables.main, key, value, 0) }
        }
    }

    /// Removes a record of the unnamed database.
    func deleteRecord(_ key: [UInt8]) throws(LMDBFailure) {
        _ = try key.lend { (key) throws(LMDBFailure) in try delete(tables.main, key) }
    }

    private func putTail(
        _ first: UInt64, _ rest: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws(LMDBFailure) {
        var group = first
        var rest = rest
        let pieceSize = Layout.headSizeBytes - Layout.groupSizeBytes
        while rest.count >= pieceSize {
            group = try withTailKey(group, rest.first(pieceSize)) { (head) throws(LMDBFailure) in
                try self.group(in: tables.tails, under: head, 0)
            }
            rest = rest.after(pieceSize)
        }
        try withTailKey(group, rest) { (key) throws(LMDBFailure) in try put(tables.tails, key, value, 0) }
    }

    /// - Returns: True when the group holds nothing any more.
    private func deleteTail(_ group: UInt64, _ rest: UnsafeRawBufferPointer) throws(LMDBFailure) -> Bool {
        let pieceSize = Layout.headSizeBytes - Layout.groupSizeBytes
        let isGone = try withTailKey(group, rest.first(pieceSize)) { (key) throws(LMDBFailure) in
            if rest.count >= pieceSize {
                guard let next = try number(tables.tails, key), try deleteTail(next, rest.after(pieceSize)) else {
                    return false
                }
            }
            return try delete(tables.tails, key)
        }
        guard isGone else { return false }
        return try isEmpty(group)
    }

    private func isEmpty(_ group: UInt64) throws(LMDBFailure) -> Bool {
        var cursor: OpaquePointer?
        try check("mdb_cursor_open", mdb_cursor_open(transaction, tables.tails, &cursor))
        defer { mdb_cursor_close(cursor) }
        return try withTailKey(group, UnsafeRawBufferPointer(start: nil, count: 0)) { (prefix) throws(LMDBFailure) in
            var key = MDB_val(prefix)
            var value = MDB_val()
            guard try find("mdb_cursor_get", mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)) else { return true }
            return compareBytes(key.bytes.first(Layout.groupSizeBytes), prefix) != 0
        }
    }

    /// The group whose number is stored under `head`, made if there is none.
    private func group(
        in table: MDB_dbi, under head: UnsafeRawBufferPointer, _ flags: UInt32
    ) throws(LMDBFailure) -> UInt64 {
        if let found = try number(table, head) { return found }
        let group = try Layout.nextTailKey.lend { (key) throws(LMDBFailure) in
            try number(tables.main, key) ?? 1
        }
        try withUnsafeBytes(of: group.bigEndian) { (bytes) throws(LMDBFailure) in
            try put(table, head, bytes, flags)
        }
        try putRecord(Layout.nextTailKey, withUnsafeBytes(of: (group + 1).bigEndian) { Array($0) })
        return group
    }

    private func number(_ table: MDB_dbi, _ key: UnsafeRawBufferPointer) throws(LMDBFailure) -> UInt64? {
        var key = MDB_val(key)
        var value = MDB_val()
        guard try find("mdb_get", mdb_get(transaction, table, &key, &value)) else { return nil }
        return try value.bytes.number()
    }

    @inline(__always)
    private func put(
        _ table: MDB_dbi, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ flags: UInt32
    ) throws(LMDBFailure) {
        var key = MDB_val(key)
        var value = MDB_val(value)
        try check("mdb_put", mdb_put(transaction, table, &key, &value, flags))
    }

    @inline(__always)
    private func delete(_ table: MDB_dbi, _ key: UnsafeRawBufferPointer) throws(LMDBFailure) -> Bool {
        var key = MDB_val(key)
        return try find("mdb_del", mdb_del(transaction, table, &key, nil))
    }
}
