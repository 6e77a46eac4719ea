import T4Conformance
import Testing

@testable import T4Core

// Goal: with every option, slow consumers, compactions and small limits at once, each watch gets exactly what the
// history says, or is told that it ended. Method: random operations against a hub whose worker moves when told; a
// checker that knows the whole history looks at every message. A failure names its seed.

@Suite struct WatchModelTests {
    @Test(arguments: 0..<300) func randomOperations(seed: UInt64) throws {
        var run = ModelRun(seed: seed)
        for _ in 0..<400 { run.step() }
        run.finish()
        #expect(run.checker.problems.isEmpty)
    }
}

private struct ModelRun {
    let fixture: HubFixture
    let checker: WatchChecker
    private var random: SeededGenerator
    private var streams: [StreamFixture] = []
    private var unpublished: [RevisionEvents] = []

    init(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let fixture = HubFixture {
            $0.queueBytesMax = [300, 1500, 10_000].randomElement(using: &random) ?? 300
            $0.ringRevisionsMax = [0, 3, 20, 1000].randomElement(using: &random) ?? 0
            $0.replayBytesMax = [1, 200, 10_000].randomElement(using: &random) ?? 1
            $0.progressInterval = .seconds(10)
        }
        self.fixture = fixture
        checker = WatchChecker(fixture.source)
        self.random = random
        streams = (0..<3).map { _ in fixture.open() }
        for index in streams.indices { checker.open(index) }
    }

    private mutating func key() -> String { ["a", "b", "c", "d", "e"].randomElement(using: &random) ?? "a" }

    mutating func step() {
        let stream = Int.random(in: 0..<streams.count, using: &random)
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<40: write()
        case 40..<60: publish()
        case 60..<68: checker.created(streams[stream].stream.create(spec()), on: stream)
        case 68..<71: streams[stream].stream.cancel(.random(in: 0..<12, using: &random))
        case 71..<75: streams[stream].stream.requestProgress()
        case 75..<86: drain(stream, maxBytes: .random(in: 0..<2000, using: &random))
        case 86..<96: _ = fixture.hub.replayRound()
        case 96..<98: compact()
        case 98:
            fixture.clock.advance(by: .seconds(6))
            fixture.hub.tick(now: fixture.clock.now)
        default:
            streams[stream].stream.close()
            streams[stream] = fixture.open()
            checker.open(stream)
        }
    }

    private mutating func write() {
        let writes = (0..<Int.random(in: 1...3, using: &random)).map { _ -> FakeSource.Write in
            if Int.random(in: 0..<4, using: &random) == 0 { return .delete(key()) }
            return .put(key(), String(repeating: "v", count: .random(in: 0..<50, using: &random)))
        }
        if let events = fixture.source.write(writes) { unpublished.append(events) }
        if Bool.random(using: &random) { publish() }
    }

    private mutating func publish() {
        fixture.hub.publish(unpublished)
        unpublished = []
    }

    private mutating func compact() {
        let revision = fixture.source.revision.rawValue
        let target = Revision(.random(in: max(1, revision - 30)...revision, using: &random))
        fixture.source.compact(to: target)
        if Bool.random(using: &random) { fixture.hub.compacted(to: fixture.source.compactedRevision) }
    }

    private mutating func spec() -> WatchSpec {
        let current = fixture.source.revision.rawValue
        let starts = [
            0, 0, 0, current + 1, current + .random(in: 2...9, using: &random), max(1, current - 5),
            max(1, current - 40),
        ]
        let ends = ["", "", "\0", "c", "f"]
        return WatchSpec(
            key(), end: ends.randomElement(using: &random) ?? "", from: starts.randomElement(using: &random) ?? 0,
            id: [0, 0, 0, 5, 9].randomElement(using: &random) ?? 0
        ).with {
            $0.previous = .random(using: &random)
            $0.noPut = Int.random(in: 0..<5, using: &random) == 0
            $0.noDelete = Int.random(in: 0..<5, using: &random) == 0
            $0.progressNotify = .random(using: &random)
            checker.asked($0)
        }
    }

    private func drain(_ stream: Int, maxBytes: Int) {
        for delivery in streams[stream].stream.drain(maxBytes: maxBytes) { checker.received(delivery, on: stream) }
    }

    mutating func finish() {
        publish()
        fixture.hub.compacted(to: fixture.source.compactedRevision)
        for _ in 0..<10_000 {
            var worked = fixture.hub.replayRound()
            for stream in streams.indices where streams[stream].stream.backlog.messages > 0 {
                drain(stream, maxBytes: 500)
                worked = true
            }
            if !worked { break }
        }
        for stream in streams.indices { streams[stream].stream.requestProgress() }
        for stream in streams.indices { drain(stream, maxBytes: .max) }
        checker.finish(lagging: fixture.hub.counts.lagging)
    }
}
