import T4Protocols

// Reading everything that the database still knows, for a copy of it in another form. The rows in the order of their
// revisions come from two places: what was written after the compacted revision has its rows in the changes keyspace,
// what is older has only its versions, which are in the order of keys.
extension StateReader {
    /// Visits, in no particular order, every version from the time up to the compacted revision that can still be seen
    /// at that revision, and the deletions of that revision itself, with which a watch may start.
    package func forEachCompactedVersion(_ visit: (_ key: [UInt8], RecordHeader) throws -> Void) throws {
        let compacted = meta.compacted
        guard compacted > .none else { return }
        try snapshot.forEach(in: Keyspace.range(.all, in: Keyspace.current)) { name, row in
            let header = RecordHeader(row)
            if header.mod <= compacted { try visit(name.extracting(droppingFirst: 1).copyBytes(), header) }
        }
        // Versions of one key follow each other, newest first: only the first one at or before the compacted revision
        // counts, whether or not the older ones have been removed by now.
        var decided: [UInt8] = []
        try snapshot.forEach(in: Keyspace.range(.all, in: Keyspace.history)) { name, row in
            let header = RecordHeader(row)
            guard header.mod <= compacted else { return }
            let prefix = name.extracting(droppingLast: 8)
            guard !decided.isEqual(to: prefix) else { return }
            decided = prefix.copyBytes()
            if header.isTombstone, header.mod < compacted { return }
            let key = Keyspace.parseHistory(name).key
            var isReplaced = false
            _ = try snapshot.read(Keyspace.currentKey(key)) { isReplaced = RecordHeader($0).mod <= compacted }
            if !isReplaced { try visit(key, header) }
        }
    }

    /// Visits every change made after the compacted revision, in the order of writing.
    package func forEachChangeAfterCompaction(
        _ visit: (Revision, _ sub: UInt32, ChangeRow) throws -> Void
    ) throws {
        let first = max(meta.compacted, .none).next
        guard first <= meta.revision else { return }
        try snapshot.forEach(in: Keyspace.changes(from: first, through: meta.revision)) { name, row in
            let revision = Revision(name.bigEndian(at: 1, as: Int64.self))
            try visit(revision, name.bigEndian(at: 9, as: UInt32.self), ChangeRow(row))
        }
    }

    /// Lends the row (`StoredRecord`) that `revision` wrote for `key`, wherever it stands by now.
    /// - Throws: `.corrupted` when the engine does not have it, and what `visit` throws.
    package func withVersion(
        of key: [UInt8], writtenAt revision: Revision, _ visit: (RawSpan) throws -> Void
    ) throws {
        var failure: (any Error)?
        var isFound = false
        func visitIfMeant(_ row: RawSpan) {
            guard RecordHeader(row).mod == revision else { return }
            isFound = true
            do { try visit(row) } catch { failure = error }
        }
        _ = try snapshot.read(Keyspace.currentKey(key), visit: visitIfMeant)
        if !isFound { _ = try snapshot.read(Keyspace.historyKey(key, revision), visit: visitIfMeant) }
        if let failure { throw failure }
        guard isFound else {
            throw EngineError(.corrupted, "the version that revision \(revision) wrote is missing from the engine")
        }
    }
}

extension EngineSnapshot {
    /// An ascending scan whose visitor may throw, which ends it.
    fileprivate func forEach(in range: KeyRange, _ visit: (RawSpan, RawSpan) throws -> Void) throws {
        var failure: (any Error)?
        try scan(range, order: .ascending) { key, value in
            do {
                try visit(key, value)
                return .next
            } catch {
                failure = error
                return .stop
            }
        }
        if let failure { throw failure }
    }
}
