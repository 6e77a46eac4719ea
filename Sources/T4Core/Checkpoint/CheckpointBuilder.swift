import T4Protocols

/// Makes the runs of the next checkpoint out of those of the last one and the rows that came since.
///
/// New rows become a delta. Deltas of a size are merged four at a time, and once all of them outweigh half of the base a
/// slice of the base is merged with them in each checkpoint, so that what a checkpoint writes follows what changed and
/// not what there is. The result is a function of the earlier runs and the rows.
package struct CheckpointBuilder {
    /// Sizes in raw bytes.
    package struct Tuning: Sendable {
        /// Runs of less than this are one tier; each further tier is four times as large.
        package var tierSize: UInt64 = 1 << 20
        /// More deltas than this are merged into one.
        package var deltaCountMax = 16
        /// Tables a slice may go beyond its plan until a cut of old and new tables meets.
        package var overrunMax = 8

        package init() {}
    }

    /// Opens a table of the last checkpoint, or one that was just written.
    package typealias OpenTable = (Manifest.TableEntry) throws -> TableReader
    /// Stores a table.
    package typealias PutTable = (Table) throws -> Void

    package private(set) var cut: TableCut?
    package private(set) var base: [Manifest.TableEntry]
    package private(set) var deltas: [Manifest.Delta]
    private let compacted: Revision
    /// The last entry of the checkpoint.
    private let index: UInt64
    private let tuning: Tuning
    private let open: OpenTable
    private let put: PutTable
    /// Bytes of a row where nothing is known of them.
    package static let usualRowSize = 300
    private var addedSize: UInt64 = 0

    /// - Parameters:
    ///   - previous: The last checkpoint; nil for the first of a database.
    ///   - index: The last entry of the new one.
    ///   - compacted: The compacted revision at that entry.
    ///   - firstCut: How the first checkpoint cuts tables; nil to take it from the size of its rows.
    package init(
        previous: Manifest?, index: UInt64, compacted: Revision, firstCut: TableCut? = nil, tuning: Tuning = Tuning(),
        open: @escaping OpenTable, put: @escaping PutTable
    ) {
        cut = previous?.parameters.cut ?? firstCut
        base = previous?.base ?? []
        deltas = previous?.deltas ?? []
        self.index = index
        self.compacted = compacted
        self.tuning = tuning
        self.open = open
        self.put = put
    }

    /// Adds the rows that came with the entries behind `from` up to `to`. May be called again for the next ones.
    package mutating func add(_ rows: [TableRow], from: UInt64, to: UInt64) throws {
        guard !rows.isEmpty else { return }
        if cut == nil {
            let size = rows.reduce(0) { $0 + $1.name.count + $1.value.count }
            cut = TableCut(meanRowSize: size / rows.count)
        }
        let kept = RetainedRows(RowList(rows), compacted: compacted, isComplete: false)
        let tables = try write(kept, upTo: nil)
        addedSize += tables.rawSize
        deltas.insert(Manifest.Delta(from: from, to: to, tables: tables), at: 0)
    }

    /// Begins with the rows of a complete state as the base, which is that of the checkpoint.
    package mutating func begin(_ rows: some TableRows) throws {
        if cut == nil { cut = TableCut(meanRowSize: CheckpointBuilder.usualRowSize) }
        base = try write(RetainedRows(rows, compacted: compacted, isComplete: true), upTo: index)
    }

    /// Begins with tables of a complete state that were written elsewhere, as the base.
    package mutating func begin(with tables: [Manifest.TableEntry]) { base = tables }

    /// Merges what is due. Call once, after the last `add`.
    package mutating func finish() throws {
        if base.isEmpty || deltas.rawSize >= base.rawSize {
            try rebase()
            return
        }
        try mergeTiers()
        if deltas.rawSize > base.rawSize / 2 { try rewriteSlice() }
        let done = base.map { $0.upTo ?? 0 }.min() ?? 0
        deltas.removeAll { $0.to <= done }
    }

    /// Merges everything into a new base.
    package mutating func rebase() throws {
        guard !deltas.isEmpty || !base.isEmpty else { return }
        let runs = deltas.map(\.tables) + [base]
        let rows = try MergedRows(runs.map { RunRows($0[...], open: open) })
        base = try write(RetainedRows(rows, compacted: compacted, isComplete: true), upTo: index)
        deltas = []
    }

    private mutating func mergeTiers() throws {
        while true {
            let tier = deltas.first.map { self.tier($0.tables.rawSize) }
            var count = deltas.prefix { self.tier($0.tables.rawSize) == tier }.count
            if count < 4 {
                guard deltas.count > tuning.deltaCountMax else { return }
                count = deltas.count
            }
            let merged = deltas[..<count]
            let rows = try MergedRows(merged.map { RunRows($0.tables[...], open: open) })
            let tables = try write(RetainedRows(rows, compacted: compacted, isComplete: false), upTo: nil)
            let run = Manifest.Delta(from: merged.last!.from, to: merged.first!.to, tables: tables)
            deltas.replaceSubrange(..<count, with: tables.isEmpty ? [] : [run])
        }
    }

    private func tier(_ size: UInt64) -> Int {
        var (tier, limit) = (0, tuning.tierSize)
        while size >= limit {
            tier += 1
            limit = limit.multipliedReportingOverflow(by: 4).partialValue
        }
        return tier
    }

    /// Merges the base tables that were left alone longest with all deltas, about twice as much as came new.
    private mutating func rewriteSlice() throws {
        let oldest = base.map { $0.upTo ?? 0 }.min() ?? 0
        guard let start = base.firstIndex(where: { ($0.upTo ?? 0) == oldest }) else { return }
        var planned = start
        var size: UInt64 = 0
        while planned < base.count, (base[planned].upTo ?? 0) < index, size < 2 * addedSize || planned == start {
            size += base[planned].rawSize
            planned += 1
        }
        let lower = start == 0 ? [] : Array(TableRow.keyPrefix(of: base[start].firstName))
        let runs: [any TableRows] =
            deltas.map { RunRows($0.tables[...], from: lower, open: open) } + [RunRows(base[start...], open: open)]
        var rows = RetainedRows(try MergedRows(runs), compacted: compacted, isComplete: true)
        var cutter = TableCutter(cut!)
        var tables: [Manifest.TableEntry] = []
        // The first base table that is not merged. Beyond the plan the slice goes on until both cuts meet, so that no
        // small table is left at its end.
        var end = start + 1
        var isCut = false
        merge: while let row = try rows.next() {
            while end < base.count, base[end].belongs(row) {
                if end >= planned, end >= planned + tuning.overrunMax || cutter.ends(before: row) {
                    isCut = true
                    break merge
                }
                end += 1
            }
            if let table = try cutter.add(row) { tables.append(try store(table, upTo: index)) }
        }
        if let table = cutter.finish() { tables.append(try store(table, upTo: index)) }
        base.replaceSubrange(start..<(isCut ? end : base.count), with: tables)
    }

    private func write(_ rows: some TableRows, upTo: UInt64?) throws -> [Manifest.TableEntry] {
        var rows = rows
        guard let cut else { return [] }
        var cutter = TableCutter(cut)
        var tables: [Manifest.TableEntry] = []
        while let row = try rows.next() {
            if let table = try cutter.add(row) { tables.append(try store(table, upTo: upTo)) }
        }
        if let table = cutter.finish() { tables.append(try store(table, upTo: upTo)) }
        return tables
    }

    private func store(_ table: Table, upTo: UInt64?) throws -> Manifest.TableEntry {
        try put(table)
        return Manifest.TableEntry(table.id, table.properties, upTo: upTo)
    }
}

/// The rows of a run: its tables one after another, each opened when it is reached.
package struct RunRows: TableRows {
    private var tables: ArraySlice<Manifest.TableEntry>
    private let start: [UInt8]
    private let open: CheckpointBuilder.OpenTable
    private var rows: TableReader.Rows?

    /// - Parameter start: Rows before this name are left out.
    package init(
        _ tables: ArraySlice<Manifest.TableEntry>, from start: [UInt8] = [],
        open: @escaping CheckpointBuilder.OpenTable
    ) {
        self.tables = tables.drop { $0.lastName.lexicographicallyPrecedes(start) }
        self.start = start
        self.open = open
    }

    package mutating func next() throws -> TableRow? {
        while true {
            if let row = try rows?.next() { return row }
            guard let table = tables.popFirst() else { return nil }
            rows = try open(table).rows(from: start)
        }
    }
}

extension Manifest.TableEntry {
    /// Name of the first row.
    package var firstName: [UInt8] { [UInt8](hex: first) ?? [] }
    /// Name of the last row.
    package var lastName: [UInt8] { [UInt8](hex: last) ?? [] }

    /// Whether a row lies at or behind the first key of this table: a newer version of that key sorts before its rows.
    fileprivate func belongs(_ row: TableRow) -> Bool {
        !row.keyPrefix.lexicographicallyPrecedes(TableRow.keyPrefix(of: firstName))
    }
}

extension Array where Element == Manifest.TableEntry {
    /// Raw bytes of all tables.
    package var rawSize: UInt64 { reduce(0) { $0 + $1.rawSize } }
}

extension Array where Element == Manifest.Delta {
    /// Raw bytes of all runs.
    package var rawSize: UInt64 { reduce(0) { $0 + $1.tables.rawSize } }
}
