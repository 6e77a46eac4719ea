import MemoryEngine
import T4Protocols

/// A frozen view of a `WriteBehindEngine`.
final class WriteBehindSnapshot: EngineSnapshot {
    private let young: Tree
    private let old: Tree?
    private let base: any EngineSnapshot

    init(young: Tree, old: Tree?, base: any EngineSnapshot) {
        self.young = young
        self.old = old
        self.base = base
    }

    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        if let row = key.withUnsafeBytes({ young.row(for: $0) ?? old?.row(for: $0) }) {
            if row.isRemoval { return false }
            visit(row.value.bytes)
            return true
        }
        return try base.read(key, visit: visit)
    }

    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) throws(EngineError) {
        var changed = ChangedRows(young, old, range, order)
        var isStopped = false
        try base.scan(range, order: order) { key, value in
            let isReplaced = key.withUnsafeBytes { key in
                isStopped = changed.visit(before: key, visit) == .stop
                return !isStopped && changed.visit(at: key, visit, &isStopped)
            }
            if !isReplaced, !isStopped { isStopped = visit(key, value) == .stop }
            return isStopped ? .stop : .next
        }
        if !isStopped { _ = changed.visit(before: nil, visit) }
    }
}

/// The rows of two trees in the order of a scan, those of the younger one in place of those of the older.
private struct ChangedRows {
    private var young: TreeCursor
    private var old: TreeCursor?
    private let order: ScanOrder
    private(set) var next: Row?

    init(_ young: Tree, _ old: Tree?, _ range: KeyRange, _ order: ScanOrder) {
        self.young = TreeCursor(young, range, order)
        self.old = old.map { TreeCursor($0, range, order) }
        self.order = order
        choose()
    }

    /// Visits the rows in front of `key`, or all that are left.
    mutating func visit(before key: UnsafeRawBufferPointer?, _ visit: (RawSpan, RawSpan) -> ScanStep) -> ScanStep {
        while let row = next {
            if let key, !isBefore(row.key, key) { return .next }
            advance()
            if !row.isRemoval, visit(row.key.bytes, row.value.bytes) == .stop { return .stop }
        }
        return .next
    }

    /// Visits the row with that key, which must not be behind `next`.
    /// - Returns: False when there is none.
    mutating func visit(
        at key: UnsafeRawBufferPointer, _ visit: (RawSpan, RawSpan) -> ScanStep, _ isStopped: inout Bool
    ) -> Bool {
        guard let row = next, compareBytes(row.key, key) == 0 else { return false }
        advance()
        if !row.isRemoval { isStopped = visit(row.key.bytes, row.value.bytes) == .stop }
        return true
    }

    private mutating func advance() {
        guard let row = next else { return }
        if let key = young.next?.key, compareBytes(key, row.key) == 0 { young.advance() }
        if let key = old?.next?.key, compareBytes(key, row.key) == 0 { old?.advance() }
        choose()
    }

    private mutating func choose() {
        guard let first = young.next, let second = old?.next else {
            next = young.next ?? old?.next
            return
        }
        next = isBefore(second.key, first.key) ? second : first
    }

    private func isBefore(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        let difference = compareBytes(left, right)
        return order == .ascending ? difference < 0 : difference > 0
    }
}
