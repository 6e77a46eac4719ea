// Writing protobuf. Sizes are computed first, the array grows once, and the writer is an `OutputSpan` over the new
// part. Fields hold field numbers below 16, so a tag is one byte; a field with a default value is left out.
//
// A size function and the put function of the same name belong together: an array that was sized for one is filled by
// the other, and a mismatch traps in `OutputSpan` or in `appendMessage`.

/// Bytes that numbers and fields take.
enum ProtoSize {
    /// Bytes of a number: 1 ... 10.
    @inline(__always)
    static func varint(_ value: UInt64) -> Int {
        // (significant bits + 6) / 7, with the division as a multiplication that is exact up to 64.
        ((64 &- (value | 1).leadingZeroBitCount) &* 9 &+ 64) &>> 6
    }

    /// Bytes of a length.
    @inline(__always)
    static func length(_ count: Int) -> Int { varint(UInt64(count)) }

    /// Bytes of an unsigned field.
    @inline(__always)
    static func field(_ value: UInt64) -> Int { value == 0 ? 0 : 1 &+ varint(value) }

    /// Bytes of a signed field.
    @inline(__always)
    static func field(_ value: Int64) -> Int { field(UInt64(bitPattern: value)) }

    /// Bytes of a truth value.
    @inline(__always)
    static func field(_ value: Bool) -> Int { value ? 2 : 0 }

    /// Bytes of a field of this many bytes.
    @inline(__always)
    static func bytes(_ count: Int) -> Int { count == 0 ? 0 : message(count) }

    /// Bytes of an embedded message of this size, which is there even if empty.
    @inline(__always)
    static func message(_ size: Int) -> Int { 1 &+ length(size) &+ size }
}

extension OutputSpan where Element == UInt8 {
    /// Puts a number.
    @inline(__always)
    mutating func putVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest &>>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    /// Puts an unsigned field; nothing for 0.
    @inline(__always)
    mutating func put(_ value: UInt64, field: UInt8) {
        guard value != 0 else { return }
        append(field &<< 3)
        putVarint(value)
    }

    /// Puts a signed field; nothing for 0.
    @inline(__always)
    mutating func put(_ value: Int64, field: UInt8) { put(UInt64(bitPattern: value), field: field) }

    /// Puts a truth value; nothing for false.
    @inline(__always)
    mutating func put(_ value: Bool, field: UInt8) { put(value ? 1 as UInt64 : 0, field: field) }

    /// Puts a field of bytes; nothing for none.
    @inline(__always)
    mutating func put(_ bytes: RawSpan, field: UInt8) {
        guard bytes.byteCount > 0 else { return }
        putMessage(size: bytes.byteCount, field: field)
        putRaw(bytes)
    }

    /// Puts what stands before an embedded message.
    @inline(__always)
    mutating func putMessage(size: Int, field: UInt8) {
        append(field &<< 3 | 2)
        putVarint(UInt64(size))
    }

    /// Puts bytes as they are.
    @inline(__always)
    mutating func putRaw(_ bytes: RawSpan) {
        withUnsafeMutableBufferPointer { buffer, count in
            precondition(bytes.byteCount <= buffer.count - count, "a message is larger than its computed size")
            guard bytes.byteCount > 0, let start = buffer.baseAddress else { return }
            bytes.withUnsafeBytes { source in
                guard let first = source.baseAddress else { return }
                UnsafeMutableRawPointer(start + count).copyMemory(from: first, byteCount: source.count)
            }
            count += bytes.byteCount
        }
    }
}

extension [UInt8] {
    /// Appends a message of a size known beforehand.
    @inline(__always)
    mutating func appendMessage(size: Int, _ write: (inout OutputSpan<UInt8>) -> Void) {
        append(addingCapacity: size) { output in
            write(&output)
            precondition(output.freeCapacity == 0, "a message is smaller than its computed size")
        }
    }
}
