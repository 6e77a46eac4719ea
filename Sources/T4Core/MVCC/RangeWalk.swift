package import T4Protocols

/// The answer to a range in parts, keys in rising order, all from one snapshot: together what `evaluate` gives at once.
///
/// Holds the snapshot as long as it lives.
package struct RangeWalk: Sendable {
    /// What the parts are read from.
    package let reader: StateReader
    private let request: RangeRequest
    private let view: SnapshotView
    private let readRevision: Revision?
    /// Not yet visited; nil for one key, and where only the number of keys is asked for.
    private var rest: KeyRange?
    private var left: Int64
    private var seen: Int64 = 0
    private let windowKeys: Int

    /// - Parameters:
    ///   - request: Without filters and in the order of keys: `RangeRequest.isInKeyOrder`.
    ///   - windowKeys: For old revisions, history is read for so many of the newest keys at a time: it is looked at before the
    ///     first of these keys can be lent.
    /// - Throws: `.compacted` and `.futureRevision`.
    package init(_ request: RangeRequest, on reader: StateReader, windowKeys: Int = 4096) throws(DatabaseError) {
        self.request = request
        self.windowKeys = windowKeys
        self.reader = reader
        view = SnapshotView(reader)
        readRevision = try request.readRevision(newest: view.revision, compacted: view.compacted)
        left = request.limit > 0 ? request.limit : .max
        if case .range(let range) = KeySelection(key: request.key, rangeEnd: request.rangeEnd), !request.countOnly {
            rest = range
        }
    }

    /// Lends the next keys to `emit`, as (user key, header, value), until that says stop or all are lent.
    /// - Returns: What the answer has beside keys, once it is complete; nil when there is more to come.
    package mutating func next(
        _ emit: (RawSpan, RecordHeader, RawSpan) -> ScanStep
    ) throws -> RangeSummary? {
        guard var range = rest else {
            return try request.evaluate(on: view) { key, header, value in _ = emit(key, header, value) }
        }
        var isFull = false
        while true {
            let window = try window(of: range)
            var next: [UInt8]?
            var (left, seen) = (left, seen)
            try view.visit(window, at: readRevision) { key, row in
                if isFull || left == 0 {
                    next = key.copyBytes()
                    return .stop
                }
                left -= 1
                seen += 1
                isFull = request.lend(key, row, to: emit) == .stop
                return .next
            }
            (self.left, self.seen) = (left, seen)
            if let next {
                range.lower = next
                guard left == 0 else { break }
                return RangeSummary(more: true, count: seen + (try view.count(range, at: readRevision)))
            }
            guard let end = window.upper, end != range.upper else { return RangeSummary(more: false, count: seen) }
            range.lower = end
            if isFull { break }
        }
        rest = range
        return nil
    }

    private func window(of range: KeyRange) throws(EngineError) -> KeyRange {
        guard readRevision != nil else { return range }
        var window = range
        var keys = 0
        try reader.forEachLatest(in: range) { key, _ in
            keys += 1
            guard keys > windowKeys else { return .next }
            window.upper = key.copyBytes()
            return .stop
        }
        return window
    }
}
