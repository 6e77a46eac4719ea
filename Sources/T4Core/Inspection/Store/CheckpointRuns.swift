import T4Protocols

/// The rows of one checkpoint, of which only the tables and blocks that are asked for are read.
///
/// For one thread at a time.
final class CheckpointRuns {
    /// A table and the names of its first and last row.
    private struct Place {
        var entry: Manifest.TableEntry
        var first: [UInt8]
        var last: [UInt8]
    }

    let file: ManifestFile
    private let checkpoints: CheckpointStore
    /// The newest first.
    private let runs: [[Place]]
    private var opened: [String: TableReader] = [:]
    /// Ids of the opened tables, the one used last at the end.
    private var order: [String] = []
    /// Tables whose indexes are kept.
    private static let openedMax = 64

    init(_ checkpoints: CheckpointStore, _ file: ManifestFile) {
        self.checkpoints = checkpoints
        self.file = file
        runs = (file.checkpoint.deltas.map(\.tables) + [file.checkpoint.base]).map { run in
            run.map { Place(entry: $0, first: $0.firstName, last: $0.lastName) }
        }
    }

    /// The rows of the state named from `lower` on and below `upper`, without what is compacted.
    ///
    /// - Parameter lower: Starts no later than the newest version of the first key that is wanted: which of its versions
    ///   are left is decided from there on.
    func state(from lower: [UInt8], below upper: [UInt8]?) throws -> some TableRows {
        RetainedRows(
            try merged(from: lower, below: upper), compacted: Revision(file.checkpoint.compacted), isComplete: true)
    }

    /// All rows of that range, of equal names the newest.
    /// - Parameters:
    ///   - skipped: Ids of tables that are left out unopened.
    ///   - isWanted: Tables of which it says no are left out; nil to leave none out.
    func merged(
        from lower: [UInt8], below upper: [UInt8]?, skipping skipped: Set<String> = [],
        where isWanted: ((TableReader) -> Bool)? = nil
    ) throws -> BoundedRows {
        var sources: [any TableRows] = []
        for run in runs {
            let start = run.partition { !$0.last.lexicographicallyPrecedes(lower) }
            let end = upper.map { upper in run.partition { !$0.first.lexicographicallyPrecedes(upper) } } ?? run.count
            guard start < end else { continue }
            let entries = try run[start..<end].map(\.entry).filter {
                try !skipped.contains($0.id) && (isWanted?(open($0)) ?? true)
            }
            if !entries.isEmpty { sources.append(RunRows(entries[...], from: lower, open: open)) }
        }
        return BoundedRows(try MergedRows(sources), below: upper)
    }

    private func open(_ entry: Manifest.TableEntry) throws -> TableReader {
        if let reader = opened[entry.id] {
            if order.last != entry.id {
                order.removeAll { $0 == entry.id }
                order.append(entry.id)
            }
            return reader
        }
        let reader = try checkpoints.table(entry, of: file)
        if order.count == CheckpointRuns.openedMax { opened[order.removeFirst()] = nil }
        opened[entry.id] = reader
        order.append(entry.id)
        return reader
    }
}

/// Rows up to a name.
struct BoundedRows: TableRows {
    private var rows: MergedRows
    private let upper: [UInt8]?

    init(_ rows: MergedRows, below upper: [UInt8]?) {
        self.rows = rows
        self.upper = upper
    }

    mutating func next() throws -> TableRow? {
        guard let row = try rows.next() else { return nil }
        if let upper, !row.name.lexicographicallyPrecedes(upper) { return nil }
        return row
    }
}

extension Array {
    /// Index of the first element of which `isBehind` holds, as it does of all that follow.
    fileprivate func partition(_ isBehind: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if isBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
