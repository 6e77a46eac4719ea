import Testing

@testable import T4Core

// Goal: progress never runs ahead of events, and comes when it may. Method: a hub whose worker moves only when told.

@Suite struct WatchProgressTests {
    @Test func requestIsAnsweredBehindTheEvents() {
        let fixture = HubFixture()
        let stream = fixture.open()
        stream.stream.requestProgress()
        #expect(stream.messages().isEmpty, "a stream without watches gets no answer, then or later")
        _ = stream.stream.create(WatchSpec("k"))
        _ = stream.stream.create(WatchSpec("l"))
        fixture.write(.put("k", "1"))
        fixture.write(.put("other", "1"))
        stream.stream.requestProgress()
        #expect(
            stream.messages() == ["created 0 @1", "created 1 @1", "events 0 @2 k=1#2", "progress -1 @3"])
    }

    @Test func requestWaitsForTheLastLaggingWatch() {
        let fixture = HubFixture()
        fixture.write(.put("k", "1"))
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        _ = stream.stream.create(WatchSpec("k", from: 2))
        stream.stream.requestProgress()
        stream.stream.requestProgress()
        fixture.write(.put("k", "2"))
        #expect(stream.messages() == ["created 0 @2", "created 1 @2", "events 0 @3 k=2#3"])
        fixture.catchUp()
        #expect(stream.messages() == ["events 1 @3 k=1#2 k=2#3", "progress -1 @3"])
        fixture.write(.put("k", "3"))
        #expect(!stream.messages().contains { $0.hasPrefix("progress") })
    }

    @Test func requestIsAnsweredWhenTheLaggingWatchIsCancelled() {
        let fixture = HubFixture()
        fixture.write(.put("k", "1"))
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k"))
        _ = stream.stream.create(WatchSpec("k", from: 2))
        stream.stream.requestProgress()
        stream.stream.cancel(1)
        #expect(
            stream.messages() == ["created 0 @2", "created 1 @2", "canceled 1 requested @2", "progress -1 @2"])
        fixture.catchUp()
        #expect(stream.messages().isEmpty)
    }

    @Test func requestWaitsForAFutureStart() {
        let fixture = HubFixture { $0.progressInterval = .seconds(10) }
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k", from: 3).with { $0.progressNotify = true })
        stream.stream.requestProgress()
        fixture.write(.put("k", "1"))
        #expect(stream.messages() == ["created 0 @1"])
        fixture.clock.advance(by: .seconds(20))
        fixture.hub.tick(now: fixture.clock.now)
        #expect(stream.messages().isEmpty)
        fixture.write(.put("other", "1"))
        #expect(stream.messages() == ["progress -1 @3"])
        _ = stream.stream.create(WatchSpec("k", from: 100))
        stream.stream.requestProgress()
        #expect(stream.messages() == ["created 1 @3"])
        stream.stream.cancel(1)
        #expect(stream.messages() == ["canceled 1 requested @3", "progress -1 @3"])
    }

    @Test func noticesComeOnlyToIdleWatchesThatAskedForThem() {
        let fixture = HubFixture { $0.progressInterval = .seconds(10) }
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k").with { $0.progressNotify = true })
        _ = stream.stream.create(WatchSpec("k"))
        _ = stream.stream.create(WatchSpec("l").with { $0.progressNotify = true })
        _ = stream.messages()
        func tick() -> [String] {
            fixture.clock.advance(by: .seconds(11))
            fixture.hub.tick(now: fixture.clock.now)
            return stream.messages().sorted()
        }
        fixture.clock.advance(by: .seconds(9))
        fixture.hub.tick(now: fixture.clock.now)
        #expect(stream.messages().isEmpty, "too early")
        #expect(tick() == ["progress 0 @1", "progress 2 @1"])
        fixture.write(.put("k", "1"))
        _ = stream.messages()
        #expect(tick() == ["progress 2 @2"], "the one with events is not idle")
        #expect(tick() == ["progress 0 @2", "progress 2 @2"])
        stream.stream.cancel(0)
        stream.stream.cancel(2)
        _ = stream.messages()
        #expect(tick().isEmpty)
        #expect(tick().isEmpty)
        _ = stream.stream.create(WatchSpec("k").with { $0.progressNotify = true })
        _ = stream.messages()
        #expect(tick() == ["progress 3 @2"], "ticks begin again")
    }

    @Test func noticesDoNotPileUpForAConsumerThatDoesNotRead() {
        let fixture = HubFixture { $0.progressInterval = .seconds(10) }
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k").with { $0.progressNotify = true })
        for _ in 0..<50 {
            fixture.clock.advance(by: .seconds(11))
            fixture.hub.tick(now: fixture.clock.now)
        }
        #expect(stream.messages() == ["created 0 @1"])
    }

    @Test func laggingWatchesGetNoNotice() {
        let fixture = HubFixture { $0.progressInterval = .seconds(10) }
        fixture.write(.put("k", "1"))
        let stream = fixture.open()
        _ = stream.stream.create(WatchSpec("k", from: 2).with { $0.progressNotify = true })
        _ = stream.messages()
        fixture.clock.advance(by: .seconds(11))
        fixture.hub.tick(now: fixture.clock.now)
        #expect(stream.messages().isEmpty)
    }
}
