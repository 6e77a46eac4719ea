import CLevelDB
import T4Protocols

/// Changes that LevelDB makes as one.
struct Batch: ~Copyable {
    let raw: OpaquePointer
    /// Bytes of the keys and values that were added.
    private(set) var byteCount = 0
    private var rowKey: [UInt8] = []

    init() { raw = leveldb_writebatch_create() }

    deinit { leveldb_writebatch_destroy(raw) }

    /// Sets a row.
    mutating func put(_ key: RawSpan, _ value: RawSpan) {
        setRowKey(key)
        byteCount += rowKey.count + value.byteCount
        value.withUnsafeBytes { Batch.put(raw, rowKey, $0) }
    }

    /// Removes a row.
    mutating func delete(_ key: RawSpan) {
        setRowKey(key)
        byteCount += rowKey.count
        rowKey.withUnsafeBytes { leveldb_writebatch_delete(raw, $0.characters, $0.count) }
    }

    /// Sets a record of our own.
    mutating func putRecord(_ key: [UInt8], _ value: [UInt8]) {
        value.withUnsafeBytes { Batch.put(raw, key, $0) }
    }

    /// Removes a record of our own.
    mutating func deleteRecord(_ key: [UInt8]) {
        key.withUnsafeBytes { leveldb_writebatch_delete(raw, $0.characters, $0.count) }
    }

    /// Records the position of the batch.
    mutating func putPosition(_ position: LogPosition) {
        withUnsafeBytes(of: (position.term.bigEndian, position.index.bigEndian)) {
            Batch.put(raw, Layout.positionKey, $0)
        }
    }

    private mutating func setRowKey(_ key: RawSpan) {
        rowKey.removeAll(keepingCapacity: true)
        rowKey.append(Layout.rowPrefix)
        key.withUnsafeBytes { rowKey.append(contentsOf: $0) }
    }

    private static func put(_ raw: OpaquePointer, _ key: [UInt8], _ value: UnsafeRawBufferPointer) {
        key.withUnsafeBytes { key in
            // LevelDB wants a pointer for an empty value too.
            let start = value.isEmpty ? key : value
            leveldb_writebatch_put(raw, key.characters, key.count, start.characters, value.count)
        }
    }
}
