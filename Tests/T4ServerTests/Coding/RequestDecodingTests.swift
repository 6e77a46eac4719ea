import CodingReference
import EtcdAPI
import SwiftProtobuf
import T4Core
import Testing

@testable import T4Server

/// Requests decode to what the generated code reads from the same bytes, whatever the bytes are.
///
/// Method: random messages in all the forms the wire allows, the same cut off at every byte, with bytes changed, and
/// plain noise; each is read by both decoders.
struct RequestDecodingTests {
    /// A message with both its decoders.
    private struct Subject<Message: SwiftProtobuf.Message, Value: Equatable> {
        var comparison: DecodingComparison<Message, Value>

        init(decode: @escaping (RawSpan) throws(WireFailure) -> Value, expected: @escaping (Message) throws -> Value) {
            comparison = DecodingComparison(decode: decode, expected: expected)
        }

        func check(_ bytes: [UInt8], _ comment: @autoclosure () -> String = "") {
            if let difference = comparison.difference(bytes) { Issue.record("\(difference) \(comment())") }
        }

        func checkAll(seed: UInt64, rounds: Int, _ make: (inout SeededGenerator) throws -> [UInt8]) throws {
            var generator = SeededGenerator(seed: seed)
            check([], "empty")
            for round in 0..<rounds {
                var bytes = try make(&generator)
                check(bytes, "seed \(seed), round \(round)")
                if round < rounds / 10 {
                    for end in bytes.indices { check([UInt8](bytes[..<end]), "round \(round), cut at \(end)") }
                }
                guard !bytes.isEmpty else { continue }
                for _ in 0..<4 {
                    let index = Int.random(in: 0..<bytes.count, using: &generator)
                    bytes[index] = UInt8(truncatingIfNeeded: generator.next())
                    check(bytes, "seed \(seed), round \(round), changed")
                }
                check(generator.noise(), "seed \(seed), round \(round), noise")
            }
        }
    }

    @Test func range() throws {
        try Subject(
            decode: RangeRequest.init(protobuf:), expected: expected as (EtcdRangeRequest) throws -> RangeRequest
        )
        .checkAll(seed: 1, rounds: 2_000) { try $0.wire { $0.rangeRequest() } }
    }

    @Test func put() throws {
        try Subject(decode: PutRequest.init(protobuf:), expected: expected as (EtcdPutRequest) -> PutRequest)
            .checkAll(seed: 2, rounds: 2_000) { try $0.wire { $0.putRequest() } }
    }

    @Test func deleteRange() throws {
        try Subject(
            decode: DeleteRangeRequest.init(protobuf:),
            expected: expected as (EtcdDeleteRangeRequest) -> DeleteRangeRequest
        )
        .checkAll(seed: 3, rounds: 2_000) { try $0.wire { $0.deleteRangeRequest() } }
    }

    @Test func txn() throws {
        try Subject(decode: TxnRequest.init(protobuf:), expected: expected as (EtcdTxnRequest) throws -> TxnRequest)
            .checkAll(seed: 4, rounds: 2_000) { try $0.wire { $0.txnRequest() } }
    }

    /// Embedded messages in several parts, of one kind or of different kinds.
    @Test func splitOperations() throws {
        try Subject(decode: TxnRequest.init(protobuf:), expected: expected as (EtcdTxnRequest) throws -> TxnRequest)
            .checkAll(seed: 5, rounds: 2_000) { generator in
                var txn: [UInt8] = []
                for _ in 0..<Int.random(in: 1...3, using: &generator) {
                    if generator.chance(30) {
                        txn += embedded(1, try generator.wire { $0.compare() })
                    } else {
                        txn += embedded(generator.chance(50) ? 2 : 3, try generator.wire { $0.operation(depth: 1) })
                    }
                }
                return txn
            }
    }

    @Test func compaction() throws {
        try Subject(
            decode: CompactionRequest.init(protobuf:),
            expected: expected as (EtcdCompactionRequest) -> CompactionRequest
        )
        .checkAll(seed: 6, rounds: 1_000) { try $0.wire { $0.compactionRequest() } }
    }

    @Test func watch() throws {
        try Subject(
            decode: WatchStreamRequest.init(protobuf:), expected: expected as (EtcdWatchRequest) -> WatchStreamRequest
        )
        .checkAll(seed: 7, rounds: 2_000) { try $0.wire { $0.watchRequest() } }
    }

    @Test func leaseKeepAlive() throws {
        try Subject(
            decode: { (bytes: RawSpan) throws(WireFailure) in try LeaseKeepAliveRequest(protobuf: bytes).id },
            expected: { (message: EtcdLeaseKeepAliveRequest) in message.id }
        )
        .checkAll(seed: 8, rounds: 1_000) {
            try $0.wire { generator in EtcdLeaseKeepAliveRequest.with { $0.id = generator.number() } }
        }
    }

    /// Filters one by one, packed (as the generated code writes them), and both.
    @Test func watchFilters() throws {
        let putsOneByOne: [UInt8] = [0x28, 0]
        let deletesOneByOne: [UInt8] = [0x28, 1]
        let unknownThenDeletesPacked: [UInt8] = [0x2A, 3, 0xAC, 0x02, 1]
        var creation = try WatchCreation(protobuf: (putsOneByOne + unknownThenDeletesPacked).span.bytes)
        #expect(creation.skipsPuts && creation.skipsDeletes)
        creation = try WatchCreation(protobuf: deletesOneByOne.span.bytes)
        #expect(!creation.skipsPuts && creation.skipsDeletes)
        #expect(throws: WireFailure.malformed(.truncated)) {
            try WatchCreation(protobuf: ([0x2A, 2, 1, 0x80] as [UInt8]).span.bytes)
        }
    }

    /// A sort order or target that does not exist is refused, in a transaction too; a later good number repairs it.
    @Test func sortOptions() throws {
        let bad: [UInt8] = [0x0A, 1, 97, 0x28, 3]
        #expect(throws: WireFailure.refused(.invalidSortOption)) { try RangeRequest(protobuf: bad.span.bytes) }
        #expect(throws: WireFailure.refused(.invalidSortOption)) {
            try RangeRequest(protobuf: ([0x0A, 1, 97, 0x30, 5] as [UInt8]).span.bytes)
        }
        #expect(throws: WireFailure.refused(.invalidSortOption)) {
            try TxnRequest(protobuf: embedded(2, embedded(1, bad)).span.bytes)
        }
        let repaired = try RangeRequest(protobuf: (bad + [0x28, 2]).span.bytes)
        #expect(repaired.sortOrder == .descend)
        #expect(try RangeRequest(protobuf: ([0x28, 3] as [UInt8]).span.bytes).key.isEmpty)
    }

    /// Nesting is bounded, and up to the bound it works.
    @Test func nesting() throws {
        func nested(_ levels: Int) -> [UInt8] {
            var bytes: [UInt8] = []
            for _ in 1..<levels { bytes = embedded(2, embedded(4, bytes)) }
            return bytes
        }
        var txn = try TxnRequest(protobuf: nested(TxnRequest.nestingMax).span.bytes)
        var levels = 1
        while case .txn(let inner)? = txn.success.first {
            txn = inner
            levels += 1
        }
        #expect(levels == TxnRequest.nestingMax)
        #expect(throws: WireFailure.refused(.tooManyOperations)) {
            try TxnRequest(protobuf: nested(TxnRequest.nestingMax + 1).span.bytes)
        }
        #expect(throws: WireFailure.refused(.tooManyOperations)) {
            try TxnRequest(protobuf: nested(20_000).span.bytes)
        }
    }
}

extension SeededGenerator {
    /// Bytes that look a little like fields.
    mutating func noise() -> [UInt8] {
        (0..<Int.random(in: 0..<24, using: &self)).map { _ in
            let byte = UInt8(truncatingIfNeeded: next())
            return chance(60) ? byte & 0x3F : byte
        }
    }
}
