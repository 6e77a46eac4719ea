package import T4Protocols

/// What one request sees while it is evaluated: the engine, decisions not yet in it, and its own writes.
package struct TransactionView: RangeView {
    /// The store's revision before this request.
    package let base: Revision
    package let compacted: Revision
    private let reader: StateReader
    private let pending: PendingState?
    /// Keys this request wrote, nil for deletions.
    package private(set) var written: [ByteKey: StoredRecord?] = [:]
    /// In the order of writing, with the version before.
    package private(set) var changes: [Change] = []

    /// One write of this request.
    package struct Change: Sendable {
        package var key: ByteKey
        /// Nil for a deletion.
        package var record: StoredRecord?
        package var previous: StoredRecord?
    }

    package init(base: Revision, compacted: Revision, reader: StateReader, pending: PendingState?) {
        self.base = base
        self.compacted = compacted
        self.reader = reader
        self.pending = pending
    }

    /// The revision of this request's writes, or of the store while there are none.
    package var revision: Revision { changes.isEmpty ? base : base.next }

    /// The newest version of a key as this request sees it.
    package func latest(_ key: ByteKey) throws(EngineError) -> StoredRecord? {
        if let known = written[key] { return known }
        if let known = pending?.record(key) { return known }
        return try reader.latest(key.bytes)
    }

    package mutating func put(_ key: ByteKey, value: [UInt8], lease: Int64, previous: StoredRecord?) {
        let revision = base.next
        let record = StoredRecord(
            create: previous?.create ?? revision, mod: revision, version: (previous?.version ?? 0) + 1, lease: lease,
            sub: UInt32(changes.count), value: value)
        changes.append(Change(key: key, record: record, previous: previous))
        written[key] = .some(record)
    }

    /// Writes a version that was made elsewhere.
    package mutating func mirror(_ key: ByteKey, _ record: StoredRecord, previous: StoredRecord?) {
        changes.append(Change(key: key, record: record, previous: previous))
        written[key] = .some(record)
    }

    package mutating func delete(_ key: ByteKey, previous: StoredRecord) {
        changes.append(Change(key: key, record: nil, previous: previous))
        written[key] = .some(nil)
    }

    /// The keys of a selection that exist, in key order.
    package func existing(in selection: KeySelection) throws(EngineError) -> [(key: ByteKey, record: StoredRecord)] {
        switch selection {
        case .single(let single):
            let key = ByteKey(single)
            return try latest(key).map { [(key, $0)] } ?? []
        case .range(let range):
            var found: [(key: ByteKey, record: StoredRecord)] = []
            try visit(range, at: nil) { key, row in
                found.append((ByteKey(key.copyBytes()), StoredRecord(row)))
                return .next
            }
            return found
        }
    }

    package func read(_ key: [UInt8], at revision: Revision?, _ visit: (RawSpan) -> Void) throws(EngineError) {
        if let revision {
            try SnapshotView(reader).read(key, at: revision, visit)
        } else if let record = try latest(ByteKey(key)) {
            visit(record.row.span.bytes)
        }
    }

    package func visit(
        _ range: KeyRange, at revision: Revision?, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        // Older revisions are in the engine whole: the commit thread waits for that before it evaluates such a read.
        if let revision { return try reader.forEachVersion(in: range, at: revision, visit) }
        let overlay = overlay(in: range)
        if overlay.isEmpty { return try reader.forEachLatest(in: range, visit) }
        var next = 0
        var stopped = false
        func emit() {
            let (key, record) = overlay[next]
            next += 1
            if let row = record?.row { stopped = visit(key.span.bytes, row.span.bytes) == .stop }
        }
        try reader.forEachLatest(in: range) { key, row in
            while !stopped, next < overlay.count, overlay[next].key.precedes(key) { emit() }
            if stopped { return .stop }
            if next < overlay.count, overlay[next].key.isEqual(to: key) {
                emit()
            } else {
                stopped = visit(key, row) == .stop
            }
            return stopped ? .stop : .next
        }
        while !stopped, next < overlay.count { emit() }
    }

    package func count(_ range: KeyRange, at revision: Revision?) throws(EngineError) -> Int64 {
        guard revision == nil, overlay(in: range).isEmpty else { return try countByVisiting(range, at: revision) }
        return try reader.keyCount(in: range)
    }

    /// Decided and written keys of a range in key order; nil records are deletions.
    private func overlay(in range: KeyRange) -> [(key: [UInt8], record: StoredRecord?)] {
        let selection = KeySelection.range(range)
        var overlay = (pending?.keys { selection.contains($0) } ?? []).filter { written[ByteKey($0.key)] == nil }
        for (key, record) in written where selection.contains(key.bytes) { overlay.append((key.bytes, record)) }
        overlay.sort { $0.key.lexicographicallyPrecedes($1.key) }
        return overlay
    }
}
