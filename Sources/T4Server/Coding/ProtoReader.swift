// Reading protobuf. The reader is a `RawSpan` variable: every call checks the bounds and takes what it has read off
// the front, so a message is read until its span is empty and an embedded message is read from a span of its own.
//
// The unchecked accesses of this file each stand behind the comparison with `byteCount` that makes them safe.

extension RawSpan {
    /// Deepest nesting of groups in an unknown field.
    package static var groupDepthMax: Int { 100 }

    /// Takes the tag of the next field: field number * 8 + wire type. Nil at the end of the message.
    ///
    /// Fields with a known number but another wire type are unknown fields: pass every tag that is not expected to
    /// `skipField`.
    @inline(__always)
    package mutating func nextTag() throws(WireFailure) -> UInt32? {
        guard byteCount > 0 else { return nil }
        let first = unsafeLoad(fromUncheckedByteOffset: 0, as: UInt8.self)
        if first < 0x80 {
            dropFirst(1)
            return UInt32(first)
        }
        let tag = try nextLongVarint()
        guard tag <= UInt64(UInt32.max) else { throw .malformed(.invalidTag) }
        return UInt32(truncatingIfNeeded: tag)
    }

    /// Takes a number.
    @inline(__always)
    package mutating func nextVarint() throws(WireFailure) -> UInt64 {
        guard byteCount > 0 else { throw .malformed(.truncated) }
        let first = unsafeLoad(fromUncheckedByteOffset: 0, as: UInt8.self)
        guard first >= 0x80 else {
            dropFirst(1)
            return UInt64(first)
        }
        return try nextLongVarint()
    }

    /// Takes a signed number, negative ones in ten bytes.
    @inline(__always)
    package mutating func nextInt64() throws(WireFailure) -> Int64 { Int64(bitPattern: try nextVarint()) }

    /// Takes an enum's number; like every protobuf decoder it ignores the upper half.
    @inline(__always)
    package mutating func nextEnum() throws(WireFailure) -> Int32 { Int32(truncatingIfNeeded: try nextVarint()) }

    /// Takes a truth value: any number but 0.
    @inline(__always)
    package mutating func nextBool() throws(WireFailure) -> Bool { try nextVarint() != 0 }

    /// Takes a length and as many bytes.
    @inline(__always)
    package mutating func nextBytes() throws(WireFailure) -> [UInt8] {
        let count = try nextLength()
        let bytes = extracting(unchecked: 0..<count).withUnsafeBytes { [UInt8]($0) }
        dropFirst(count)
        return bytes
    }

    /// Takes a length and hands out as many bytes: an embedded message or packed numbers.
    @inline(__always)
    package mutating func nextMessage(
        _ read: (inout RawSpan) throws(WireFailure) -> Void
    ) throws(WireFailure) {
        let count = try nextLength()
        var message = extracting(unchecked: 0..<count)
        dropFirst(count)
        try read(&message)
    }

    /// Takes the rest of a field whose tag is not expected.
    package mutating func skipField(_ tag: UInt32) throws(WireFailure) {
        try skipField(tag, depth: 0)
    }

    private mutating func skipField(_ tag: UInt32, depth: Int) throws(WireFailure) {
        guard tag >> 3 != 0 else { throw .malformed(.invalidTag) }
        switch tag & 7 {
        case 0: _ = try nextVarint()
        case 1: try skipBytes(8)
        case 2: dropFirst(try nextLength())
        case 3: try skipGroup(tag, depth: depth)
        case 4: throw .malformed(.unmatchedGroup)
        case 5: try skipBytes(4)
        default: throw .malformed(.invalidTag)
        }
    }

    private mutating func skipGroup(_ start: UInt32, depth: Int) throws(WireFailure) {
        guard depth < Self.groupDepthMax else { throw .malformed(.nestedTooDeep) }
        while let tag = try nextTag() {
            if tag & 7 == 4 {
                guard tag == start + 1 else { throw .malformed(.unmatchedGroup) }
                return
            }
            try skipField(tag, depth: depth + 1)
        }
        throw .malformed(.unmatchedGroup)
    }

    private mutating func skipBytes(_ count: Int) throws(WireFailure) {
        guard count <= byteCount else { throw .malformed(.truncated) }
        dropFirst(count)
    }

    /// Takes a length; the result is not above `byteCount`.
    @inline(__always)
    private mutating func nextLength() throws(WireFailure) -> Int {
        let length = try nextVarint()
        guard length <= UInt64(byteCount) else { throw .malformed(.truncated) }
        return Int(truncatingIfNeeded: length)
    }

    @inline(never)
    private mutating func nextLongVarint() throws(WireFailure) -> UInt64 {
        var value: UInt64 = 0
        let longest = Swift.min(byteCount, 10)
        var index = 0
        while index < longest {
            let byte = unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self)
            // The tenth byte holds the last of 64 bits.
            guard index < 9 || byte <= 1 else { throw .malformed(.overlongNumber) }
            value |= UInt64(byte & 0x7F) &<< UInt64(index &* 7)
            index &+= 1
            if byte < 0x80 {
                dropFirst(index)
                return value
            }
        }
        throw .malformed(.truncated)
    }

    /// `count` must not be above `byteCount`.
    @inline(__always)
    private mutating func dropFirst(_ count: Int) {
        self = extracting(unchecked: count..<byteCount)
    }
}
