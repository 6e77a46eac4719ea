package import T4Protocols

/// The engine that a restore would fill from a checkpoint, as a view of the checkpoint where it lies.
///
/// A key costs a block of each run; a range of current or history rows the blocks that hold it. What a checkpoint does not
/// hold as such is gathered: the changes of some revisions from all tables that have versions of them, the keys of leases
/// from everything. Blocks; see `BlockingStore`.
package final class CheckpointSnapshot: EngineSnapshot, @unchecked Sendable {
    // Sendable: a snapshot is used by one thread at a time.
    package let file: ManifestFile
    let meta: MetaRow
    let runs: CheckpointRuns

    /// - Parameter checkpoints: Best on a `ReadAheadStore`, so that a block is not read twice.
    /// - Throws: `.laterVersion` when the checkpoint has a digest of a kind unknown to this build.
    package init(_ file: ManifestFile, of checkpoints: CheckpointStore) throws(CheckpointError) {
        guard let meta = file.checkpoint.meta else {
            throw CheckpointError.laterVersion(
                "the checkpoint", has: "a digest of kind \(file.checkpoint.digest.algorithm)",
                known: StateDigest.algorithm)
        }
        self.file = file
        self.meta = meta
        runs = CheckpointRuns(checkpoints, file)
    }

    /// The newest revision.
    package var revision: Revision { meta.revision }
    /// History below it is gone.
    package var compactedRevision: Revision { meta.compacted }

    package func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        let name = key.copyBytes()
        var isFound = false
        try scan(KeyRange(lower: name, upper: name + [0]), order: .ascending) { _, value in
            visit(value)
            isFound = true
            return .stop
        }
        return isFound
    }

    /// A descending scan keeps the rows of the range in memory.
    package func scan(
        _ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        do {
            switch order {
            case .ascending:
                try forEachRow(in: range) { name, value in visit(name.span.bytes, value.span.bytes) }
            case .descending:
                var rows: [(name: [UInt8], value: [UInt8])] = []
                try forEachRow(in: range) { name, value in
                    rows.append((name, value))
                    return .next
                }
                for (name, value) in rows.reversed() where visit(name.span.bytes, value.span.bytes) == .stop { return }
            }
        } catch let error as CheckpointError where error.code == .corrupted {
            throw EngineError(.corrupted, "the checkpoint is damaged", cause: error)
        } catch {
            throw EngineError(wrapping: error, "the checkpoint cannot be read")
        }
    }

    private typealias Visit = (_ name: [UInt8], _ value: [UInt8]) throws -> ScanStep

    private func forEachRow(in range: KeyRange, _ visit: Visit) throws {
        for space in Keyspace.current...Keyspace.system {
            let (start, end): ([UInt8], [UInt8]) = ([space], [space + 1])
            let lower = range.lower.lexicographicallyPrecedes(start) ? start : range.lower
            let upper = range.upper.flatMap { $0.lexicographicallyPrecedes(end) ? $0 : nil } ?? end
            guard lower.lexicographicallyPrecedes(upper) else { continue }
            let step =
                switch space {
                case Keyspace.current: try forEachCurrent(from: lower, below: upper, visit)
                case Keyspace.history: try forEachInHistory(from: lower, below: upper, visit)
                case Keyspace.changes: try forEachChange(from: lower, below: upper, visit)
                case Keyspace.leased: try forEachLeased(from: lower, below: upper, visit)
                default: try forEachSystemRow(from: lower, below: upper, visit)
                }
            if step == .stop { return }
        }
    }

    private func forEachCurrent(from lower: [UInt8], below upper: [UInt8], _ visit: Visit) throws -> ScanStep {
        let keys = KeyRange(
            lower: Array(lower.dropFirst()), upper: upper == [Keyspace.current + 1] ? nil : Array(upper.dropFirst()))
        return try forEachVersion(of: keys) { row, isCurrent in
            guard isCurrent else { return .next }
            return try visit(Keyspace.currentKey(Keyspace.parseHistory(row.name.span.bytes).key), row.value)
        }
    }

    private func forEachInHistory(from lower: [UInt8], below upper: [UInt8], _ visit: Visit) throws -> ScanStep {
        try forEachVersion(from: CheckpointSnapshot.firstVersion(at: lower), below: upper) { row, isCurrent in
            if isCurrent || row.name.lexicographicallyPrecedes(lower) { return .next }
            return try visit(row.name, row.value)
        }
    }

    private func forEachChange(from lower: [UInt8], below upper: [UInt8], _ visit: Visit) throws -> ScanStep {
        /// The revision at the start of a name, which may be cut off.
        func revision(_ name: [UInt8]) -> Revision {
            let number = Array(name.dropFirst().prefix(8)) + [UInt8](repeating: 0, count: max(0, 9 - name.count))
            return Revision(Int64(clamping: number.span.bytes.bigEndian(at: 0, as: UInt64.self)))
        }
        let last = upper == [Keyspace.changes + 1] ? meta.revision : min(revision(upper), meta.revision)
        let first = max(revision(lower), meta.compacted)
        guard first <= last else { return .next }
        var rows: [(name: [UInt8], value: [UInt8])] = []
        try forEachChange(of: .all, in: first...last) { key, header in
            var row: (name: [UInt8], value: [UInt8]) = ([], [])
            Keyspace.appendChange(header.mod, sub: header.sub, to: &row.name)
            ChangeRow.append(isDelete: header.isTombstone, key: key, to: &row.value)
            rows.append(row)
        }
        return try CheckpointSnapshot.visitSorted(rows, from: lower, below: upper, visit)
    }

    private func forEachLeased(from lower: [UInt8], below upper: [UInt8], _ visit: Visit) throws -> ScanStep {
        var rows: [(name: [UInt8], value: [UInt8])] = []
        _ = try forEachVersion(of: .all) { row, isCurrent in
            let header = RecordHeader(row.value.span.bytes)
            if isCurrent, header.lease != 0 {
                rows.append((Keyspace.leasedKey(header.lease, Keyspace.parseHistory(row.name.span.bytes).key), []))
            }
            return .next
        }
        return try CheckpointSnapshot.visitSorted(rows, from: lower, below: upper, visit)
    }

    private func forEachSystemRow(from lower: [UInt8], below upper: [UInt8], _ visit: Visit) throws -> ScanStep {
        var row: (name: [UInt8], value: [UInt8]) = (SystemRow.meta, [])
        meta.append(to: &row.value)
        var rows = [row]
        var system = try runs.state(from: lower, below: upper)
        while let row = try system.next() { rows.append((row.name, row.value)) }
        return try CheckpointSnapshot.visitSorted(rows, from: lower, below: upper, visit)
    }

    // MARK: - Versions

    /// Visits the versions of some keys that are left, each key's newest first, and says which are current.
    private func forEachVersion(
        of keys: KeyRange, _ visit: (_ row: TableRow, _ isCurrent: Bool) throws -> ScanStep
    ) throws -> ScanStep {
        let range = Keyspace.range(keys, in: Keyspace.history)
        return try forEachVersion(from: range.lower, below: range.upper ?? [Keyspace.history + 1], visit)
    }

    private func forEachVersion(
        from lower: [UInt8], below upper: [UInt8], _ visit: (_ row: TableRow, _ isCurrent: Bool) throws -> ScanStep
    ) throws -> ScanStep {
        var rows = try runs.state(from: lower, below: upper)
        var prefix: ArraySlice<UInt8> = []
        while let row = try rows.next() {
            let isNewest = row.keyPrefix != prefix
            prefix = row.keyPrefix
            let isCurrent = isNewest && !RecordHeader(row.value.span.bytes).isTombstone
            if try visit(row, isCurrent) == .stop { return .stop }
        }
        return .next
    }

    /// The versions and deletions of a key that are left, the newest first.
    func versions(of key: [UInt8]) throws -> [StoredRecord] {
        var records: [StoredRecord] = []
        _ = try forEachVersion(of: KeyRange(lower: key, upper: key + [0])) { row, _ in
            records.append(StoredRecord(row.value.span.bytes))
            return .next
        }
        return records
    }

    /// Visits what some revisions did to some keys, in the order of the keys and the newest change of each first. Tables
    /// without a version of these revisions are opened but not read.
    package func forEachChange(
        of keys: KeyRange, in revisions: ClosedRange<Revision>,
        _ visit: (_ key: [UInt8], RecordHeader) throws -> Void
    ) throws {
        let range = Keyspace.range(keys, in: Keyspace.history)
        var rows = try runs.merged(from: range.lower, below: range.upper) { table in
            table.properties.revisionMin <= revisions.upperBound && revisions.lowerBound <= table.properties.revisionMax
        }
        while let row = try rows.next() {
            let header = RecordHeader(row.value.span.bytes)
            // Compaction leaves every change of these.
            guard header.mod >= meta.compacted, revisions.contains(header.mod) else { continue }
            try visit(Keyspace.parseHistory(row.name.span.bytes).key, header)
        }
    }

    /// Where the versions of the key begin into which a name of the history keyspace falls.
    private static func firstVersion(at name: [UInt8]) -> [UInt8] {
        // The first 00 that no FF follows ends the key.
        var offset = 1
        while offset + 1 < name.count {
            if name[offset] == 0 {
                if name[offset + 1] == 1 { return Array(name[..<(offset + 2)]) }
                offset += 2
            } else {
                offset += 1
            }
        }
        return name
    }

    private static func visitSorted(
        _ rows: [(name: [UInt8], value: [UInt8])], from lower: [UInt8], below upper: [UInt8], _ visit: Visit
    ) throws -> ScanStep {
        for row in rows.sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
            if row.name.lexicographicallyPrecedes(lower) { continue }
            guard row.name.lexicographicallyPrecedes(upper) else { break }
            if try visit(row.name, row.value) == .stop { return .stop }
        }
        return .next
    }
}
