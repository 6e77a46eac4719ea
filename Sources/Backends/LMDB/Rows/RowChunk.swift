import T4Protocols

/// Some rows of a bulk load, kept so that their transaction can be made again after the map has grown.
struct RowChunk {
    private static let sizeBytesMax = 4 * 1024 * 1024
    private static let rowCountMax = 20_000

    private var bytes: [UInt8] = []
    private var sizes: [(key: Int, value: Int)] = []
    private var last: [UInt8] = []

    /// Takes the next rows.
    /// - Returns: False when there were none left.
    /// - Throws: `.invalidArgument` for a row that is not above the one before, or too large.
    mutating func fill(from rows: inout some SortedRows) throws(EngineError) -> Bool {
        bytes.removeAll(keepingCapacity: true)
        sizes.removeAll(keepingCapacity: true)
        var failure: EngineError?
        while bytes.count < RowChunk.sizeBytesMax, sizes.count < RowChunk.rowCountMax {
            let isRow = try rows.next { key, value in
                do throws(EngineError) { try append(key, value) } catch { failure = error }
            }
            if let failure { throw failure }
            if !isRow { break }
        }
        return !sizes.isEmpty
    }

    /// Visits the rows in order.
    func forEach(
        _ visit: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws(LMDBFailure) -> Void
    ) throws(LMDBFailure) {
        try bytes.lend { (bytes) throws(LMDBFailure) in
            var start = 0
            for size in sizes {
                let middle = start + size.key
                let end = middle + size.value
                try visit(
                    UnsafeRawBufferPointer(rebasing: bytes[start..<middle]),
                    UnsafeRawBufferPointer(rebasing: bytes[middle..<end]))
                start = end
            }
        }
    }

    private mutating func append(_ key: RawSpan, _ value: RawSpan) throws(EngineError) {
        try EngineLimits.check(key, value)
        try key.withUnsafeBytes { (key) throws(EngineError) in
            guard last.withUnsafeBytes({ compareBytes($0, key) }) < 0 else {
                throw EngineError(
                    .invalidArgument, "bulk load: a key of \(key.count) bytes is not above the one before")
            }
            last.removeAll(keepingCapacity: true)
            last.append(contentsOf: key)
            bytes.append(contentsOf: key)
        }
        value.withUnsafeBytes { bytes.append(contentsOf: $0) }
        sizes.append((key: key.byteCount, value: value.byteCount))
    }
}
