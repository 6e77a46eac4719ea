package import T4Protocols

/// The rows of an engine that a checkpoint stands for, in the engine's order, for `LocalEngine.bulkLoad`.
///
/// One pass over the merged runs gives the current rows and gathers what the other keyspaces need. History is read in a
/// second pass where it does not fit into memory. While rows go by their digest is summed.
package struct CheckpointRows: SortedRows {
    /// Sum over the current and system rows given so far.
    package private(set) var digest = StateDigest()
    /// Current rows given so far.
    package private(set) var keys: UInt64 = 0
    /// Without references, as there may be millions to sort.
    private struct Change {
        var revision: Revision
        var sub: UInt32
        var isDelete: Bool
        /// Where its key lies in `changedKeys`.
        var start: Int
        var size: Int
    }

    private enum Phase { case current, history, changes, leased, system, end }
    private var phase = Phase.current
    private let meta: MetaRow
    private let makeRows: () throws -> any TableRows
    private var rows: (any TableRows)?
    /// Of the version before.
    private var prefix: ArraySlice<UInt8> = []
    private var history: [(name: [UInt8], value: [UInt8])] = []
    private var historySize = 0
    private var historyFits = true
    private var changes: [Change] = []
    /// The keys of all changes, one after the other.
    private var changedKeys: [UInt8] = []
    private var leased: [[UInt8]] = []
    private var system: [(name: [UInt8], value: [UInt8])] = []
    private var next = 0
    private static let historySizeMax = 64 << 20

    /// - Parameter makeRows: Gives the merged and retained rows of a complete checkpoint; asked for a second time where
    ///   there is much history.
    package init(meta: MetaRow, makeRows: @escaping () throws -> any TableRows) {
        self.meta = meta
        self.makeRows = makeRows
    }

    /// Whether everything given is what the checkpoint promised. Only after the last row.
    package var isVerified: Bool { digest == meta.digest && keys == meta.keys }

    package mutating func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool {
        do {
            guard let row = try nextRow() else { return false }
            visit(row.name.span.bytes, row.value.span.bytes)
            return true
        } catch {
            throw EngineError(wrapping: error, "the checkpoint cannot be read to its end")
        }
    }

    private mutating func nextRow() throws -> (name: [UInt8], value: [UInt8])? {
        while true {
            switch phase {
            case .current:
                if rows == nil { rows = try makeRows() }
                if let row = try nextCurrent() { return row }
                enter(.history)
                rows = historyFits ? nil : try makeRows()
            case .history:
                if let row = try nextHistory() { return row }
                enter(.changes)
                changes.sort { ($0.revision, $0.sub) < ($1.revision, $1.sub) }
            case .changes:
                if next < changes.count { return changeRow() }
                changes = []
                changedKeys = []
                enter(.leased)
                leased.sort { $0.lexicographicallyPrecedes($1) }
            case .leased:
                if next < leased.count {
                    next += 1
                    return (leased[next - 1], [])
                }
                enter(.system)
                var value: [UInt8] = []
                meta.append(to: &value)
                system.append((SystemRow.meta, value))
                system.sort { $0.name.lexicographicallyPrecedes($1.name) }
            case .system:
                if next < system.count {
                    next += 1
                    return system[next - 1]
                }
                enter(.end)
            case .end: return nil
            }
        }
    }

    private mutating func enter(_ phase: Phase) {
        self.phase = phase
        next = 0
        prefix = []
    }

    /// The next current row; what is not current goes into memory for the later phases.
    private mutating func nextCurrent() throws -> (name: [UInt8], value: [UInt8])? {
        while let row = try rows?.next() {
            guard row.isVersion else {
                digest.add(name: row.name, value: row.value)
                system.append((row.name, row.value))
                continue
            }
            let isNewest = row.keyPrefix != prefix
            prefix = row.keyPrefix
            let header = RecordHeader(row.value.span.bytes)
            let key = Keyspace.parseHistory(row.name.span.bytes).key
            if header.mod >= meta.compacted {
                changes.append(
                    Change(
                        revision: header.mod, sub: header.sub, isDelete: header.isTombstone, start: changedKeys.count,
                        size: key.count))
                changedKeys += key
            }
            guard isNewest, !header.isTombstone else {
                keep(row)
                continue
            }
            if header.lease != 0 { leased.append(Keyspace.leasedKey(header.lease, key)) }
            let name = Keyspace.currentKey(key)
            digest.add(name: name, value: row.value)
            keys += 1
            return (name, row.value)
        }
        return nil
    }

    private mutating func keep(_ row: TableRow) {
        guard historyFits else { return }
        historySize += row.name.count + row.value.count + 64
        history.append((row.name, row.value))
        guard historySize > CheckpointRows.historySizeMax else { return }
        historyFits = false
        history = []
    }

    private mutating func nextHistory() throws -> (name: [UInt8], value: [UInt8])? {
        guard !historyFits else {
            guard next < history.count else { return nil }
            next += 1
            return history[next - 1]
        }
        while let row = try rows?.next() {
            guard row.isVersion else { return nil }
            let isNewest = row.keyPrefix != prefix
            prefix = row.keyPrefix
            if !isNewest || RecordHeader(row.value.span.bytes).isTombstone { return (row.name, row.value) }
        }
        return nil
    }

    private mutating func changeRow() -> (name: [UInt8], value: [UInt8]) {
        let change = changes[next]
        next += 1
        var name: [UInt8] = []
        Keyspace.appendChange(change.revision, sub: change.sub, to: &name)
        var value: [UInt8] = []
        let key = Array(changedKeys[change.start..<change.start + change.size])
        ChangeRow.append(isDelete: change.isDelete, key: key, to: &value)
        return (name, value)
    }
}
