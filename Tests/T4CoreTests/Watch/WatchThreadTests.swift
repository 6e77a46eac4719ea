import Synchronization
import T4Conformance
import Testing

@testable import T4Core

// Goal: the hub under real threads: one publishes, several create, cancel, drain and close, the worker catches up.
// Method: every consumer checks its own streams against the history; waits are on signals only.

@Suite struct WatchThreadTests {
    @Test(arguments: 0..<4) func publishAgainstEverythingElse(seed: UInt64) {
        let source = FakeSource()
        var settings = WatchSettings()
        settings.queueBytesMax = 2000
        settings.ringRevisionsMax = seed % 2 == 0 ? 20 : 2000
        settings.replayBytesMax = 3000
        let hub = WatchHub(source: source, settings: settings)
        hub.start()
        let revisions = 1200
        let consumers = (0..<3).map { number in
            Consumer(hub: hub, source: source, seed: seed * 100 + UInt64(number), last: Int64(revisions) + 1)
        }
        let threads = consumers.map { consumer in SignalledThread(name: "consumer") { consumer.step() } }
        for (consumer, thread) in zip(consumers, threads) {
            consumer.onSignal.withLock { $0 = { thread.wake() } }
            thread.start()
        }
        var random = SeededGenerator(seed: seed)
        var batch: [RevisionEvents] = []
        for number in 0..<revisions {
            let key = "k\(Int.random(in: 0..<6, using: &random))"
            if let events = source.write([.put(key, "\(number)")]) { batch.append(events) }
            if Int.random(in: 0..<4, using: &random) == 0 || number == revisions - 1 {
                hub.publish(batch)
                batch = []
            }
        }
        for consumer in consumers { consumer.done.wait() }
        for thread in threads { thread.stop() }
        for consumer in consumers {
            #expect(consumer.problems == [])
            #expect(consumer.received > 0)
            consumer.close()
        }
        hub.stop()
        #expect(hub.counts == WatchCounts())
    }

    @Test func theWorkerServesOldStartsAndTicks() {
        let source = FakeSource()
        var settings = WatchSettings()
        settings.progressInterval = .milliseconds(1)
        _ = source.write([.put("k", "1")])
        let hub = WatchHub(source: source, settings: settings)
        hub.start()
        hub.start()
        let signal = Gate()
        let stream = hub.openStream { signal.open() }
        _ = stream?.create(WatchSpec("k", from: 2).with { $0.progressNotify = true })
        var messages: [String] = []
        while messages.count < 4 {
            signal.wait()
            while let some = stream?.drain(maxBytes: 1000), !some.isEmpty {
                messages += some.map(StreamFixture.text)
            }
        }
        #expect(
            messages.prefix(4) == ["created 0 @2", "events 0 @2 k=1#2", "progress 0 @2", "progress 0 @2"])
        hub.stop()
        hub.stop()
    }

    @Test func aStoppedHubIsReleased() {
        let source = FakeSource()
        weak var released: WatchHub?
        do {
            let hub = WatchHub(source: source)
            released = hub
            hub.start()
            hub.stop()
        }
        #expect(released == nil)
    }

    @Test func threadStepsWhenWokenAndStops() {
        let count = Mutex(0)
        let stepped = Gate()
        let thread = SignalledThread(name: "test") {
            count.withLock { $0 += 1 }
            stepped.open()
            return .whenWoken
        }
        thread.wake()
        #expect(count.withLock { $0 } == 0)
        thread.start()
        thread.start()
        stepped.wait()
        for _ in 0..<100 {
            thread.wake()
            stepped.wait()
        }
        thread.stop()
        thread.stop()
        let final = count.withLock { $0 }
        #expect((101...102).contains(final))
        thread.wake()
        thread.start()
        #expect(count.withLock { $0 } == final)
        let never = SignalledThread(name: "never") { .again }
        never.stop()
    }

    @Test func threadStepsAfterATime() {
        let count = Mutex(0)
        let finished = Gate()
        let thread = SignalledThread(name: "test") {
            let steps = count.withLock { count in
                count += 1
                return count
            }
            if steps == 5 {
                finished.open()
                return .whenWoken
            }
            return steps == 3 ? .again : .after(.milliseconds(1))
        }
        thread.start()
        finished.wait()
        thread.stop()
        #expect(count.withLock { $0 } == 5)
    }
}

/// Creates, cancels and drains on one stream at a time until everything was published and received.
private final class Consumer: Sendable {
    private struct State {
        var random: SeededGenerator
        var stream: WatchStream?
        var checker: WatchChecker
        var creations = 0
        var drained = 0
        var caughtUp = false
    }

    let onSignal = Mutex<@Sendable () -> Void>({})
    let done = Gate()
    private let hub: WatchHub
    private let last: Int64
    private let state: Mutex<State>

    init(hub: WatchHub, source: FakeSource, seed: UInt64, last: Int64) {
        self.hub = hub
        self.last = last
        state = Mutex(State(random: SeededGenerator(seed: seed), checker: WatchChecker(source)))
    }

    var problems: [String] { state.withLock { Array($0.checker.problems.prefix(3)) } }
    var received: Int { state.withLock { $0.checker.deliveries } }

    func close() { state.withLock { $0.stream = nil } }

    func step() -> SignalledThread.Next {
        state.withLock { state in
            if state.stream == nil {
                state.stream = hub.openStream { [weak self] in self?.onSignal.withLock { $0 }() }
                state.checker.open(0)
            }
            guard let stream = state.stream, !state.caughtUp else { return .whenWoken }
            if state.creations < 200 {
                create(&state, stream)
                if state.creations % 50 == 0, state.creations < 200 {
                    stream.close()
                    state.stream = nil
                    return .again
                }
                stream.cancel(Int64.random(in: 0...40, using: &state.random))
            }
            for delivery in stream.drain(maxBytes: .random(in: 1...5000, using: &state.random)) {
                state.checker.received(delivery, on: 0)
                if case .progress(-1, let revision) = delivery, revision.rawValue >= last {
                    state.caughtUp = true
                    state.checker.finish(lagging: 0)
                    done.open()
                    return .whenWoken
                }
                if case .progress = delivery { stream.requestProgress() }
            }
            if state.creations >= 200, !state.caughtUp { stream.requestProgress() }
            return state.creations < 200 || stream.backlog.messages > 0 ? .again : .whenWoken
        }
    }

    private func create(_ state: inout State, _ stream: WatchStream) {
        state.creations += 1
        let key = "k\(Int.random(in: 0..<6, using: &state.random))"
        let start = Int64.random(in: 0...last / 2, using: &state.random)
        let spec = WatchSpec(key, end: ["", "k9", "\0"].randomElement(using: &state.random) ?? "", from: start)
        state.checker.asked(spec)
        state.checker.created(stream.create(spec), on: 0)
    }
}

/// Lets one waiter through per opening; openings do not add up.
final class Gate: Sendable {
    private let inner = BlockingFlag()
    func open() { inner.raise() }
    func wait() { inner.waitAndLower() }
}
