/// Reads big-endian integers and byte strings one after another.
struct ByteCursor {
    private let storage: [UInt8]
    private var offset = 0

    init(_ storage: [UInt8]) { self.storage = storage }

    var isAtEnd: Bool { offset == storage.count }

    /// Nil when too few bytes are left, as with all that follow.
    mutating func integer<Integer: FixedWidthInteger>() -> Integer? {
        let size = MemoryLayout<Integer>.size
        guard storage.count - offset >= size else { return nil }
        defer { offset += size }
        return storage.span.bytes.bigEndian(at: offset)
    }

    mutating func bytes(_ count: UInt32) -> [UInt8]? {
        guard storage.count - offset >= Int(count) else { return nil }
        defer { offset += Int(count) }
        return Array(storage[offset..<offset + Int(count)])
    }

    /// A number of bytes (4) and the bytes.
    mutating func counted() -> [UInt8]? {
        guard let count: UInt32 = integer() else { return nil }
        return bytes(count)
    }

    /// All that is left.
    mutating func rest() -> [UInt8] {
        defer { offset = storage.count }
        return Array(storage[offset...])
    }
}
