import EtcdAPI
import SwiftProtobuf
import T4Core
import Testing

@testable import T4Server

/// Answers are, byte for byte, what the generated code writes, and stand behind what the buffer held before.
struct ResponseEncodingTests {
    private let before: [UInt8] = [0, 0, 0, 0, 9]

    private func check(
        seed: UInt64, _ make: (inout SeededGenerator, inout [UInt8]) throws -> any Message
    ) throws {
        var generator = SeededGenerator(seed: seed)
        for round in 0..<2_000 {
            var bytes = before
            let expected = try make(&generator, &bytes)
            let reference = before + (try expected.serializedBytes() as [UInt8])
            #expect(bytes == reference, "seed \(seed), round \(round)")
            if bytes != reference { return }
        }
    }

    @Test func range() throws {
        try check(seed: 21) { generator, bytes in
            let (response, origin) = (generator.rangeResponse(), generator.origin())
            response.append(to: &bytes, from: origin)
            return message(response, .full(origin))
        }
    }

    /// Key by key from borrowed bytes.
    @Test func rangeInParts() throws {
        try check(seed: 22) { generator, bytes in
            let (response, origin) = (generator.rangeResponse(), generator.origin())
            var writer = RangeResponseWriter(from: origin, revision: response.revision)
            for (index, kv) in response.kvs.enumerated() {
                if index == 0 {
                    writer.append(kv)
                } else {
                    let (key, value) = (kv.key, kv.value)
                    writer.append(
                        key: key.span.bytes, createRevision: kv.createRevision.rawValue,
                        modRevision: kv.modRevision.rawValue, version: kv.version, lease: kv.lease,
                        value: value.span.bytes)
                }
            }
            bytes += writer.finish(more: response.more, count: response.count)
            return message(response, .full(origin))
        }
    }

    @Test func put() throws {
        try check(seed: 23) { generator, bytes in
            let (response, origin) = (generator.putResponse(), generator.origin())
            response.append(to: &bytes, from: origin)
            return message(response, .full(origin))
        }
    }

    @Test func deleteRange() throws {
        try check(seed: 24) { generator, bytes in
            let (response, origin) = (generator.deleteRangeResponse(), generator.origin())
            response.append(to: &bytes, from: origin)
            return message(response, .full(origin))
        }
    }

    @Test func txn() throws {
        try check(seed: 25) { generator, bytes in
            let (response, origin) = (generator.txnResponse(), generator.origin())
            response.append(to: &bytes, from: origin)
            return message(response, .full(origin))
        }
    }

    @Test func headerOnly() throws {
        try check(seed: 26) { generator, bytes in
            let (revision, origin) = (generator.revision(), generator.origin())
            origin.appendHeaderOnly(revision: revision, to: &bytes)
            return EtcdCompactionResponse.with { $0.header = HeaderKind.full(origin).message(revision) }
        }
    }

    @Test func leaseKeepAlive() throws {
        try check(seed: 27) { generator, bytes in
            let origin = generator.origin()
            let response = LeaseKeepAliveResponse(
                revision: generator.revision(), id: generator.number(), ttl: generator.number())
            response.append(to: &bytes, from: origin)
            return EtcdLeaseKeepAliveResponse.with {
                $0.header = HeaderKind.full(origin).message(response.revision)
                $0.id = response.id
                $0.ttl = response.ttl
            }
        }
    }

    @Test func watchWithoutEvents() throws {
        try check(seed: 28) { generator, bytes in
            let (response, origin) = (generator.watchResponse(), generator.origin())
            response.append(to: &bytes, from: origin)
            return message(response, origin, events: [])
        }
    }

    /// One list of events, sent to several watches whole and in part.
    @Test func watchEvents() throws {
        var generator = SeededGenerator(seed: 29)
        for _ in 0..<500 {
            let events = (0..<Int.random(in: 0..<5, using: &generator)).map { _ in generator.event() }
            let includePrevious = generator.chance(50)
            let encoded = EncodedEvents(events, includePrevious: includePrevious)
            let messages = events.map { message($0, includePrevious: includePrevious) }
            #expect(encoded.count == events.count)
            for _ in 0..<3 {
                let (response, origin) = (generator.watchResponse(), generator.origin())
                var whole = before
                response.append(to: &whole, from: origin, events: encoded)
                let reference = try message(response, origin, events: messages).serializedBytes() as [UInt8]
                #expect(whole == before + reference)
                let first = Int.random(in: 0...events.count, using: &generator)
                let range = first..<Int.random(in: first...events.count, using: &generator)
                var part: [UInt8] = []
                response.append(to: &part, from: origin, events: encoded, range)
                #expect(try part == message(response, origin, events: Array(messages[range])).serializedBytes())
            }
        }
    }

    /// Cuts lie where etcd's loop over growing messages puts them.
    @Test func fragments() throws {
        var generator = SeededGenerator(seed: 30)
        for _ in 0..<1_000 {
            let events = (0..<Int.random(in: 0..<12, using: &generator)).map { _ in generator.event() }
            let messages = events.map { message($0, includePrevious: true) }
            let (response, origin) = (generator.watchResponse(), generator.origin())
            let limit = Int.random(in: 0..<1_500, using: &generator)
            func size(_ range: Range<Int>, fragment: Bool) throws -> Int {
                var response = response
                response.fragment = fragment
                return try (message(response, origin, events: Array(messages[range])).serializedBytes() as [UInt8])
                    .count
            }
            var cuts: [Range<Int>] = []
            if try events.count < 2 || size(0..<events.count, fragment: false) < limit {
                cuts = [0..<events.count]
            } else {
                var first = 0
                while first < events.count {
                    var end = first + 1
                    while try end < events.count && size(first..<end + 1, fragment: true) < limit { end += 1 }
                    cuts.append(first..<end)
                    first = end
                }
            }
            let encoded = EncodedEvents(events, includePrevious: true)
            #expect(response.fragments(of: encoded, from: origin, limit: limit) == cuts)
        }
    }

    /// The number of bytes of a number, at every border.
    @Test func sizes() {
        var generator = SeededGenerator(seed: 31)
        for bits in 0..<64 {
            for value in [1 << UInt64(bits), (1 << UInt64(bits)) - 1, (1 << UInt64(bits)) + 1] as [UInt64] {
                #expect(ProtoSize.varint(value) == generator.varint(value).count)
            }
        }
        #expect(ProtoSize.varint(.max) == 10)
    }
}
