import T4Conformance
import Testing

@testable import T4Core

@Suite struct WatchIndexTests {
    @Test(arguments: 0..<20) func findsTheSameAsLookingAtEachWatch(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        func key() -> [UInt8] {
            (0..<Int.random(in: 1...3, using: &random)).map { _ in .random(in: 0...4, using: &random) }
        }
        let stream = StreamState(id: 1, nextTick: .zero, sink: {})
        var index = WatchIndex()
        var watches: [Watch] = []
        for step in 0..<600 {
            if step % 3 < 2 {
                let end: [UInt8] = [[], [0], key(), key(), key()].randomElement(using: &random) ?? []
                guard let range = WatchedRange(key: key(), rangeEnd: end) else { continue }
                let watch = Watch(
                    token: step, id: Int64(step), filter: WatchFilter(range: range, noPut: false, noDelete: false),
                    spec: WatchSpec(key: []), stream: stream, next: 0, floor: 0)
                watches.append(watch)
                index.insert(watch)
            } else if !watches.isEmpty, step > 200 {
                index.remove(watches.remove(at: .random(in: 0..<watches.count, using: &random)))
            }
            let probe = key()
            var found: [Watch] = []
            index.collect(probe, into: &found)
            let expected = watches.filter { $0.filter.range.contains(probe) }.map(\.token)
            #expect(found.map(\.token).sorted() == expected)
        }
        for watch in watches { index.remove(watch) }
        var left: [Watch] = []
        for _ in 0..<50 { index.collect(key(), into: &left) }
        #expect(left.isEmpty)
    }

    @Test func queueKeepsOrder() {
        var queue = FIFO<Int>()
        var expected: [Int] = []
        var random = SeededGenerator(seed: 7)
        for number in 0..<5000 {
            if Bool.random(using: &random) || number < 300 {
                queue.append(number)
                expected.append(number)
            } else {
                #expect(queue.popFirst() == (expected.isEmpty ? nil : expected.removeFirst()))
            }
            #expect(queue.count == expected.count && queue.first == expected.first)
            if expected.count > 2 { #expect(queue[2] == expected[2]) }
        }
    }

    @Test func ringGivesWholeRevisionsWithinItsBounds() {
        let source = FakeSource()
        var ring = EventRing(after: 1, bytesMax: 1 << 20, revisionsMax: 10)
        #expect(ring.slice(from: 2, byteLimit: 100).isEmpty)
        for _ in 0..<30 {
            if let events = source.write([.put("k", "v")]) { ring.append(SharedEvents(events.events)) }
        }
        #expect(ring.completeFrom == 22)
        #expect(ring.slice(from: 22, byteLimit: 1 << 20).map(\.lastRevision.rawValue) == Array(22...31))
        #expect(ring.slice(from: 25, byteLimit: 0).map(\.lastRevision.rawValue) == [25])
        var small = EventRing(after: 1, bytesMax: 100, revisionsMax: 10)
        small.append(SharedEvents(source.history[0].events))
        #expect(small.completeFrom == 3, "a revision larger than the ring is not kept")
    }
}
