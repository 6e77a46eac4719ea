public import Logging
public import T4Protocols

/// Reads a database without changing it.
///
/// From a data directory, also while a node runs in it: what the engine has, and on top of that the entries of the log that
/// it does not have yet. From a checkpoint where it lies in its object store: only the parts that a question needs, with the
/// answers that a directory restored from it would give.
public struct Inspection: Sendable {
    /// The database as a whole.
    public struct Summary: Sendable {
        /// What was read.
        public enum Source: Hashable, Sendable {
            /// A data directory: the engine in use, where that keeps its files, and how many entries of the log it did
            /// not have.
            case dataDirectory(String, engine: String, engineDirectory: String, entriesReplayed: UInt64)
            /// A checkpoint, by its name in the object store.
            case checkpoint(String)
        }

        /// What was read.
        public var source: Source
        /// Identity of the database, 32 hexadecimal digits.
        public var databaseID: String
        /// The newest revision.
        public var revision: Revision
        /// History below it is gone.
        public var compactedRevision: Revision
        /// Keys that exist at the newest revision.
        public var keyCount: Int64
        /// Position of the last log entry.
        public var lastEntry: LogPosition
    }

    /// What is wrong with a directory.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What is wrong, and where.
        public var description: String
    }

    /// A version of a key with the revision of the version before, 0 for none or where it has been compacted.
    public struct Version: Hashable, Sendable {
        /// The version.
        public var kv: KeyValue
        /// Revision of the version before.
        public var previousRevision: Revision
        /// True for a deletion; `kv` then holds only key and mod revision.
        public var isDeletion: Bool
    }

    /// Visits the changes of the keys with a prefix, in any order.
    typealias ForEachChange =
        @Sendable (
            _ prefix: [UInt8], _ revisions: ClosedRange<Revision>, _ visit: (_ key: [UInt8], Revision) -> Void
        ) throws -> Void

    /// The database as a whole.
    public let summary: Summary
    let reader: StateReader
    let forEachChange: ForEachChange

    /// Opens a data directory.
    /// - Parameter registry: Must know the engine that the directory was last used with.
    /// - Throws: A description: no data directory, a damaged log (with file and offset), an engine that this build
    ///   does not have.
    public init(dataDirectory: String, registry: BackendRegistry, logger: Logger) throws {
        guard DurableFile.isDirectory(dataDirectory), let identity = try DataDirectory.readIdentity(dataDirectory)
        else {
            throw Failure(description: "\(dataDirectory) is not a data directory of t4: it has no file named database")
        }
        var attempt = 1
        var content = try Content(dataDirectory, identity.database, registry, logger)
        while content.isLogPruned {
            guard attempt < Inspection.attemptsMax else {
                if let removed = content.removed { throw removed }
                throw Failure(
                    description:
                        "the log in \(dataDirectory)/wal begins with entry \(content.logStart.index + 1), and the engine "
                        + "stands at entry \(content.applied.index): entries between are missing")
            }
            attempt += 1
            content = try Content(dataDirectory, identity.database, registry, logger)
        }
        self.init(
            try StateReader(OverlaySnapshot(base: content.base, changes: content.changes)),
            databaseID: identity.database, lastEntry: max(content.logEnd, content.applied),
            source: .dataDirectory(
                dataDirectory, engine: content.engine, engineDirectory: content.engineDirectory,
                entriesReplayed: content.replayed))
    }

    /// Views of the engine that are taken while a running node removes the log behind each.
    private static let attemptsMax = 16

    /// - Parameter forEachChange: Nil to read all changes of these revisions.
    init(
        _ reader: StateReader, databaseID: DatabaseID, lastEntry: LogPosition, source: Summary.Source,
        forEachChange: ForEachChange? = nil
    ) {
        self.reader = reader
        self.forEachChange =
            forEachChange ?? { prefix, revisions, visit in
                let range = Keyspace.changes(from: revisions.lowerBound, through: revisions.upperBound)
                try reader.snapshot.scan(range, order: .ascending) { name, row in
                    let change = ChangeRow(row)
                    if change.key.starts(with: prefix) {
                        visit(change.key, Revision(name.bigEndian(at: 1, as: Int64.self)))
                    }
                    return .next
                }
            }
        summary = Summary(
            source: source, databaseID: "\(databaseID)", revision: reader.meta.revision,
            compactedRevision: reader.meta.compacted, keyCount: Int64(clamping: reader.meta.keys), lastEntry: lastEntry)
    }

    /// The newest version of a key; nil when it does not exist.
    public func get(_ key: [UInt8]) throws -> Version? {
        guard let record = try reader.latest(key) else { return nil }
        return try version(record.keyValue(key))
    }

    /// Keys with a prefix in key order; `limit` 0 for all.
    public func list(prefix: [UInt8], limit: Int) throws -> [Version] {
        var kvs: [KeyValue] = []
        try reader.forEachLatest(in: KeyRange(prefix: prefix)) { key, row in
            kvs.append(StoredRecord(row).keyValue(key.copyBytes()))
            return limit > 0 && kvs.count == limit ? .stop : .next
        }
        return try kvs.map(version)
    }

    /// Number of keys with a prefix. Of all keys it is known, others are counted.
    public func count(prefix: [UInt8]) throws -> Int64 {
        prefix.isEmpty ? summary.keyCount : try reader.keyCount(in: KeyRange(prefix: prefix))
    }

    /// The versions and deletions of a key that compaction leaves, whether the others have been removed yet or not,
    /// oldest first; the last `limit`, 0 for all.
    public func history(_ key: [UInt8], limit: Int) throws -> [Version] {
        var versions: [Version] = []
        var records = try reader.latest(key).map { [$0] } ?? []
        try reader.snapshot.scan(KeyRange(prefix: Keyspace.historyPrefix(key)), order: .ascending) { _, row in
            records.append(StoredRecord(row))
            return .next
        }
        var left = VersionsLeft(compacted: reader.meta.compacted)
        records = records.filter { left.contains($0.mod, isTombstone: $0.isTombstone) }
        var previous = Revision.none
        for record in records.reversed() {
            versions.append(
                Version(
                    kv: record.keyValue(key), previousRevision: previous, isDeletion: record.isTombstone))
            previous = record.isTombstone ? .none : record.mod
        }
        return limit > 0 ? Array(versions.suffix(limit)) : versions
    }

    private func version(_ kv: KeyValue) throws(EngineError) -> Version {
        var previous = Revision.none
        if kv.version > 1, kv.modRevision > reader.meta.compacted {
            let before = Revision(kv.modRevision.rawValue - 1)
            previous = try reader.version(of: kv.key, at: before)?.mod ?? .none
        }
        return Version(kv: kv, previousRevision: previous, isDeletion: false)
    }
}
