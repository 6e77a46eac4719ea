import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: the parts of a range are together the range. Method: random requests on a random history, in parts of random sizes.
struct RangeWalkTests {
    @Test(arguments: [UInt64](1...4)) func partsTogetherAreTheRange(_ seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let test = try TestNode()
        func key(_ random: inout SeededGenerator) -> [UInt8] { Array("k\(random.next() % 80)") }
        for _ in 0..<400 {
            if random.next() % 3 == 0 {
                try await test.node.deleteRange(DeleteRangeRequest(key: key(&random)))
            } else {
                try await test.node.put(PutRequest(key: key(&random), value: Array("\(random.next() % 1000)")))
            }
        }
        let newest = test.node.revision.rawValue
        try await test.node.compact(CompactionRequest(revision: newest / 3))
        let reader = try StateReader(test.node.engine.snapshot())
        var cut = 0
        for _ in 0..<600 {
            var request = RangeRequest(key: key(&random))
            switch random.next() % 4 {
            case 0: request.rangeEnd = []
            case 1: request.rangeEnd = key(&random)
            case 2: request.rangeEnd = [0]
            default: (request.key, request.rangeEnd) = ([0], [0])
            }
            if random.next() % 2 == 0 { request.limit = Int64(random.next() % 90) }
            if random.next() % 2 == 0 { request.revision = Int64(random.next() % UInt64(newest + 3)) }
            request.keysOnly = random.next() % 5 == 0
            request.countOnly = random.next() % 8 == 0
            let portion = 1 + Int(random.next() % 12)
            let window = 1 + Int(random.next() % 9)
            let wanted = result { try request.evaluate(on: SnapshotView(reader)) }
            let found = result { try read(request, reader, portion, window, &cut) }
            #expect(found == wanted, "\(request), portions of \(portion), windows of \(window), seed \(seed)")
        }
        #expect(cut > 100, "few ranges came in several parts")
    }

    private func read(
        _ request: RangeRequest, _ reader: StateReader, _ portion: Int, _ window: Int, _ cut: inout Int
    ) throws -> RangeResponse {
        var walk = try RangeWalk(request, on: reader, windowKeys: window)
        var kvs: [KeyValue] = []
        var parts = 0
        while true {
            var count = 0
            let summary = try walk.next { key, header, value in
                kvs.append(
                    KeyValue(
                        key: key.copyBytes(), createRevision: header.create, modRevision: header.mod,
                        version: header.version, lease: header.lease, value: value.copyBytes()))
                count += 1
                return count < portion ? .next : .stop
            }
            parts += 1
            #expect(count <= portion)
            guard let summary else { continue }
            if parts > 1 { cut += 1 }
            return RangeResponse(revision: reader.meta.revision, kvs: kvs, more: summary.more, count: summary.count)
        }
    }

    private func result(_ body: () throws -> RangeResponse) -> String {
        do {
            let answer = try body()
            return "\(answer.revision) \(answer.kvs) \(answer.more) \(answer.count)"
        } catch {
            return "\(error)"
        }
    }
}
