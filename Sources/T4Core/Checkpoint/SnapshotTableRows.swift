import T4Protocols

/// The rows of an engine as a checkpoint holds them: versions from the current and history keyspaces, then system rows.
///
/// Copies a portion at a time, so that no scan stays open.
struct SnapshotTableRows: TableRows {
    /// Rows of one keyspace in order, a portion at a time.
    private struct Portions {
        let snapshot: any EngineSnapshot
        var start: [UInt8]?
        let upper: [UInt8]?
        var rows: ArraySlice<(name: [UInt8], value: [UInt8])> = []
        static let bytesMax = 1 << 20

        init(_ snapshot: any EngineSnapshot, _ range: KeyRange) {
            self.snapshot = snapshot
            (start, upper) = (range.lower, range.upper)
        }

        mutating func next() throws(EngineError) -> (name: [UInt8], value: [UInt8])? {
            if rows.isEmpty { try fill() }
            return rows.popFirst()
        }

        private mutating func fill() throws(EngineError) {
            guard let lower = start else { return }
            var found: [(name: [UInt8], value: [UInt8])] = []
            var size = 0
            var isWhole = true
            try snapshot.scan(KeyRange(lower: lower, upper: upper), order: .ascending) { name, value in
                if size >= Portions.bytesMax {
                    isWhole = false
                    return .stop
                }
                found.append((name.copyBytes(), value.copyBytes()))
                size += name.byteCount + value.byteCount + 64
                return .next
            }
            // The next portion begins right behind the last row of this one.
            start = isWhole ? nil : found.last.map { $0.name + [0] }
            rows = found[...]
        }
    }

    private var current: Portions
    private var history: Portions
    private var system: Portions
    private var nextCurrent: TableRow?
    private var nextHistory: TableRow?
    private var hasBegun = false

    init(_ snapshot: any EngineSnapshot) {
        current = Portions(snapshot, Keyspace.range(.all, in: Keyspace.current))
        history = Portions(snapshot, Keyspace.range(.all, in: Keyspace.history))
        system = Portions(snapshot, KeyRange(prefix: [Keyspace.system]))
    }

    mutating func next() throws -> TableRow? {
        if !hasBegun {
            hasBegun = true
            nextCurrent = try takeCurrent()
            nextHistory = try takeHistory()
        }
        // Escaping keeps the order of keys, so that both are in the order of their names as versions.
        if let version = nextCurrent, nextHistory.map({ version.name.lexicographicallyPrecedes($0.name) }) ?? true {
            nextCurrent = try takeCurrent()
            return version
        }
        if let version = nextHistory {
            nextHistory = try takeHistory()
            return version
        }
        while let row = try system.next() {
            if row.name != SystemRow.meta { return TableRow(name: row.name, value: row.value) }
        }
        return nil
    }

    private mutating func takeCurrent() throws(EngineError) -> TableRow? {
        guard let row = try current.next() else { return nil }
        let mod = RecordHeader(row.value.span.bytes).mod
        return TableRow(name: Keyspace.historyKey(Array(row.name.dropFirst()), mod), value: row.value)
    }

    private mutating func takeHistory() throws(EngineError) -> TableRow? {
        try history.next().map { TableRow(name: $0.name, value: $0.value) }
    }
}
