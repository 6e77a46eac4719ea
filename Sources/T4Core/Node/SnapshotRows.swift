import T4Protocols

/// The rows of a snapshot one after the other, copied in portions, with a digest of all that were lent.
///
/// One thread at a time.
final class SnapshotRows: SortedRows {
    private struct Row {
        var key: Range<Int>
        var value: Range<Int>
    }

    /// A portion ends with the row that reaches this many bytes.
    private let portionBytesMax: Int
    private let snapshot: any EngineSnapshot
    private var bytes: [UInt8] = []
    private var rows: [Row] = []
    private var position = 0
    /// Where the next portion starts; nil at the end.
    private var start: [UInt8]? = []
    private let hash = SHA256()
    /// Rows that were lent.
    private(set) var count: Int64 = 0
    /// Bytes of their keys and values.
    private(set) var byteCount: Int64 = 0

    init(_ snapshot: any EngineSnapshot, portionBytesMax: Int = 4 << 20) {
        self.snapshot = snapshot
        self.portionBytesMax = portionBytesMax
    }

    /// SHA-256 over the sizes and bytes of all rows that were lent.
    var digest: [UInt8] { hash.digest() }

    func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool {
        if position == rows.count { try fill() }
        guard position < rows.count else { return false }
        let row = rows[position]
        position += 1
        count += 1
        byteCount += Int64(row.key.count + row.value.count)
        var sizes: [UInt8] = []
        sizes.append(bigEndian: UInt32(row.key.count))
        sizes.append(bigEndian: UInt32(row.value.count))
        let portion = bytes
        let all = portion.span.bytes
        hash.update(sizes.span.bytes)
        hash.update(all.extracting(row.key.lowerBound..<row.value.upperBound))
        visit(all.extracting(row.key), all.extracting(row.value))
        return true
    }

    /// Lends all rows that are left to nobody, for their digest.
    func drain() throws(EngineError) {
        while try next(visit: { _, _ in }) {}
    }

    private func fill() throws(EngineError) {
        bytes.removeAll(keepingCapacity: true)
        rows.removeAll(keepingCapacity: true)
        position = 0
        guard let lower = start else { return }
        start = nil
        try snapshot.scan(KeyRange(lower: lower, upper: nil), order: .ascending) { key, value in
            let first = bytes.count
            key.withUnsafeBytes { bytes.append(contentsOf: $0) }
            let middle = bytes.count
            value.withUnsafeBytes { bytes.append(contentsOf: $0) }
            rows.append(Row(key: first..<middle, value: middle..<bytes.count))
            guard bytes.count >= portionBytesMax else { return .next }
            // The first key behind this one.
            start = key.copyBytes() + [0]
            return .stop
        }
    }
}
