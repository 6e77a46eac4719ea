package import T4Protocols

/// What a range reads from: an engine snapshot, or a transaction's view of its own writes above it.
package protocol RangeView {
    /// The newest revision of this view, which a request without revision reads at.
    var revision: Revision { get }
    /// Older revisions cannot be read.
    var compacted: Revision { get }
    /// Visits the row of one key at `revision` (nil: newest), if it exists then.
    func read(_ key: [UInt8], at revision: Revision?, _ visit: (RawSpan) -> Void) throws(EngineError)
    /// Visits the keys of a range in key order at `revision` (nil: newest) as (user key, row).
    func visit(
        _ range: KeyRange, at revision: Revision?, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError)
    /// Number of keys of a range at `revision` (nil: newest).
    func count(_ range: KeyRange, at revision: Revision?) throws(EngineError) -> Int64
}

extension RangeView {
    /// `count` by visiting each key.
    func countByVisiting(_ range: KeyRange, at revision: Revision?) throws(EngineError) -> Int64 {
        var count: Int64 = 0
        try visit(range, at: revision) { _, _ in
            count += 1
            return .next
        }
        return count
    }
}

/// The part of a range's answer that is not keys.
package struct RangeSummary: Sendable {
    package var more = false
    package var count: Int64 = 0
}

extension RangeRequest {
    /// Some keys are left out by their revisions.
    package var hasFilters: Bool {
        minModRevision != 0 || maxModRevision != 0 || minCreateRevision != 0 || maxCreateRevision != 0
    }

    /// Keys are answered in rising order. A target without an order names none, as in etcd 3.7.
    package var isInKeyOrder: Bool { sortOrder == .none || sortTarget == .key && sortOrder == .ascend }

    /// Filters or an order other than by rising key: keys have to be collected before they can be answered.
    private var needsCollecting: Bool { hasFilters || sortOrder == .descend || sortTarget != .key }

    /// How many keys are collected. As in etcd, where a target is named without an order, only those that the limit
    /// leaves are sorted, and one more.
    private func collectedMax(_ limit: Int64) -> Int64 {
        hasFilters || sortOrder != .none || limit == .max ? .max : limit + 1
    }

    /// Refuses what etcd refuses before it looks at the store.
    package func validate() throws(DatabaseError) {
        guard !key.isEmpty else { throw DatabaseError(.keyNotProvided) }
    }

    /// The revision to read at, nil for the newest, or etcd's error.
    package func readRevision(newest: Revision, compacted: Revision) throws(DatabaseError) -> Revision? {
        guard revision > 0 else { return nil }
        if revision > newest.rawValue {
            throw DatabaseError(.futureRevision, "revision \(revision) was asked for, the newest is \(newest)")
        }
        if revision < compacted.rawValue {
            throw DatabaseError(.compacted, "revision \(revision) was asked for, compacted at \(compacted)")
        }
        return revision == newest.rawValue ? nil : Revision(revision)
    }

    /// True when a key passes the revision filters.
    private func keeps(_ header: RecordHeader) -> Bool {
        (minModRevision == 0 || header.mod.rawValue >= minModRevision)
            && (maxModRevision == 0 || header.mod.rawValue <= maxModRevision)
            && (minCreateRevision == 0 || header.create.rawValue >= minCreateRevision)
            && (maxCreateRevision == 0 || header.create.rawValue <= maxCreateRevision)
    }

    /// Evaluates the request on a view, in etcd's order: range, filters, sort, limit. Keys are lent to `emit` as
    /// (user key, header, value) in the order of the answer; nothing is copied unless the order asks for it.
    package func evaluate(
        on view: some RangeView, emit: (RawSpan, RecordHeader, RawSpan) -> Void
    ) throws -> RangeSummary {
        let readRevision = try readRevision(newest: view.revision, compacted: view.compacted)
        var summary = RangeSummary()
        let limit = self.limit > 0 ? self.limit : Int64.max
        switch KeySelection(key: key, rangeEnd: rangeEnd) {
        case .single(let key):
            try view.read(key, at: readRevision) { row in
                summary.count = 1
                if !countOnly, keeps(RecordHeader(row)) { lend(key.span.bytes, row, to: emit) }
            }
        case .range(let range) where countOnly:
            summary.count = try view.count(range, at: readRevision)
        case .range(let range) where needsCollecting:
            let collectedMax = collectedMax(limit)
            var rows: [(key: [UInt8], row: [UInt8])] = []
            try view.visit(range, at: readRevision) { key, row in
                summary.count += 1
                if rows.count < collectedMax, keeps(RecordHeader(row)) {
                    rows.append((key.copyBytes(), row.copyBytes()))
                }
                return .next
            }
            sort(&rows)
            summary.more = Int64(rows.count) > limit
            for row in rows.prefix(Int(clamping: limit)) { lend(row.key.span.bytes, row.row.span.bytes, to: emit) }
        case .range(let range):
            var next: [UInt8]?
            try view.visit(range, at: readRevision) { key, row in
                // What is left of the newest keys can be counted without visiting each.
                if summary.count == limit, readRevision == nil {
                    next = key.copyBytes()
                    return .stop
                }
                summary.count += 1
                if summary.count <= limit { lend(key, row, to: emit) }
                return .next
            }
            summary.more = summary.count > limit
            if let next {
                summary.more = true
                summary.count += try view.count(KeyRange(lower: next, upper: range.upper), at: nil)
            }
        }
        return summary
    }

    /// Lends a key to `emit` as (user key, header, value), with no value where keys alone are asked for.
    func lend<Result>(
        _ key: RawSpan, _ row: RawSpan, to emit: (RawSpan, RecordHeader, RawSpan) -> Result
    ) -> Result {
        emit(key, RecordHeader(row), row.extracting(droppingFirst: keysOnly ? row.byteCount : StoredRecord.headerBytes))
    }

    /// Evaluates the request on a view and copies the keys.
    package func evaluate(on view: some RangeView) throws -> RangeResponse {
        var kvs: [KeyValue] = []
        let summary = try evaluate(on: view) { key, header, value in
            kvs.append(
                KeyValue(
                    key: key.copyBytes(), createRevision: header.create, modRevision: header.mod,
                    version: header.version, lease: header.lease, value: value.copyBytes()))
        }
        return RangeResponse(revision: view.revision, kvs: kvs, more: summary.more, count: summary.count)
    }

    /// Keys arrive in rising order, so an order by key needs work only when it falls.
    private func sort(_ rows: inout [(key: [UInt8], row: [UInt8])]) {
        let falling = sortOrder == .descend
        if sortTarget == .key {
            if falling { rows.reverse() }
            return
        }
        // The standard library's sort is stable, so equal keys stay in key order.
        rows.sort { left, right in
            let (lower, upper) = falling ? (right.row, left.row) : (left.row, right.row)
            let first = RecordHeader(lower.span.bytes)
            let second = RecordHeader(upper.span.bytes)
            switch sortTarget {
            case .key: return false
            case .version: return first.version < second.version
            case .create: return first.create < second.create
            case .mod: return first.mod < second.mod
            case .value:
                return lower.dropFirst(StoredRecord.headerBytes)
                    .lexicographicallyPrecedes(upper.dropFirst(StoredRecord.headerBytes))
            }
        }
    }
}

/// A view of an engine snapshot and nothing above it.
package struct SnapshotView: RangeView {
    package let reader: StateReader
    package init(_ reader: StateReader) { self.reader = reader }

    package var revision: Revision { reader.meta.revision }
    package var compacted: Revision { reader.meta.compacted }

    package func read(_ key: [UInt8], at revision: Revision?, _ visit: (RawSpan) -> Void) throws(EngineError) {
        guard let revision else {
            _ = try reader.snapshot.read(Keyspace.currentKey(key), visit: visit)
            return
        }
        guard let record = try reader.version(of: key, at: revision) else { return }
        visit(record.row.span.bytes)
    }

    package func visit(
        _ range: KeyRange, at revision: Revision?, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        if let revision { return try reader.forEachVersion(in: range, at: revision, visit) }
        try reader.forEachLatest(in: range, visit)
    }

    package func count(_ range: KeyRange, at revision: Revision?) throws(EngineError) -> Int64 {
        revision == nil ? try reader.keyCount(in: range) : try countByVisiting(range, at: revision)
    }
}
