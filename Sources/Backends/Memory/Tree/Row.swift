/// A key with its value in one allocation; as a separator of an inner node or as the mark of a removal, a key alone.
///
/// The bytes are written once, in `make`, before any other thread can see the row.
package final class Row: ManagedBuffer<Row.Sizes, UInt8> {
    package struct Sizes {
        var key: Int
        var value: Int
        var isRemoval: Bool
    }

    package static func make(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, isRemoval: Bool = false
    ) -> Row {
        let buffer = Row.create(minimumCapacity: key.count + value.count) { _ in
            Sizes(key: key.count, value: value.count, isRemoval: isRemoval)
        }
        buffer.withUnsafeMutablePointerToElements { start in
            let bytes = UnsafeMutableRawPointer(start)
            if let source = key.baseAddress { bytes.copyMemory(from: source, byteCount: key.count) }
            if let source = value.baseAddress { (bytes + key.count).copyMemory(from: source, byteCount: value.count) }
        }
        return unsafeDowncast(buffer, to: Row.self)
    }

    /// The key without the value, so that a separator does not keep a deleted value alive.
    func separator() -> Row {
        withExtendedLifetime(self) { Row.make(key: key, value: UnsafeRawBufferPointer(start: nil, count: 0)) }
    }

    /// Says of a tree that lies over something else that the key is not there.
    package var isRemoval: Bool { header.isRemoval }

    /// Bytes of the key; valid as long as the row.
    package var key: UnsafeRawBufferPointer {
        withUnsafeMutablePointers { UnsafeRawBufferPointer(start: $1, count: $0.pointee.key) }
    }

    /// Bytes of the value; valid as long as the row.
    package var value: UnsafeRawBufferPointer {
        withUnsafeMutablePointers {
            UnsafeRawBufferPointer(start: $1 + $0.pointee.key, count: $0.pointee.value)
        }
    }

    /// Bytes that the row adds to the tree: key, value, object header and its place in a leaf.
    var byteCount: Int { header.key + header.value + 64 }
}

/// Number of leading bytes that both have in common.
func sharedPrefix(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Int {
    let end = min(left.count, right.count)
    var index = 0
    while index < end, left[index] == right[index] { index += 1 }
    return index
}

/// The 8 bytes of `key` after `skipped`, zero-filled, as a number that orders as they do.
@inline(__always)
func head(of key: UnsafeRawBufferPointer, after skipped: Int) -> UInt64 {
    let left = key.count - skipped
    guard left < 8 else { return UInt64(bigEndian: key.loadUnaligned(fromByteOffset: skipped, as: UInt64.self)) }
    var head: UInt64 = 0
    for index in 0..<max(left, 0) { head |= UInt64(key[skipped + index]) << UInt64(56 - 8 * index) }
    return head
}
