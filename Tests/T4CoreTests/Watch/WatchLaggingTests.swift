import Testing

@testable import T4Core

// Goal: slow consumers and old starts lose nothing, cost bounded memory and hold nobody up.

@Suite struct WatchLaggingTests {
    private static let value = String(repeating: "v", count: 100)

    @Test(arguments: [0, 5, 1000]) func aSlowConsumerGetsEverythingInOrder(ringRevisions: Int) {
        let fixture = HubFixture {
            $0.queueBytesMax = 1000
            $0.ringRevisionsMax = ringRevisions
            $0.replayBytesMax = 500
        }
        let slow = fixture.open()
        let quick = fixture.open()
        _ = slow.stream.create(WatchSpec("k"))
        _ = quick.stream.create(WatchSpec("k"))
        _ = (slow.messages(), quick.messages())
        for number in 2...101 {
            fixture.write(.put("k", Self.value))
            #expect(quick.messages() == ["events 0 @\(number) k=\(Self.value)#\(number)"])
        }
        #expect(slow.stream.backlog.bytes < 2000)
        #expect(fixture.hub.counts.lagging == 1)
        #expect(!fixture.hub.replayRound(), "nothing to do until there is room")
        slow.stream.requestProgress()
        var revisions: [Int64] = []
        var progress: [Int64] = []
        var rounds = 0
        while revisions.count < 100 || progress.isEmpty {
            rounds += 1
            guard rounds < 1000 else { break }
            for delivery in slow.stream.drain(maxBytes: 300) {
                switch delivery {
                case .events(let events): revisions += events.shared.events.map(\.current.modRevision.rawValue)
                case .progress(_, let revision):
                    progress.append(revision.rawValue)
                    #expect(revisions.count == 100)
                default: Issue.record("unexpected \(delivery)")
                }
            }
            #expect(slow.stream.backlog.bytes < 2500)
            fixture.catchUp()
        }
        #expect(revisions == Array(2...101))
        #expect(progress == [101])
        #expect(fixture.hub.counts.lagging == 0)
        if ringRevisions == 1000 { #expect(fixture.source.reads == 0) }
    }

    @Test func aSlowConsumerIsToldOfACompaction() {
        let fixture = HubFixture { $0.queueBytesMax = 1000 }
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        _ = stream.stream.create(WatchSpec("l"))
        for _ in 0..<20 { fixture.write(.put("k", Self.value)) }
        fixture.write(.put("l", "x"))
        #expect(fixture.hub.counts.lagging == 2)
        fixture.compact(to: 15)
        let messages = stream.messages()
        #expect(messages.last == "canceled 0 compacted 15 @0")
        let events = messages.filter { $0.hasPrefix("events") }
        #expect(events == (0..<events.count).map { "events 0 @\($0 + 2) k=\(Self.value)#\($0 + 2)" })
        #expect((2...4).contains(events.count))
        fixture.catchUp()
        #expect(stream.messages() == ["events 1 @22 l=x#22"], "the other watch needs nothing of what is gone")
    }

    @Test func compactionFoundOnlyWhileReading() {
        let fixture = HubFixture { $0.ringRevisionsMax = 0 }
        for _ in 0..<10 { fixture.write(.put("k", "1")) }
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k", from: 2))
        _ = stream.stream.create(WatchSpec("k", from: 9))
        fixture.source.compact(to: Revision(8))
        fixture.catchUp()
        #expect(
            stream.messages() == [
                "created 0 @11", "created 1 @11", "canceled 0 compacted 8 @0", "events 1 @11 k=1#9 k=1#10 k=1#11",
            ])
    }

    @Test(arguments: [DatabaseError.Code.engineFailed, .compacted]) func unreadableHistoryEndsTheWatch(
        code: DatabaseError.Code
    ) {
        let fixture = HubFixture { $0.ringRevisionsMax = 0 }
        fixture.write(.put("k", "1"))
        fixture.source.fail(with: DatabaseError(code))
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k", from: 2))
        fixture.catchUp()
        #expect(stream.messages() == ["created 0 @2", "canceled 0 failed \(code.rawValue) @2"])
        #expect(fixture.hub.counts == WatchCounts(streams: 1, watches: 0, lagging: 0))
    }

    @Test func manyWatchesShareOneRead() {
        let fixture = HubFixture { $0.ringRevisionsMax = 10 }
        for number in 0..<100 { fixture.write(.put("k\(number % 3)", "1")) }
        let streams = (0..<50).map { _ in fixture.open() }
        for stream in streams { _ = stream.stream.create(WatchSpec("k", end: "l", from: 2)) }
        fixture.catchUp()
        #expect(fixture.source.reads == 1)
        var first: SharedEvents?
        for stream in streams {
            var count = 0
            for case .events(let events) in stream.stream.drain(maxBytes: 1 << 20) {
                count += events.shared.events.count
                if count == events.shared.events.count {
                    #expect(first == nil || first === events.shared)
                    first = events.shared
                }
            }
            #expect(count == 100)
        }
    }

    @Test func aWatchFarBehindDoesNotHoldUpTheOthers() {
        let fixture = HubFixture {
            $0.ringRevisionsMax = 10
            $0.replayBytesMax = 1
        }
        for _ in 0..<3000 { fixture.write(.put("k", "1")) }
        let far = fixture.open()
        let near = fixture.open()
        _ = far.stream.create(WatchSpec("x", from: 2))
        _ = near.stream.create(WatchSpec("k", from: 3000))
        for _ in 0..<8 { _ = fixture.hub.replayRound() }
        #expect(near.messages().last?.hasSuffix("#3001") == true)
        #expect(fixture.hub.counts.lagging == 1)
    }

    @Test func cancelledWhileTheWorkerReads() {
        let fixture = HubFixture()
        fixture.write(.put("k", "1"))
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k", from: 2))
        stream.stream.cancel(0)
        #expect(stream.stream.create(WatchSpec("k", from: 2, id: 0)) == .created(1))
        stream.stream.close()
        fixture.catchUp()
        #expect(stream.messages().isEmpty)
        #expect(fixture.hub.counts == WatchCounts())
    }
}
