import CLevelDB
import T4Protocols

/// A snapshot of a `LevelDBEngine`'s database, released with the last reference.
///
/// Safe to share: LevelDB's database may be used by any thread, and the snapshot and its options never change.
final class LevelDBSnapshot: EngineSnapshot, @unchecked Sendable {
    private let database: Database
    private let snapshot: OpaquePointer
    private let options: OpaquePointer

    init(_ database: Database) {
        self.database = database
        snapshot = leveldb_create_snapshot(database.handle.raw)
        options = DatabaseHandle.makeReadOptions()
        leveldb_readoptions_set_snapshot(options, snapshot)
    }

    deinit {
        leveldb_readoptions_destroy(options)
        leveldb_release_snapshot(database.handle.raw, snapshot)
    }

    /// Gets a copy from LevelDB, which is faster than an iterator: filters spare tables, and the tables and buffers of
    /// the whole database need not be gathered first. A table that somebody takes away while the engine is open counts as
    /// one without the key: LevelDB has one code for both. It looks for missing tables when it opens.
    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        var rowKey: [UInt8] = []
        rowKey.reserveCapacity(key.byteCount + 1)
        rowKey.append(Layout.rowPrefix)
        key.withUnsafeBytes { rowKey.append(contentsOf: $0) }
        do throws(LevelDBFailure) {
            return try rowKey.span.bytes.withUnsafeBytes { (rowKey) throws(LevelDBFailure) in
                try database.handle.read(rowKey, options, visit: visit)
            }
        } catch {
            throw database.engineError(error)
        }
    }

    func scan(
        _ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        if let upper = range.upper, !range.lower.lexicographicallyPrecedes(upper) { return }
        do throws(LevelDBFailure) {
            try RowIterator(database.handle.raw, options).scan(range, order, visit)
        } catch {
            throw database.engineError(error)
        }
    }
}
