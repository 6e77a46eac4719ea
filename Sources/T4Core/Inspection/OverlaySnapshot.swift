package import T4Protocols

/// A frozen view of an engine with changes on top that the engine does not have yet.
package final class OverlaySnapshot: EngineSnapshot {
    /// In key order; nil for a deleted key.
    private let rows: [(key: [UInt8], value: [UInt8]?)]
    /// Nil for an engine without rows.
    private let base: (any EngineSnapshot)?

    package init(base: (any EngineSnapshot)?, changes: WriteBatch) {
        self.base = base
        var newest: [ByteKey: [UInt8]?] = [:]
        changes.forEach { key, value in
            let key = ByteKey(key.copyBytes())
            if let value { newest[key] = .some(value.copyBytes()) } else { newest[key] = .some(nil) }
        }
        rows = newest.map { ($0.key.bytes, $0.value) }.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    }

    package func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        let index = firstIndex(from: key.copyBytes())
        if index < rows.count, rows[index].key.isEqual(to: key) {
            guard let value = rows[index].value else { return false }
            visit(value.span.bytes)
            return true
        }
        return try base?.read(key, visit: visit) ?? false
    }

    package func scan(
        _ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        let first = firstIndex(from: range.lower)
        let end = range.upper.map { firstIndex(from: $0) } ?? rows.count
        var pending = Array(rows[first..<max(first, end)])
        if order == .ascending { pending.reverse() }
        var isStopped = false
        /// Visits the overlay's rows that come before `key`, and drops the one that is `key`.
        func catchUp(to key: RawSpan?) -> Bool {
            while !isStopped, let (next, value) = pending.last {
                if let key {
                    if next.isEqual(to: key) {
                        pending.removeLast()
                        if let value { isStopped = visit(next.span.bytes, value.span.bytes) == .stop }
                        return true
                    }
                    guard next.precedes(key) == (order == .ascending) else { return false }
                }
                pending.removeLast()
                if let value { isStopped = visit(next.span.bytes, value.span.bytes) == .stop }
            }
            return false
        }
        try base?.scan(range, order: order) { key, value in
            let isReplaced = catchUp(to: key)
            if !isReplaced, !isStopped { isStopped = visit(key, value) == .stop }
            return isStopped ? .stop : .next
        }
        if !isStopped { _ = catchUp(to: nil) }
    }

    /// Index of the first row at or behind a key.
    private func firstIndex(from key: [UInt8]) -> Int {
        var (low, high) = (0, rows.count)
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].key.lexicographicallyPrecedes(key) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
