import T4Protocols

#if canImport(Glibc)
    import Glibc
#else
    import Musl
#endif

/// Rows in an array, in the order of their keys.
struct SortedRowList: Sendable {
    private struct Row {
        var key: [UInt8]
        var value: [UInt8]
    }

    private var rows: [Row] = []
    /// Bytes of all keys and values.
    private(set) var sizeBytes = 0

    var isEmpty: Bool { rows.isEmpty }

    /// Sets a key, or removes it where the value is nil.
    mutating func change(_ key: RawSpan, _ value: RawSpan?) {
        let key = key.bytes
        let index = position(key)
        let isFound = index < rows.count && rows[index].key == key
        if isFound { sizeBytes -= key.count + rows[index].value.count }
        guard let value else {
            if isFound { rows.remove(at: index) }
            return
        }
        sizeBytes += key.count + value.byteCount
        if isFound {
            rows[index].value = value.bytes
        } else {
            rows.insert(Row(key: key, value: value.bytes), at: index)
        }
    }

    /// Adds a row behind all others.
    mutating func append(_ key: RawSpan, _ value: RawSpan) throws(EngineError) {
        try LogRecord.check(key, value)
        let key = key.bytes
        if let last = rows.last, !precedes(last.key, key) {
            throw EngineError(.invalidArgument, "row \(rows.count + 1) is not above the one before")
        }
        rows.append(Row(key: key, value: value.bytes))
        sizeBytes += key.count + value.byteCount
    }

    func value(_ key: [UInt8]) -> [UInt8]? {
        let index = position(key)
        return index < rows.count && rows[index].key == key ? rows[index].value : nil
    }

    func scan(_ range: KeyRange, _ order: ScanOrder, _ visit: (RawSpan, RawSpan) -> ScanStep) {
        let first = position(range.lower)
        let end = range.upper.map(position) ?? rows.count
        guard first < end else { return }
        var index = order == .ascending ? first : end - 1
        while index >= first, index < end {
            let row = rows[index]
            if visit(row.key.span.bytes, row.value.span.bytes) == .stop { return }
            index += order == .ascending ? 1 : -1
        }
    }

    /// One record that makes an empty list this one.
    func record(at position: LogPosition) throws(EngineError) -> LogRecord {
        var record = LogRecord(position)
        for row in rows { try record.add(row.key.span.bytes, row.value.span.bytes) }
        return record
    }

    /// Index of the first row at or above the key.
    private func position(_ key: [UInt8]) -> Int {
        var low = 0
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if precedes(rows[middle].key, key) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

/// Orders keys as unsigned bytes, a prefix first.
private func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
    let order = left.withUnsafeBytes { left in
        right.withUnsafeBytes { right in
            let count = min(left.count, right.count)
            return count == 0 ? 0 : memcmp(left.baseAddress!, right.baseAddress!, count)
        }
    }
    return order < 0 || order == 0 && left.count < right.count
}

extension RawSpan {
    /// A copy.
    var bytes: [UInt8] { withUnsafeBytes { Array($0) } }
}
