/// Runs of rows as one: in order, and of rows with the same name only that of the newest run.
package struct MergedRows: TableRows {
    private struct Head {
        var row: TableRow
        /// Lower is newer.
        var run: Int
    }

    private var runs: [any TableRows]
    /// A binary heap, the lowest name of the newest run first.
    private var heap: [Head] = []
    private var last: [UInt8]?

    /// - Parameter runs: The newest first.
    package init(_ runs: [any TableRows]) throws {
        self.runs = runs
        for run in runs.indices { try push(run) }
    }

    package mutating func next() throws -> TableRow? {
        while let head = heap.first {
            try replaceFirst(head.run)
            if head.row.name == last { continue }
            last = head.row.name
            return head.row
        }
        return nil
    }

    private mutating func push(_ run: Int) throws {
        guard let row = try runs[run].next() else { return }
        heap.append(Head(row: row, run: run))
        var child = heap.count - 1
        while child > 0, MergedRows.precedes(heap[child], heap[(child - 1) / 2]) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    /// Puts the next row of `run` in the place of the first one.
    private mutating func replaceFirst(_ run: Int) throws {
        if let row = try runs[run].next() {
            heap[0] = Head(row: row, run: run)
        } else {
            let end = heap.removeLast()
            if heap.isEmpty { return }
            heap[0] = end
        }
        var parent = 0
        while true {
            let left = 2 * parent + 1
            guard left < heap.count else { return }
            let right = left + 1
            let child = right < heap.count && MergedRows.precedes(heap[right], heap[left]) ? right : left
            guard MergedRows.precedes(heap[child], heap[parent]) else { return }
            heap.swapAt(child, parent)
            parent = child
        }
    }

    private static func precedes(_ left: Head, _ right: Head) -> Bool {
        if left.row.name == right.row.name { return left.run < right.run }
        return left.row.name.lexicographicallyPrecedes(right.row.name)
    }
}

/// Leaves out what a compaction drops: what stays is what `Compaction` leaves in an engine.
package struct RetainedRows<Base: TableRows>: TableRows {
    private var base: Base
    private let compacted: Revision
    private let isComplete: Bool
    private var prefix: ArraySlice<UInt8> = []
    private var left: VersionsLeft

    /// - Parameter isComplete: Nothing older lies below these rows. Otherwise deletions and removals stay, as they hide
    ///   what lies below.
    package init(_ base: Base, compacted: Revision, isComplete: Bool) {
        self.base = base
        self.compacted = compacted
        self.isComplete = isComplete
        left = VersionsLeft(compacted: compacted)
    }

    package mutating func next() throws -> TableRow? {
        while let row = try base.next() {
            guard row.isVersion else {
                if row.isRemoval && isComplete { continue }
                return row
            }
            if row.keyPrefix != prefix {
                prefix = row.keyPrefix
                left = VersionsLeft(compacted: compacted)
            }
            let isTombstone = isComplete && RecordHeader(row.value.span.bytes).isTombstone
            if left.contains(row.revision, isTombstone: isTombstone) { return row }
        }
        return nil
    }
}
