import Testing

@testable import T4Server

/// The reader's own rules, at their borders.
struct ProtoReaderTests {
    private func skipAll(_ bytes: [UInt8]) throws(WireFailure) {
        var span = bytes.span.bytes
        while let tag = try span.nextTag() { try span.skipField(tag) }
    }

    private func varint(_ bytes: [UInt8]) throws(WireFailure) -> UInt64 {
        var span = bytes.span.bytes
        return try span.nextVarint()
    }

    @Test func numbers() throws {
        let ones = [UInt8](repeating: 0xFF, count: 9)
        #expect(try varint([0x7F]) == 127)
        #expect(try varint([0x80, 0x01]) == 128)
        #expect(try varint([0x80, 0x80, 0x00]) == 0)
        #expect(try varint(ones + [0x01]) == .max)
        #expect(throws: WireFailure.malformed(.overlongNumber)) { try varint(ones + [0x02]) }
        #expect(throws: WireFailure.malformed(.overlongNumber)) { try varint(ones + [0x81, 0x00]) }
        #expect(throws: WireFailure.malformed(.truncated)) { try varint(ones) }
        #expect(throws: WireFailure.malformed(.truncated)) { try varint([]) }
    }

    @Test func tags() throws {
        try skipAll([0x78, 0x05])
        #expect(throws: WireFailure.malformed(.invalidTag)) { try skipAll([0x00, 0x00]) }
        #expect(throws: WireFailure.malformed(.invalidTag)) { try skipAll([0x80, 0x00, 0x00]) }
        #expect(throws: WireFailure.malformed(.invalidTag)) { try skipAll([0x0E]) }
        #expect(throws: WireFailure.malformed(.invalidTag)) { try skipAll([0x0F]) }
        // The largest field number, and one more.
        try skipAll([0xF8, 0xFF, 0xFF, 0xFF, 0x0F, 0x00])
        #expect(throws: WireFailure.malformed(.invalidTag)) { try skipAll([0x80, 0x80, 0x80, 0x80, 0x10, 0x00]) }
    }

    @Test func groups() throws {
        try skipAll([0x0B, 0x10, 0x01, 0x13, 0x14, 0x0C])
        #expect(throws: WireFailure.malformed(.unmatchedGroup)) { try skipAll([0x0B]) }
        #expect(throws: WireFailure.malformed(.unmatchedGroup)) { try skipAll([0x0C]) }
        #expect(throws: WireFailure.malformed(.unmatchedGroup)) { try skipAll([0x0B, 0x14]) }
        let deep = RawSpan.groupDepthMax
        try skipAll([UInt8](repeating: 0x0B, count: deep) + [UInt8](repeating: 0x0C, count: deep))
        #expect(throws: WireFailure.malformed(.nestedTooDeep)) {
            try skipAll([UInt8](repeating: 0x0B, count: 1_000_000))
        }
    }

    @Test func lengths() throws {
        try skipAll([0x0A, 0x02, 1, 2])
        #expect(throws: WireFailure.malformed(.truncated)) { try skipAll([0x0A, 0x03, 1, 2]) }
        #expect(throws: WireFailure.malformed(.truncated)) {
            try skipAll([0x0A] + [UInt8](repeating: 0xFF, count: 9) + [0x01])
        }
        #expect(throws: WireFailure.malformed(.truncated)) { try skipAll([0x09, 1, 2, 3, 4, 5, 6, 7]) }
        #expect(throws: WireFailure.malformed(.truncated)) { try skipAll([0x0D, 1, 2, 3]) }
    }
}
