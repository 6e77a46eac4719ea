/// Puts and deletes that an engine applies as one.
///
/// Keys and values are copied into one buffer, so that a batch costs a handful of allocations whatever its size.
public struct WriteBatch: Sendable {
    @usableFromInline
    struct Change: Sendable {
        @usableFromInline var key: Range<Int>
        /// Nil for a delete.
        @usableFromInline var value: Range<Int>?

        @usableFromInline
        init(key: Range<Int>, value: Range<Int>?) {
            self.key = key
            self.value = value
        }
    }

    @usableFromInline var storage: [UInt8] = []
    @usableFromInline var changes: [Change] = []

    /// An empty batch.
    public init() {}

    /// Number of changes.
    public var count: Int { changes.count }

    /// True when the batch holds no change.
    public var isEmpty: Bool { changes.isEmpty }

    /// Bytes of all keys and values.
    public var byteCount: Int { storage.count }

    /// Sets `key` to `value`.
    public mutating func put(_ key: [UInt8], _ value: [UInt8]) {
        let start = storage.count
        storage.append(contentsOf: key)
        let middle = storage.count
        storage.append(contentsOf: value)
        changes.append(Change(key: start..<middle, value: middle..<storage.count))
    }

    /// As `put(_:_:)`, with both written in place by closures that append to the batch's buffer.
    @inlinable
    public mutating func put(key: (inout [UInt8]) -> Void, value: (inout [UInt8]) -> Void) {
        let start = storage.count
        key(&storage)
        let middle = storage.count
        value(&storage)
        changes.append(Change(key: start..<middle, value: middle..<storage.count))
    }

    /// As `delete(_:)`, with the key written in place by a closure that appends to the batch's buffer.
    @inlinable
    public mutating func delete(key: (inout [UInt8]) -> Void) {
        let start = storage.count
        key(&storage)
        changes.append(Change(key: start..<storage.count, value: nil))
    }

    /// Removes `key`; no effect when it is absent.
    public mutating func delete(_ key: [UInt8]) {
        let start = storage.count
        storage.append(contentsOf: key)
        changes.append(Change(key: start..<storage.count, value: nil))
    }

    /// Forgets all changes and keeps the memory.
    public mutating func removeAll() {
        storage.removeAll(keepingCapacity: true)
        changes.removeAll(keepingCapacity: true)
    }

    /// Visits the changes in the order they were made; the value is nil for a delete.
    public func forEach<Failure: Error>(_ visit: (RawSpan, RawSpan?) throws(Failure) -> Void) throws(Failure) {
        let bytes = storage.span.bytes
        for change in changes {
            if let value = change.value {
                try visit(bytes.extracting(change.key), bytes.extracting(value))
            } else {
                try visit(bytes.extracting(change.key), nil)
            }
        }
    }
}
