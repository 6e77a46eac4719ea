import Synchronization
import Testing

@testable import T4Core

// Goal: watches that read old history leave the machine to those that are up to date. Method: a clock that moves with each
// read, and rounds of the worker one by one.

@Suite struct WatchPaceTests {
    private static let readTime = Duration.milliseconds(10)

    /// A hub whose ring holds the last five of 30 revisions, and whose rounds read two or three.
    private static func fixture() -> HubFixture {
        let fixture = HubFixture {
            $0.ringRevisionsMax = 5
            $0.replayBytesMax = 5
            $0.replayRestFactor = 3
        }
        for number in 1..<30 { fixture.write(.put("k", "\(number)")) }
        let clock = fixture.clock
        fixture.source.onRead.withLock { $0 = { clock.advance(by: readTime) } }
        return fixture
    }

    @Test func withoutEventsHistoryIsReadWithoutRest() {
        let fixture = Self.fixture()
        let old = fixture.open()
        _ = old.stream.create(WatchSpec("k", from: 2))
        fixture.catchUp()
        #expect(Self.events(old.messages()) == 29)
        #expect(fixture.hub.counts.lagging == 0)
    }

    @Test func besideEventsReadingRestsAndTheRingIsServed() {
        let fixture = Self.fixture()
        let old = fixture.open()
        _ = old.stream.create(WatchSpec("k", from: 2))
        // The first round finds that nobody is busy.
        #expect(fixture.hub.replayRound())
        fixture.write(.put("k", "now"))
        #expect(fixture.hub.replayRound())
        #expect(fixture.source.reads == 2)
        #expect(!fixture.hub.replayRound(), "it rests")

        let recent = fixture.open()
        _ = recent.stream.create(WatchSpec("k", from: 31))
        #expect(fixture.hub.replayRound(), "the ring needs no rest")
        #expect(recent.messages() == ["created 0 @31", "events 0 @31 k=now#31"])
        #expect(!fixture.hub.replayRound())
        #expect(fixture.source.reads == 2)

        fixture.clock.advance(by: Self.readTime * 3 - .nanoseconds(1))
        #expect(!fixture.hub.replayRound())
        fixture.clock.advance(by: .nanoseconds(1))
        #expect(fixture.hub.replayRound())
        #expect(fixture.source.reads == 3)

        // Nothing has been published for long: no more rests.
        fixture.clock.advance(by: BackgroundPace.busyTime)
        #expect(fixture.hub.replayRound())
        #expect(fixture.hub.replayRound())
        fixture.catchUp()
        #expect(Self.events(old.messages()) == 30)
    }

    @Test func nobodyRestsWhoWouldFallBehind() {
        let fixture = Self.fixture()
        let old = fixture.open()
        _ = old.stream.create(WatchSpec("k", from: 2))
        #expect(fixture.hub.replayRound())
        // More than a round reads.
        for number in 0..<5 { fixture.write(.put("k", "now \(number)")) }
        #expect(fixture.hub.replayRound())
        #expect(fixture.source.reads == 2)
        #expect(fixture.hub.replayRound(), "no rest")
        #expect(fixture.source.reads == 3)
        #expect(!fixture.hub.replayRound(), "nothing was published meanwhile, and others were busy a moment ago")
        fixture.clock.advance(by: .seconds(1))
        fixture.catchUp()
        #expect(Self.events(old.messages()) == 34)
    }

    /// Events in messages that a stream got.
    private static func events(_ messages: [String]) -> Int {
        messages.reduce(0) { $0 + $1.count { $0 == "#" } }
    }

    @Test func theWorkerGoesOnAfterARestByItself() {
        let source = FakeSource()
        var settings = WatchSettings()
        settings.ringRevisionsMax = 1
        settings.replayBytesMax = 5
        for number in 0..<20 { _ = source.write([.put("k", "\(number)")]) }
        let hub = WatchHub(source: source, settings: settings)
        // Each read sees something published, so that it is followed by a rest.
        source.onRead.withLock {
            $0 = { [weak hub] in if let events = source.write([.put("other", "")]) { hub?.publish([events]) } }
        }
        let signal = Gate()
        let stream = hub.openStream { signal.open() }
        _ = stream?.create(WatchSpec("k", from: 2))
        hub.start()
        var revisions: [Int64] = []
        while revisions.count < 20 {
            signal.wait()
            for case .events(let events) in stream?.drain(maxBytes: 1 << 30) ?? [] {
                revisions += events.shared.events.map(\.current.modRevision.rawValue)
            }
        }
        #expect(revisions == Array(2...21))
        hub.close()
        hub.stop()
    }
}

@Suite struct BackgroundPaceTests {
    @Test func restsAreBoundedAndOnlyWhileOthersAreBusy() {
        var pace = BackgroundPace(restFactor: 2)
        let start = Duration.seconds(1)
        /// A portion that ends at a time, with what others have come to before and after it.
        func rest(at time: Duration, took: Duration, _ before: Int64, _ after: Int64) -> Duration {
            pace.begin(at: start + time - took, progress: before)
            return pace.end(at: start + time, progress: after)
        }
        #expect(rest(at: .zero, took: .milliseconds(3), 5, 5) == .zero, "what was before does not count")
        #expect(rest(at: .milliseconds(5), took: .milliseconds(3), 5, 6) == .milliseconds(6))
        #expect(rest(at: .milliseconds(104), took: .milliseconds(3), 6, 6) == .milliseconds(6))
        #expect(rest(at: .milliseconds(105), took: .milliseconds(3), 6, 6) == .zero)
        #expect(rest(at: .milliseconds(150), took: .milliseconds(3), 7, 7) == .milliseconds(6), "between two portions")
        #expect(rest(at: .seconds(61), took: .seconds(60), 8, 8) == .zero)
        #expect(rest(at: .seconds(122), took: .seconds(60), 8, 9) == BackgroundPace.restMax)
    }
}
