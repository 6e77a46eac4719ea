import T4Protocols

/// One batch as it lies in the file. All numbers are little-endian.
///
/// ```
/// bytes of what follows the checksum (8), checksum of that (8)
/// term (8), index (8)
/// for each change: bytes of the key (8), bytes of the value or 2^64 - 1 for a delete (8), key, value
/// ```
struct LogRecord {
    static let headerSizeBytes = 16
    private static let deleted = UInt64.max

    private(set) var bytes: [UInt8]

    /// A record without changes.
    init(_ position: LogPosition) {
        bytes = [UInt8](repeating: 0, count: Self.headerSizeBytes)
        append(position.term)
        append(position.index)
    }

    /// The record at the start of some bytes; nil where there is no whole one.
    init?(startOf content: ArraySlice<UInt8>) {
        guard let size = content.number(at: 0), let checksum = content.number(at: 8),
            size >= 16, size <= UInt64(content.count - Self.headerSizeBytes)
        else { return nil }
        let record = content.prefix(Self.headerSizeBytes + Int(size))
        guard Self.checksum(record.dropFirst(Self.headerSizeBytes)) == checksum else { return nil }
        bytes = Array(record)
    }

    var position: LogPosition {
        LogPosition(term: bytes[...].number(at: 16) ?? 0, index: bytes[...].number(at: 24) ?? 0)
    }

    /// Adds a change; the value is nil for a delete.
    mutating func add(_ key: RawSpan, _ value: RawSpan?) throws(EngineError) {
        try Self.check(key, value)
        append(UInt64(key.byteCount))
        if let value { append(UInt64(value.byteCount)) } else { append(Self.deleted) }
        key.withUnsafeBytes { bytes.append(contentsOf: $0) }
        value?.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    /// Fills in size and checksum; to be called when all changes are in.
    mutating func seal() {
        let checksum = Self.checksum(bytes.dropFirst(Self.headerSizeBytes))
        for (offset, number) in [(0, UInt64(bytes.count - Self.headerSizeBytes)), (8, checksum)] {
            withUnsafeBytes(of: number.littleEndian) { bytes.replaceSubrange(offset..<(offset + 8), with: $0) }
        }
    }

    /// Visits the changes.
    /// - Returns: False when the record is not one that `add` has made.
    func forEachChange(_ visit: (RawSpan, RawSpan?) -> Void) -> Bool {
        var rest = bytes.dropFirst(Self.headerSizeBytes + 16)
        while !rest.isEmpty {
            guard let keySize = rest.number(at: 0), let valueSize = rest.number(at: 8) else { return false }
            rest = rest.dropFirst(16)
            guard keySize <= UInt64(rest.count) else { return false }
            let key = Array(rest.prefix(Int(keySize)))
            rest = rest.dropFirst(key.count)
            if valueSize == Self.deleted {
                visit(key.span.bytes, nil)
            } else {
                guard valueSize <= UInt64(rest.count) else { return false }
                let value = Array(rest.prefix(Int(valueSize)))
                rest = rest.dropFirst(value.count)
                visit(key.span.bytes, value.span.bytes)
            }
        }
        return true
    }

    /// Refuses what no engine takes.
    static func check(_ key: RawSpan, _ value: RawSpan?) throws(EngineError) {
        guard EngineLimits.keyBytes.contains(key.byteCount) else {
            throw EngineError(.invalidArgument, "key of \(key.byteCount) bytes")
        }
        guard (value?.byteCount ?? 0) <= EngineLimits.valueBytesMax else {
            throw EngineError(.invalidArgument, "value of \(value?.byteCount ?? 0) bytes")
        }
    }

    private mutating func append(_ number: UInt64) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Mixes in eight bytes at a time. Each step is one-to-one, so a change within any eight bytes changes the result.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.withUnsafeBytes { bytes in
            var sum = UInt64(bytes.count) ^ 0x9E37_79B9_7F4A_7C15
            var offset = 0
            while offset < bytes.count {
                var word: UInt64 = 0
                if offset + 8 <= bytes.count {
                    word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                } else {
                    for index in offset..<bytes.count { word = word << 8 | UInt64(bytes[index]) }
                }
                sum = (sum ^ word) &* 0xD6E8_FEB8_6659_FD93
                sum ^= sum >> 32
                offset += 8
            }
            return sum
        }
    }
}

extension ArraySlice<UInt8> {
    /// The little-endian number at an offset from the start; nil beyond the end.
    fileprivate func number(at offset: Int) -> UInt64? {
        guard offset + 8 <= count else { return nil }
        return withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
    }
}
