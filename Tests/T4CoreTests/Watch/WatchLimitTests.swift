import Testing

@testable import T4Core

/// How many watches there may be, and what they may be about.
struct WatchLimitTests {
    @Test func watchesAreCounted() {
        let fixture = HubFixture { $0.watchesMax = 3 }
        let stream = fixture.open()
        let other = fixture.open()
        for watch in 0..<2 { #expect(stream.stream.create(WatchSpec("a")) == .created(Int64(watch))) }
        #expect(other.stream.create(WatchSpec("a")) == .created(0))
        let refusal = WatchEnd.refused("t4: too many watches on this node")
        #expect(other.stream.create(WatchSpec("a")) == .refused(refusal))
        stream.stream.cancel(0)
        #expect(other.stream.create(WatchSpec("a")) == .created(1))
        stream.stream.close()
        #expect(other.stream.create(WatchSpec("a")) == .created(2))
    }

    @Test func bytesOfKeysAreCounted() {
        let fixture = HubFixture { $0.keyBytesMax = 10 }
        let stream = fixture.open()
        #expect(stream.stream.create(WatchSpec("12345")) == .created(0))
        #expect(
            stream.stream.create(WatchSpec("123", end: "124"))
                == .refused(.refused("t4: too many watches on this node")))
        #expect(stream.stream.create(WatchSpec("1", end: "124")) == .created(1))
        stream.stream.cancel(1)
        #expect(stream.stream.create(WatchSpec("12345")) == .created(2))
        stream.stream.close()
        #expect(fixture.open().stream.create(WatchSpec("1234567890")) == .created(0))
    }
}
