import CLMDB
import T4Protocols

/// What one level of a scan walks: the database `rows`, or one tail group.
struct ScanLevel {
    /// Start of every LMDB key of the level: nothing in `rows`, the group number in `tails`.
    var prefix: [UInt8] = []
    /// What stands before the level's pieces in the caller's keys.
    var path: [UInt8] = []
}

extension RowReader {
    /// Visits the rows of one level, and of the tail groups below it, between two bounds.
    ///
    /// Bounds are relative to the level: what the caller's bound has after `level.path`. A bound longer than a head lies
    /// within the group of that head and goes down with it.
    /// - Returns: False when the visitor asked to stop.
    func scan(
        _ level: ScanLevel, with cursor: OpaquePointer, from lower: UnsafeRawBufferPointer,
        to upper: UnsafeRawBufferPointer?, _ order: ScanOrder, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(LMDBFailure) -> Bool {
        var key = MDB_val()
        var value = MDB_val()
        let skipped = level.prefix.count
        var isFound =
            order == .ascending
            ? try seekFirst(level, cursor, lower, &key, &value) : try seekLast(level, cursor, upper, &key, &value)
        let step = order == .ascending ? MDB_NEXT : MDB_PREV
        while isFound {
            let piece = skipped == 0 ? key.bytes : key.bytes.after(skipped)
            if key.mv_size == Layout.headSizeBytes {
                let isOutside =
                    order == .ascending
                    ? upper.map { $0.remainder(after: piece) == nil && compareBytes(piece, $0) >= 0 } ?? false
                    : lower.remainder(after: piece) == nil && compareBytes(piece, lower) < 0
                if isOutside { return true }
                guard try scanGroup(level, piece, value, from: lower, to: upper, order, visit) else { return false }
            } else {
                let isOutside =
                    order == .ascending
                    ? upper.map { compareBytes(piece, $0) >= 0 } ?? false : compareBytes(piece, lower) < 0
                if isOutside { return true }
                if deliver(level, piece, value.bytes, visit) == .stop { return false }
            }
            isFound = try find("mdb_cursor_get", mdb_cursor_get(cursor, &key, &value, step))
            if isFound, skipped != 0 { isFound = isWithin(level, key) }
        }
        return true
    }

    private func scanGroup(
        _ level: ScanLevel, _ piece: UnsafeRawBufferPointer, _ value: MDB_val, from lower: UnsafeRawBufferPointer,
        to upper: UnsafeRawBufferPointer?, _ order: ScanOrder, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(LMDBFailure) -> Bool {
        _ = try value.bytes.number()
        let group = ScanLevel(prefix: Array(value.bytes), path: level.path + piece)
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        var cursor: OpaquePointer?
        try check("mdb_cursor_open", mdb_cursor_open(transaction, tables.tails, &cursor))
        defer { mdb_cursor_close(cursor) }
        return try scan(
            group, with: cursor!, from: lower.remainder(after: piece) ?? none, to: upper?.remainder(after: piece),
            order, visit)
    }

    @inline(__always)
    private func deliver(
        _ level: ScanLevel, _ piece: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer,
        _ visit: (RawSpan, RawSpan) -> ScanStep
    ) -> ScanStep {
        if level.path.isEmpty { return visit(piece.bytes, value.bytes) }
        let key = level.path + piece
        return visit(key.span.bytes, value.bytes)
    }

    /// Goes to the first LMDB key that can hold anything at or above the bound.
    private func seekFirst(
        _ level: ScanLevel, _ cursor: OpaquePointer, _ lower: UnsafeRawBufferPointer, _ key: inout MDB_val,
        _ value: inout MDB_val
    ) throws(LMDBFailure) -> Bool {
        if level.prefix.isEmpty, lower.isEmpty {
            return try find("mdb_cursor_get", mdb_cursor_get(cursor, &key, &value, MDB_FIRST))
        }
        return try seek(level, cursor, lower, &key, &value) && isWithin(level, key)
    }

    /// Goes to the last LMDB key that can hold anything below the bound.
    private func seekLast(
        _ level: ScanLevel, _ cursor: OpaquePointer, _ upper: UnsafeRawBufferPointer?, _ key: inout MDB_val,
        _ value: inout MDB_val
    ) throws(LMDBFailure) -> Bool {
        let isBeyond: Bool
        if let upper {
            if level.prefix.isEmpty, upper.isEmpty { return false }
            isBeyond = try seek(level, cursor, upper, &key, &value)
            if isBeyond, isWithin(level, key), key.mv_size == Layout.headSizeBytes,
                upper.remainder(after: key.bytes.after(level.prefix.count)) != nil
            {
                return true
            }
        } else if level.prefix.isEmpty {
            isBeyond = false
        } else {
            let next = try level.prefix.lend { (bytes) throws(LMDBFailure) in try bytes.number() } + 1
            isBeyond = try withTailKey(next, UnsafeRawBufferPointer(start: nil, count: 0)) {
                (prefix) throws(LMDBFailure) in
                key = MDB_val(prefix)
                return try find("mdb_cursor_get", mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE))
            }
        }
        let step = isBeyond ? MDB_PREV : MDB_LAST
        return try find("mdb_cursor_get", mdb_cursor_get(cursor, &key, &value, step)) && isWithin(level, key)
    }

    /// Goes to the first LMDB key at or above what the level's keys have of the bound.
    private func seek(
        _ level: ScanLevel, _ cursor: OpaquePointer, _ bound: UnsafeRawBufferPointer, _ key: inout MDB_val,
        _ value: inout MDB_val
    ) throws(LMDBFailure) -> Bool {
        let piece = bound.first(Layout.headSizeBytes - level.prefix.count)
        if level.prefix.isEmpty {
            key = MDB_val(piece)
            return try find("mdb_cursor_get", mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE))
        }
        let start = level.prefix + piece
        return try start.lend { (bytes) throws(LMDBFailure) in
            key = MDB_val(bytes)
            return try find("mdb_cursor_get", mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE))
        }
    }

    private func isWithin(_ level: ScanLevel, _ key: MDB_val) -> Bool {
        level.prefix.withUnsafeBytes { compareBytes(key.bytes.first($0.count), $0) == 0 }
    }
}
