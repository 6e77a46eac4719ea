package import T4Protocols

/// Reads the state as of one engine snapshot. Everything it returns belongs together.
package struct StateReader: Sendable {
    package let snapshot: any EngineSnapshot
    /// Where the snapshot stands.
    package let meta: MetaRow

    package init(_ snapshot: any EngineSnapshot) throws(EngineError) {
        self.snapshot = snapshot
        var meta: MetaRow? = .initial
        _ = try snapshot.read(SystemRow.meta) { meta = MetaRow($0) }
        guard let meta else {
            throw EngineError(.corrupted, "the row that says where the state stands is not of this version")
        }
        self.meta = meta
    }

    /// The newest version of a key; nil when it does not exist.
    package func latest(_ key: [UInt8]) throws(EngineError) -> StoredRecord? {
        var record: StoredRecord?
        _ = try snapshot.read(Keyspace.currentKey(key)) { record = StoredRecord($0) }
        return record
    }

    /// The version of a key that was newest at `revision`; nil when it did not exist then.
    package func version(of key: [UInt8], at revision: Revision) throws(EngineError) -> StoredRecord? {
        if let record = try latest(key), record.mod <= revision { return record }
        let prefix = Keyspace.historyPrefix(key)
        let range = KeyRange(lower: Keyspace.historyKey(key, revision), upper: KeyRange.end(ofPrefix: prefix))
        var record: StoredRecord?
        try snapshot.scan(range, order: .ascending) { _, row in
            record = StoredRecord(row)
            return .stop
        }
        return record.flatMap { $0.isTombstone ? nil : $0 }
    }

    /// Visits the rows of the current keyspace in a range, in key order, as (user key, row).
    package func forEachLatest(
        in range: KeyRange, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        if let upper = range.upper, !range.lower.lexicographicallyPrecedes(upper) { return }
        try snapshot.scan(Keyspace.range(range, in: Keyspace.current), order: .ascending) { name, row in
            visit(name.extracting(droppingFirst: 1), row)
        }
    }

    /// Visits the versions that were newest at `revision`, in key order, as (user key, row).
    package func forEachVersion(
        in range: KeyRange, at revision: Revision, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        if let upper = range.upper, !range.lower.lexicographicallyPrecedes(upper) { return }
        let old = try versionsFromHistory(in: range, at: revision)
        var next = old.startIndex
        var stopped = false
        // Rows of the current keyspace that are newer than `revision` say nothing: their older version, if any, is in
        // `old`. History only holds what was overwritten, so a key's row at or before `revision` beats its history.
        try forEachLatest(in: range) { key, row in
            guard RecordHeader(row).mod <= revision else { return .next }
            while next < old.endIndex, old[next].key.precedes(key) {
                let (oldKey, oldRow) = old[next]
                next += 1
                if visit(oldKey.span.bytes, oldRow.span.bytes) == .stop {
                    stopped = true
                    return .stop
                }
            }
            if next < old.endIndex, old[next].key.isEqual(to: key) { next += 1 }
            stopped = visit(key, row) == .stop
            return stopped ? .stop : .next
        }
        while !stopped, next < old.endIndex {
            let (oldKey, oldRow) = old[next]
            next += 1
            if visit(oldKey.span.bytes, oldRow.span.bytes) == .stop { return }
        }
    }

    /// For each key of the range, the newest version in history at or before `revision`, tombstones left out.
    private func versionsFromHistory(
        in range: KeyRange, at revision: Revision
    ) throws(EngineError) -> [(key: [UInt8], row: [UInt8])] {
        var found: [(key: [UInt8], row: [UInt8])] = []
        // Rows of one key follow each other, newest first; once its version is found the rest of the key is skipped.
        var decided: [UInt8] = []
        try snapshot.scan(Keyspace.range(range, in: Keyspace.history), order: .ascending) { name, row in
            let header = RecordHeader(row)
            guard header.mod <= revision else { return .next }
            let prefix = name.extracting(droppingLast: 8)
            if decided.isEqual(to: prefix) { return .next }
            decided = prefix.copyBytes()
            if !header.isTombstone {
                found.append((Keyspace.parseHistory(name).key, row.copyBytes()))
            }
            return .next
        }
        return found
    }

    /// Number of keys that exist in a range now. Copies nothing.
    package func countLatest(in range: KeyRange) throws(EngineError) -> Int64 {
        var count: Int64 = 0
        try forEachLatest(in: range) { _, _ in
            count += 1
            return .next
        }
        return count
    }

    /// The keys attached to a lease, in key order.
    package func keys(leasedTo lease: Int64) throws(EngineError) -> [[UInt8]] {
        var keys: [[UInt8]] = []
        try snapshot.scan(KeyRange(prefix: Keyspace.leasedPrefix(lease)), order: .ascending) { name, _ in
            keys.append(name.extracting(droppingFirst: 9).copyBytes())
            return .next
        }
        return keys
    }

    /// Visits every key that is attached to a lease, until the visitor throws.
    package func forEachLeasedKey(_ visit: ([UInt8]) throws(DatabaseError) -> Void) throws {
        var refusal: DatabaseError?
        try snapshot.scan(KeyRange(prefix: [Keyspace.leased]), order: .ascending) { name, _ in
            do throws(DatabaseError) {
                try visit(name.extracting(droppingFirst: 9).copyBytes())
                return .next
            } catch {
                refusal = error
                return .stop
            }
        }
        if let refusal { throw refusal }
    }

    /// All granted leases, by id.
    package func leases() throws(EngineError) -> [LeaseRecord] {
        var leases: [LeaseRecord] = []
        try snapshot.scan(KeyRange(prefix: SystemRow.leases), order: .ascending) { name, row in
            leases.append(
                LeaseRecord(id: name.bigEndian(at: SystemRow.leases.count), ttl: row.bigEndian(at: 0)))
            return .next
        }
        return leases
    }

    /// All raised alarms, by kind and then by member.
    /// - Throws: `.corrupted` for a row that no version wrote.
    package func alarms() throws(EngineError) -> [Alarm] {
        var alarms: [Alarm] = []
        var unknown: UInt8?
        let kindOffset = SystemRow.alarms.count
        try snapshot.scan(KeyRange(prefix: SystemRow.alarms), order: .ascending) { name, _ in
            let number: UInt8 = name.bigEndian(at: kindOffset)
            guard let kind = Alarm.Kind(rawValue: number) else {
                unknown = number
                return .stop
            }
            alarms.append(Alarm(kind, member: name.bigEndian(at: kindOffset + 1)))
            return .next
        }
        if let unknown { throw EngineError(.corrupted, "an alarm is of kind \(unknown), which is not known here") }
        return alarms
    }
}

extension EngineSnapshot {
    /// `read` for a key in an array.
    @inline(__always)
    package func read(_ key: [UInt8], visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        try read(key.span.bytes, visit: visit)
    }
}
