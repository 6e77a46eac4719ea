import CLevelDB
import T4Protocols

/// Walks the rows of a snapshot. Pins the tables and buffers that it reads from.
struct RowIterator: ~Copyable {
    private let raw: OpaquePointer

    init(_ database: OpaquePointer, _ options: OpaquePointer) { raw = leveldb_create_iterator(database, options) }

    deinit { leveldb_iter_destroy(raw) }

    /// Visits the rows of a range. LevelDB knows no bounds, so each key is compared with the one ahead.
    ///
    /// LevelDB goes on behind a block that it cannot read, and tells at the end; so that is asked for whatever ended
    /// the scan.
    func scan(
        _ range: KeyRange, _ order: ScanOrder, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(LevelDBFailure) {
        switch order {
        case .ascending: scanAscending(range, visit)
        case .descending: scanDescending(range, visit)
        }
        try checkStatus()
    }

    /// True when there is no row.
    func isEmpty() throws(LevelDBFailure) -> Bool {
        seek([Layout.rowPrefix])
        let isFound = currentKey() != nil
        try checkStatus()
        return !isFound
    }

    private func scanAscending(_ range: KeyRange, _ visit: (RawSpan, RawSpan) -> ScanStep) {
        seek([Layout.rowPrefix] + range.lower)
        // An empty upper bound, as any that is not above the lower one, was sorted out before.
        (range.upper ?? []).withUnsafeBytes { upper in
            while let key = currentKey() {
                if range.upper != nil, compareBytes(key, upper) >= 0 { return }
                if visit(key.bytes, currentValue().bytes) == .stop { return }
                leveldb_iter_next(raw)
            }
        }
    }

    private func scanDescending(_ range: KeyRange, _ visit: (RawSpan, RawSpan) -> ScanStep) {
        seek(range.upper.map { [Layout.rowPrefix] + $0 } ?? Layout.rowsEnd)
        if leveldb_iter_valid(raw) != 0 { leveldb_iter_prev(raw) } else { leveldb_iter_seek_to_last(raw) }
        range.lower.withUnsafeBytes { lower in
            while let key = currentKey() {
                if compareBytes(key, lower) < 0 { return }
                if visit(key.bytes, currentValue().bytes) == .stop { return }
                leveldb_iter_prev(raw)
            }
        }
    }

    private func checkStatus() throws(LevelDBFailure) {
        try check("reading") { leveldb_iter_get_error(raw, &$0) }
    }

    private func seek(_ key: [UInt8]) {
        key.withUnsafeBytes { leveldb_iter_seek(raw, $0.characters, $0.count) }
    }

    /// The row's key, valid until the next move; nil when there is no row here.
    @inline(__always)
    private func currentKey() -> UnsafeRawBufferPointer? {
        guard leveldb_iter_valid(raw) != 0 else { return nil }
        var count = 0
        let start = leveldb_iter_key(raw, &count)
        let key = UnsafeRawBufferPointer(start: start, count: count)
        guard key.first == Layout.rowPrefix else { return nil }
        return UnsafeRawBufferPointer(rebasing: key.dropFirst())
    }

    @inline(__always)
    private func currentValue() -> UnsafeRawBufferPointer {
        var count = 0
        let start = leveldb_iter_value(raw, &count)
        return UnsafeRawBufferPointer(start: start, count: count)
    }
}
