import T4Core
import T4Protocols

/// The rows of an engine that holds what an etcd held, in the engine's order, for `LocalEngine.bulkLoad`.
///
/// etcd has its versions by revision, an engine by key: they are sorted first, in bounded memory and, where they are many,
/// with temporary files of about the size of the database. Versions that a compaction hides are left out.
///
/// One thread at a time; rows can be taken once.
final class EtcdSnapshotRows: SortedRows {
    /// What was found besides the rows.
    struct Counts: Hashable {
        /// Versions that are kept, deletions too.
        var versions: Int64 = 0
        /// Keys that are attached to a lease that the file does not have.
        var keysWithoutLease: Int64 = 0
    }

    private enum Phase { case current, history, changes, leased, system, end }

    private let snapshot: EtcdSnapshot
    private let leaseIDs: Set<Int64>
    private var phase = Phase.current
    private var versions: RowSorter.Rows
    /// Versions that are not current, on their way to the phase after that.
    private var history: RowFile
    private var historyReader: RowFile.Reader?
    private var leased: RowSorter?
    private var leasedRows: RowSorter.Rows?
    private var changes: BoltCursor?
    private var system: ArraySlice<RowFile.Row> = []
    /// Of the version before: its name without the revision.
    private var prefix: ArraySlice<UInt8> = []
    private var lastName: [UInt8] = []
    private var left: VersionsLeft
    /// What the rows add up to so far.
    private(set) var meta: MetaRow
    private(set) var counts = Counts()

    /// Reads and sorts all versions.
    /// - Parameters:
    ///   - directory: Where temporary files go.
    ///   - memoryBytes: For rows that are sorted; a quarter more is used for the keys of leases.
    /// - Throws: `BoltDatabase.Failure` for damage; of the temporary files.
    init(_ snapshot: EtcdSnapshot, directory: String, memoryBytes: Int = 64 << 20) throws {
        self.snapshot = snapshot
        leaseIDs = Set(snapshot.leases.map(\.id))
        versions = try EtcdSnapshotRows.sorted(snapshot, directory, memoryBytes)
        history = try RowFile(in: directory)
        leased = RowSorter(directory: directory, memoryBytes: memoryBytes / 4)
        left = VersionsLeft(compacted: snapshot.compacted)
        meta = MetaRow(revision: snapshot.revision, compacted: snapshot.compacted, keys: 0, digest: StateDigest())
    }

    private static func sorted(
        _ snapshot: EtcdSnapshot, _ directory: String, _ memoryBytes: Int
    ) throws -> RowSorter.Rows {
        var sorter = RowSorter(directory: directory, memoryBytes: memoryBytes)
        guard let keys = snapshot.keys else { return try sorter.sorted() }
        var cursor = try snapshot.database.cursor(keys)
        var name: [UInt8] = []
        var row: [UInt8] = []
        var last = (revision: Revision.none, sub: UInt32(0))
        while let element = try cursor.next() {
            let version = try EtcdVersion(element)
            guard last < (version.record.mod, version.record.sub) else {
                throw BoltDatabase.Failure("the change \(last.sub) of revision \(last.revision) is there twice")
            }
            last = (version.record.mod, version.record.sub)
            guard version.record.mod <= snapshot.revision else {
                throw BoltDatabase.Failure(
                    "revision \(version.record.mod) stands before the last one, \(snapshot.revision)")
            }
            name.removeAll(keepingCapacity: true)
            Keyspace.appendHistory(version.key, version.record.mod, to: &name)
            row.removeAll(keepingCapacity: true)
            version.record.append(to: &row)
            try sorter.add(name: name.span.bytes, value: row.span.bytes)
        }
        return try sorter.sorted()
    }

    func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool {
        do {
            guard let row = try nextRow() else { return false }
            visit(row.name.span.bytes, row.value.span.bytes)
            return true
        } catch {
            throw EngineError(wrapping: error, "the file cannot be read to its end")
        }
    }

    private func nextRow() throws -> RowFile.Row? {
        while true {
            switch phase {
            case .current:
                if let row = try nextCurrent() { return row }
                try history.flush()
                historyReader = RowFile.Reader(0..<history.byteCount)
                phase = .history
            case .history:
                try historyReader?.advance(in: history)
                if let row = historyReader?.head { return row }
                changes = try snapshot.keys.map { try snapshot.database.cursor($0) }
                phase = .changes
            case .changes:
                if let row = try nextChange() { return row }
                if let sorter = leased.take() { leasedRows = try sorter.sorted() }
                phase = .leased
            case .leased:
                if let row = try leasedRows?.next() { return row }
                system = systemRows()[...]
                phase = .system
            case .system:
                if let row = system.popFirst() { return row }
                phase = .end
            case .end: return nil
            }
        }
    }

    /// The next current version; those that are not current go to `history`.
    private func nextCurrent() throws -> RowFile.Row? {
        while let row = try versions.next() {
            let rowPrefix = row.name.dropLast(8)
            let isNewest = rowPrefix != prefix
            if isNewest {
                left = VersionsLeft(compacted: snapshot.compacted)
                prefix = rowPrefix
            } else if row.name == lastName {
                throw BoltDatabase.Failure("a key was changed twice in one revision")
            }
            lastName = row.name
            let header = RecordHeader(row.value.span.bytes)
            guard left.contains(header.mod, isTombstone: header.isTombstone) else { continue }
            counts.versions += 1
            guard isNewest, !header.isTombstone else {
                try history.append(name: row.name.span.bytes, value: row.value.span.bytes)
                continue
            }
            let key = Keyspace.parseHistory(row.name.span.bytes).key
            let name = Keyspace.currentKey(key)
            if header.lease != 0 {
                let empty: [UInt8] = []
                let leasedName = Keyspace.leasedKey(header.lease, key)
                try leased?.add(name: leasedName.span.bytes, value: empty.span.bytes)
                if !leaseIDs.contains(header.lease) { counts.keysWithoutLease += 1 }
            }
            meta.keys += 1
            meta.digest.add(name: name, value: row.value)
            return RowFile.Row(name: name, value: row.value)
        }
        return nil
    }

    /// The next change that a watch can still see: they are in the file in the right order.
    private func nextChange() throws -> RowFile.Row? {
        while let element = try changes?.next() {
            let version = try EtcdVersion(element)
            guard version.record.mod >= snapshot.compacted else { continue }
            var name: [UInt8] = []
            Keyspace.appendChange(version.record.mod, sub: version.record.sub, to: &name)
            var value: [UInt8] = []
            ChangeRow.append(isDelete: version.record.isTombstone, key: version.key, to: &value)
            return RowFile.Row(name: name, value: value)
        }
        return nil
    }

    private func systemRows() -> [RowFile.Row] {
        var rows = snapshot.leases.map { RowFile.Row(name: SystemRow.lease($0.id), value: $0.row) }
        rows += snapshot.alarms.map { RowFile.Row(name: SystemRow.alarm($0), value: []) }
        let accounts = snapshot.accounts
        if accounts != AuthAccounts() {
            meta.hasAuth = true
            var auth = [AuthRow.settings(isEnabled: accounts.isEnabled, revision: accounts.revision)]
            auth += accounts.users.values.map { .user($0) } + accounts.roles.values.map { .role($0) }
            rows += auth.map { RowFile.Row(name: $0.name, value: $0.value) }
        }
        for row in rows { meta.digest.add(name: row.name, value: row.value) }
        var value: [UInt8] = []
        meta.append(to: &value)
        rows.append(RowFile.Row(name: SystemRow.meta, value: value))
        return rows.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }
}
