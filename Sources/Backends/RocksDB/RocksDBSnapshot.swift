import CRocksDB
import T4Protocols

/// A snapshot of a `RocksDBEngine`, let go with the last reference.
///
/// Safe to share: nothing changes after `init`, and RocksDB promises that a snapshot "is an immutable object and can
/// therefore be safely accessed from multiple threads without any external synchronization".
final class RocksDBSnapshot: EngineSnapshot, @unchecked Sendable {
    private let database: Database
    private let snapshot: OpaquePointer
    private let options: OpaquePointer

    init(_ database: Database) {
        self.database = database
        snapshot = rocksdb_create_snapshot(database.raw)
        options = rocksdb_readoptions_create()
        rocksdb_readoptions_set_snapshot(options, snapshot)
    }

    deinit {
        rocksdb_readoptions_destroy(options)
        rocksdb_release_snapshot(database.raw, snapshot)
    }

    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        // The empty key holds the head row.
        guard key.byteCount > 0 else { return false }
        return try database.read(key, options) { visit($0.bytes) }
    }

    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) throws(EngineError) {
        if let upper = range.upper, !range.lower.lexicographicallyPrecedes(upper) { return }
        let lower = range.lower.isEmpty ? Layout.firstKey : range.lower
        try lend(lower.span.bytes) { (lower, lowerSize) throws(EngineError) in
            // RocksDB refers to the bounds as long as the iterator lives.
            let bounds: OpaquePointer = rocksdb_readoptions_create()
            defer { rocksdb_readoptions_destroy(bounds) }
            rocksdb_readoptions_set_snapshot(bounds, snapshot)
            rocksdb_readoptions_set_iterate_lower_bound(bounds, lower, lowerSize)
            guard let upper = range.upper else { return try scan(bounds, order, visit) }
            try lend(upper.span.bytes) { (upper, upperSize) throws(EngineError) in
                rocksdb_readoptions_set_iterate_upper_bound(bounds, upper, upperSize)
                try scan(bounds, order, visit)
            }
        }
    }

    /// Visits everything within the bounds. RocksDB reads ahead by itself once it sees that a scan goes on.
    private func scan(
        _ bounds: OpaquePointer, _ order: ScanOrder, _ visit: (RawSpan, RawSpan) -> ScanStep
    ) throws(EngineError) {
        let iterator = rocksdb_create_iterator(database.raw, bounds)
        defer { rocksdb_iter_destroy(iterator) }
        switch order {
        case .ascending: rocksdb_iter_seek_to_first(iterator)
        case .descending: rocksdb_iter_seek_to_last(iterator)
        }
        while rocksdb_iter_valid(iterator) != 0 {
            var keySize = 0
            var valueSize = 0
            let key = UnsafeRawBufferPointer(start: rocksdb_iter_key(iterator, &keySize), count: keySize)
            let value = UnsafeRawBufferPointer(start: rocksdb_iter_value(iterator, &valueSize), count: valueSize)
            if visit(key.bytes, value.bytes) == .stop { return }
            switch order {
            case .ascending: rocksdb_iter_next(iterator)
            case .descending: rocksdb_iter_prev(iterator)
            }
        }
        try check("rocksdb_iter_get_error", on: database.directory) { rocksdb_iter_get_error(iterator, &$0) }
    }
}
