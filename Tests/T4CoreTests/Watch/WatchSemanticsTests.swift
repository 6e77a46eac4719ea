import Testing

@testable import T4Core

// Goal: each rule that clients of etcd's watch rely on. Method: the exact messages of one stream, as text.

@Suite struct WatchSemanticsTests {
    @Test func idsCountUpAndOwnIDsAreKept() {
        let fixture = HubFixture()
        let stream = fixture.open()
        #expect(stream.stream.create(WatchSpec("a")) == .created(0))
        #expect(stream.stream.create(WatchSpec("a")) == .created(1))
        #expect(stream.stream.create(WatchSpec("a", id: 2)) == .created(2))
        #expect(stream.stream.create(WatchSpec("a")) == .created(3))
        #expect(stream.stream.create(WatchSpec("a", id: 3)) == .refused(.duplicateID))
        #expect(
            stream.messages() == [
                "created 0 @1", "created 1 @1", "created 2 @1", "created 3 @1", "refused duplicate @1",
            ])
        let other = fixture.open()
        #expect(other.stream.create(WatchSpec("a")) == .created(0))
        stream.stream.cancel(3)
        #expect(stream.stream.create(WatchSpec("a", id: 3)) == .created(3))
    }

    @Test func emptyRangesAndNegativeStartsAreRefused() {
        let fixture = HubFixture()
        let stream = fixture.open()
        #expect(stream.stream.create(WatchSpec("b", end: "a")) == .refused(.emptyRange))
        #expect(stream.stream.create(WatchSpec("b", end: "b")) == .refused(.emptyRange))
        #expect(stream.stream.create(WatchSpec("b", from: -1)) == .refused(.negativeStart))
        stream.stream.refuse(.refused("no permission"))
        #expect(
            stream.messages() == [
                "refused empty @1", "refused empty @1", "refused negative @1", "refused no permission @1",
            ]
        )
        #expect(fixture.hub.counts == WatchCounts(streams: 1, watches: 0, lagging: 0))
        #expect(stream.stream.create(WatchSpec("b")) == .created(0), "refused creations take no id")
    }

    @Test func keysAndRangesSelect() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("b"))
        _ = stream.stream.create(WatchSpec("b", end: "d"))
        _ = stream.stream.create(WatchSpec("c", end: "\0"))
        _ = stream.stream.create(WatchSpec(""))
        _ = stream.stream.create(WatchSpec("", end: "\0"))
        _ = stream.messages()
        var seen: [String: [String]] = [:]
        for key in ["\0", "a", "b", "b\0", "c", "d"] {
            fixture.write(.put(key, "x"))
            seen[key] = stream.messages().map { String($0.split(separator: " ")[1]) }.sorted()
        }
        #expect(
            seen == [
                "\0": ["3", "4"], "a": ["4"], "b": ["0", "1", "4"], "b\0": ["1", "4"], "c": ["1", "2", "4"],
                "d": ["2", "4"],
            ])
    }

    @Test func startsNowOrInThePastOrInTheFuture() {
        let fixture = HubFixture()
        fixture.write(.put("k", "1"))
        fixture.write(.put("k", "2"))
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        _ = stream.stream.create(WatchSpec("k", from: 2))
        _ = stream.stream.create(WatchSpec("k", from: 6))
        #expect(fixture.hub.counts.lagging == 1)
        fixture.catchUp()
        #expect(fixture.hub.counts.lagging == 0)
        #expect(
            stream.messages() == ["created 0 @3", "created 1 @3", "created 2 @3", "events 1 @3 k=1#2 k=2#3"])
        for value in 3...5 { fixture.write(.put("k", "\(value)")) }
        #expect(stream.messages().filter { $0.contains("events 2") } == ["events 2 @6 k=5#6"])
    }

    @Test func changesVisibleButNotPublishedComeBeforeANewWatch() {
        let fixture = HubFixture()
        let early = fixture.source.write([.put("k", "early")])
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        stream.stream.requestProgress()
        #expect(stream.messages() == ["created 0 @2"], "progress must not fall behind the creation's revision")
        if let early { fixture.hub.publish([early]) }
        #expect(stream.messages() == ["progress -1 @2"])
        fixture.write(.put("k", "late"))
        #expect(stream.messages() == ["events 0 @3 k=late#3"])
    }

    @Test func publishedTwiceIsDeliveredOnce() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        guard let events = fixture.source.write([.put("k", "1")]) else { return }
        fixture.hub.publish([events])
        fixture.hub.publish([events])
        #expect(stream.messages() == ["created 0 @1", "events 0 @2 k=1#2"])
    }

    @Test func compactedStartIsCreatedThenCanceled() {
        let fixture = HubFixture()
        for value in 1...4 { fixture.write(.put("k", "\(value)")) }
        fixture.compact(to: 4)
        let stream = fixture.open()
        #expect(stream.stream.create(WatchSpec("k", from: 3)) == .created(0))
        _ = stream.stream.create(WatchSpec("k", from: 4))
        fixture.catchUp()
        #expect(
            stream.messages() == [
                "created 0 @5", "canceled 0 compacted 4 @0", "created 1 @5", "events 1 @5 k=3#4 k=4#5",
            ])
        #expect(fixture.hub.counts.watches == 1)
    }

    @Test func oneRevisionIsOneMessageInOrderOfWriting() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("a", end: "z"))
        _ = stream.stream.create(WatchSpec("b"))
        _ = stream.stream.create(WatchSpec("a", end: "c"))
        _ = stream.messages()
        fixture.write(.put("c", "1"), .put("b", "1"), .put("a", "1"))
        #expect(
            stream.messages().sorted() == [
                "events 0 @2 c=1#2 b=1#2 a=1#2", "events 1 @2 b=1#2", "events 2 @2 b=1#2 a=1#2",
            ])
    }

    @Test func previousVersionsOnlyWhenAskedFor() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k").with { $0.previous = true })
        _ = stream.stream.create(WatchSpec("k"))
        _ = stream.messages()
        fixture.write(.put("k", "1"))
        fixture.write(.put("k", "2"))
        fixture.write(.delete("k"))
        #expect(
            stream.messages().filter { $0.hasPrefix("events 0") }
                == ["events 0 @2 k=1#2", "events 0 @3 k=2#3(1)", "events 0 @4 -k#4(2)"])
        _ = stream.stream.create(WatchSpec("k", from: 3).with { $0.previous = true })
        fixture.catchUp()
        #expect(stream.messages().last == "events 2 @4 k=2#3(1) -k#4(2)")
    }

    @Test(arguments: [0, 1000]) func compactedPreviousVersionsAreAbsent(ringRevisions: Int) {
        let fixture = HubFixture { $0.ringRevisionsMax = ringRevisions }
        fixture.write(.put("k", "1"))
        fixture.write(.put("k", "2"))
        fixture.write(.put("k", "3"))
        fixture.compact(to: 3)
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k", from: 3).with { $0.previous = true })
        fixture.catchUp()
        #expect(stream.messages() == ["created 0 @4", "events 0 @4 k=2#3 k=3#4(2)"])
        #expect(fixture.source.reads == (ringRevisions == 0 ? 1 : 0))
    }

    @Test func filtersLeaveOut() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k", end: "z").with { $0.noPut = true })
        _ = stream.stream.create(WatchSpec("k", end: "z").with { $0.noDelete = true })
        _ = stream.stream.create(
            WatchSpec("k", end: "z").with {
                $0.noDelete = true
                $0.noPut = true
            })
        _ = stream.messages()
        fixture.write(.put("k", "1"))
        fixture.write(.delete("k"), .put("l", "1"))
        let expected = [
            "events 0 @3 -k#3", "events 1 @2 k=1#2", "events 1 @3 l=1#3",
        ]
        #expect(stream.messages().sorted() == expected)
        _ = stream.stream.create(WatchSpec("k", end: "z", from: 2).with { $0.noPut = true })
        fixture.catchUp()
        #expect(stream.messages() == ["created 3 @3", "events 3 @3 -k#3"])
    }

    @Test func cancelIsAnsweredOnceAndBehindItsEvents() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        fixture.write(.put("k", "1"))
        stream.stream.cancel(0)
        stream.stream.cancel(0)
        stream.stream.cancel(7)
        fixture.write(.put("k", "2"))
        #expect(stream.messages() == ["created 0 @1", "events 0 @2 k=1#2", "canceled 0 requested @2"])
        #expect(fixture.hub.counts.watches == 0)
    }

    @Test func optionsTravelWithTheEvents() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k").with { $0.fragment = true })
        _ = stream.messages()
        fixture.write(.put("k", "1"))
        guard case .events(let events) = stream.stream.drain(maxBytes: 1).first else {
            Issue.record("no events")
            return
        }
        #expect(events.fragment && !events.previous)
    }

    @Test func oneSignalUntilDrained() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        fixture.write(.put("k", "1"))
        fixture.write(.put("k", "2"))
        #expect(stream.signals == 1)
        #expect(stream.stream.drain(maxBytes: 1).count == 1)
        #expect(stream.messages().count == 2)
        fixture.write(.put("k", "3"))
        #expect(stream.signals == 2)
    }

    @Test func watchersOfOneEventShareIt() {
        let fixture = HubFixture()
        let streams = (0..<3).map { _ in fixture.open() }
        for stream in streams { _ = stream.stream.create(WatchSpec("a", end: "c")) }
        fixture.write(.put("a", "1"), .put("b", "1"), .put("x", "1"))
        let shared = streams.compactMap { stream -> SharedEvents? in
            guard case .events(let events) = stream.stream.drain(maxBytes: 1 << 20).last else { return nil }
            return events.shared
        }
        #expect(shared.count == 3 && shared.allSatisfy { $0 === shared[0] })
        var encodings = 0
        for _ in 0..<2 {
            for previous in [true, false] {
                let bytes = shared[0].encoded(withPrevious: previous) { events, previous in
                    encodings += 1
                    return [UInt8(events.count), previous ? 1 : 0]
                }
                #expect(bytes == [2, previous ? 1 : 0])
            }
        }
        #expect(encodings == 2)
    }

    @Test func closeCancelsEverything() {
        let fixture = HubFixture()
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        _ = stream.messages()
        fixture.hub.close()
        #expect(stream.messages() == ["canceled 0 stopped @1"])
        #expect(stream.stream.create(WatchSpec("k")) == .closed)
        #expect(fixture.hub.openStream(sink: {}) == nil)
        fixture.write(.put("k", "1"))
        #expect(stream.messages().isEmpty)
        stream.stream.close()
        stream.stream.close()
        #expect(fixture.hub.counts == WatchCounts())
    }

    @Test func aStreamThatIsReleasedIsClosed() {
        let fixture = HubFixture()
        do {
            let stream = fixture.open()
            _ = stream.stream.create(WatchSpec("k"))
            #expect(fixture.hub.counts == WatchCounts(streams: 1, watches: 1, lagging: 0))
        }
        #expect(fixture.hub.counts == WatchCounts())
    }
}
