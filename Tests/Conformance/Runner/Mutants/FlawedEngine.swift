import T4Conformance
import T4Protocols

/// What a `FlawedEngine` does otherwise than the engine below; nil passes the call on.
struct Flaw: Sendable {
    var apply: (@Sendable (any LocalEngine, WriteBatch, LogPosition) throws(EngineError) -> Void)?
    var load: (@Sendable (any LocalEngine, [Row], LogPosition) throws(EngineError) -> Void)?
    var snapshot: (@Sendable (any LocalEngine) throws(EngineError) -> any EngineSnapshot)?
    var applied: (@Sendable (any LocalEngine) throws(EngineError) -> LogPosition)?
    var sync: (@Sendable (any LocalEngine) throws(EngineError) -> Void)?
    var size: (@Sendable (any LocalEngine) throws(EngineError) -> Int)?
    var sizeInUse: (@Sendable (any LocalEngine) throws(EngineError) -> Int)?
    var reclaim: (@Sendable (any LocalEngine) throws(EngineError) -> Void)?
    var close: (@Sendable (any LocalEngine) throws(EngineError) -> Void)?
    /// What a read gives for a key.
    var read: (@Sendable (any EngineSnapshot, [UInt8]) throws(EngineError) -> [UInt8]?)?
    /// The rows that a scan visits.
    var scan: (@Sendable (any EngineSnapshot, KeyRange, ScanOrder) throws(EngineError) -> [Row])?
    var isStopIgnored = false
    /// Writes the rows of a load as they come.
    var isLoadInParts = false
}

/// An engine with a flaw; without one, a wrapper that nobody notices.
final class FlawedEngine: EngineWrapper {
    let base: any LocalEngine
    private let flaw: Flaw

    init(_ base: any LocalEngine, _ flaw: Flaw) {
        self.base = base
        self.flaw = flaw
    }

    var appliedPosition: LogPosition {
        get throws(EngineError) {
            guard let applied = flaw.applied else { return try base.appliedPosition }
            return try applied(base)
        }
    }

    func snapshot() throws(EngineError) -> any EngineSnapshot {
        guard let snapshot = flaw.snapshot else { return FlawedSnapshot(try base.snapshot(), flaw) }
        return try snapshot(base)
    }

    func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        guard let apply = flaw.apply else { return try base.apply(batch, at: position) }
        try apply(base, batch, position)
    }

    func sync() throws(EngineError) {
        guard let sync = flaw.sync else { return try base.sync() }
        try sync(base)
    }

    func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        if flaw.isLoadInParts { return try loadInParts(&rows, at: position) }
        guard let load = flaw.load else { return try base.bulkLoad(&rows, at: position) }
        try load(base, collect(&rows), position)
    }

    private func loadInParts(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        var isRow = true
        while isRow {
            var batch = WriteBatch()
            while isRow, batch.count < 500 {
                isRow = try rows.next { key, value in batch.put(copy(key), copy(value)) }
            }
            try base.apply(batch, at: isRow ? base.appliedPosition : position)
        }
    }

    func sizeOnDisk() throws(EngineError) -> Int {
        guard let size = flaw.size else { return try base.sizeOnDisk() }
        return try size(base)
    }

    func sizeInUse() throws(EngineError) -> Int {
        guard let used = flaw.sizeInUse else { return try base.sizeInUse() }
        return try used(base)
    }

    func reclaimSpace() throws(EngineError) {
        guard let reclaim = flaw.reclaim else { return try base.reclaimSpace() }
        try reclaim(base)
    }

    func close() throws(EngineError) {
        guard let close = flaw.close else { return try base.close() }
        try close(base)
    }
}

/// A snapshot with the part of a flaw that is about reading.
final class FlawedSnapshot: EngineSnapshot {
    private let base: any EngineSnapshot
    private let flaw: Flaw

    init(_ base: any EngineSnapshot, _ flaw: Flaw) {
        self.base = base
        self.flaw = flaw
    }

    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        guard let read = flaw.read else { return try base.read(key, visit: visit) }
        guard let value = try read(base, copy(key)) else { return false }
        visit(value.span.bytes)
        return true
    }

    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) throws(EngineError) {
        if flaw.scan == nil, !flaw.isStopIgnored { return try base.scan(range, order: order, visit: visit) }
        var rows = try base.rows(range, order)
        if let scan = flaw.scan { rows = try scan(base, range, order) }
        for row in rows {
            let step = visit(row.key.span.bytes, row.value.span.bytes)
            if step == .stop, !flaw.isStopIgnored { return }
        }
    }
}

/// All rows of a source.
func collect(_ source: inout some SortedRows) throws(EngineError) -> [Row] {
    var rows: [Row] = []
    var isRow = true
    while isRow {
        isRow = try source.next { key, value in rows.append(Row(key: copy(key), value: copy(value))) }
    }
    return rows
}

extension WriteBatch {
    /// The changes, copied; the value is nil for a delete.
    var copies: [(key: [UInt8], value: [UInt8]?)] {
        var changes: [(key: [UInt8], value: [UInt8]?)] = []
        forEach { key, value in
            if let value { changes.append((copy(key), copy(value))) } else { changes.append((copy(key), nil)) }
        }
        return changes
    }

    init(_ changes: some Sequence<(key: [UInt8], value: [UInt8]?)>) {
        self.init()
        for (key, value) in changes {
            if let value { put(key, value) } else { delete(key) }
        }
    }
}
