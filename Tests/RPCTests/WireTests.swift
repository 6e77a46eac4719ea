import NIOCore
import Testing

@testable import RPC

@Suite struct WireTests {
    @Test func percentEncodingRoundTrips() {
        for text in ["", "plain", "100%", "a\nb", "größe", "%zz", "\u{1F600}"] {
            let encoded = PercentEncoding.encode(text)
            #expect(encoded.allSatisfy { (0x20...0x7e).contains($0) })
            #expect(encoded.withUnsafeBufferPointer(PercentEncoding.decode) == text)
        }
        #expect(PercentEncoding.encode("a%é") == Array("a%25%C3%A9".utf8))
        #expect(Array("%4".utf8).withUnsafeBufferPointer(PercentEncoding.decode) == "%4")
        #expect(Array("%zz1".utf8).withUnsafeBufferPointer(PercentEncoding.decode) == "%zz1")
    }

    private func parse(_ text: String) -> GRPCTimeout.Parsed {
        Array(text.utf8).withUnsafeBufferPointer(GRPCTimeout.parse)
    }

    @Test func timeoutsAreRead() {
        #expect(parse("5S") == .nanoseconds(5_000_000_000))
        #expect(parse("1n") == .nanoseconds(1))
        #expect(parse("99999999H") == .nanoseconds(.max / 2))
        #expect(parse("S") == .malformed("transport: timeout string is too short: \"S\""))
        #expect(parse("123456789S") == .malformed("transport: timeout string is too long: \"123456789S\""))
        #expect(parse("5x") == .malformed("transport: timeout unit is not recognized: \"5x\""))
        #expect(parse("-5S") != .nanoseconds(5_000_000_000))
    }

    @Test(arguments: [1, 999, 99_999_999, 100_000_000, 5_000_000_000, 3_600_000_000_001, Int64.max])
    func timeoutsAreWrittenNeverTooShort(_ nanoseconds: Int64) {
        let text = GRPCTimeout.format(nanoseconds: nanoseconds)
        guard case .nanoseconds(let read) = text.withUnsafeBufferPointer(GRPCTimeout.parse) else {
            Issue.record("cannot be read back: \(String(decoding: text, as: UTF8.self))")
            return
        }
        #expect(read >= min(nanoseconds, .max / 2))
        #expect(Double(read) <= Double(nanoseconds) * 1.001)
    }

    /// Whatever the cuts, the same messages come out.
    @Test(arguments: 0..<50) func messagesAreAssembledFromAnyPieces(_ seed: Int) throws {
        var random = SplitMix(state: UInt64(seed))
        let messages = (0..<20).map { _ in
            [UInt8](repeating: .random(in: 0...255, using: &random), count: .random(in: 0...40, using: &random))
        }
        var queue = OutboundQueue()
        for message in messages { queue.append(message) }
        var assembler = MessageAssembler()
        var seen: [[UInt8]] = []
        while queue.byteCount > 0 {
            var piece = ByteBuffer()
            queue.move(min(queue.byteCount, .random(in: 1...60, using: &random)), to: &piece)
            try piece.withUnsafeReadableBytes { bytes in
                try assembler.feed(bytes, limit: 40) { message in
                    seen.append(message.withUnsafeBytes { Array($0) })
                    return true
                }
            }
        }
        #expect(seen == messages)
        #expect(assembler.isAtBoundary)
        #expect(!queue.isInsideMessage)
    }

    @Test func queueStaysSmallWhenItIsNeverEmpty() {
        var queue = OutboundQueue()
        var out = ByteBuffer()
        queue.append([0])
        for round in 1...10_000 {
            queue.append([UInt8(truncatingIfNeeded: round)])
            out.clear()
            queue.move(6, to: &out)
            #expect(out.getInteger(at: 5, as: UInt8.self) == UInt8(truncatingIfNeeded: round - 1))
        }
        #expect(queue.byteCount == 6)
        #expect(queue.storedCount < 200)
    }

    @Test func oversizeIsFoundInThePrefix() {
        var assembler = MessageAssembler()
        #expect(throws: MessageAssembler.Problem.tooLarge(length: 256, limit: 255)) {
            for byte in [0, 0, 0, 1, 0] as [UInt8] {
                try [byte].withUnsafeBytes { try assembler.feed($0, limit: 255) { _ in true } }
            }
        }
    }

    @Test func routesAreFoundByBytes() {
        var router = RPCRouter()
        let paths = (0..<200).map { "/service\($0 % 7).Name/Method\($0)" }
        for path in paths { router.unary(path) { _, _ in } }
        let table = RouteTable(router)
        for path in paths {
            #expect(Array(path.utf8).withUnsafeBytes { table.method($0) }?.path == path)
            #expect(Array((path + "x").utf8).withUnsafeBytes { table.method($0) } == nil)
        }
        #expect(table.unknown("/service1.Name/No/More").message == "unknown service service1.Name/No")
    }
}
