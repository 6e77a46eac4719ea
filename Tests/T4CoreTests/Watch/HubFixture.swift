import Synchronization

@testable import T4Core

/// A hub without its thread over a fake store: tests decide when it works.
final class HubFixture {
    let source = FakeSource()
    let clock = ManualClock()
    let hub: WatchHub

    init(_ change: (inout WatchSettings) -> Void = { _ in }) {
        var settings = WatchSettings()
        change(&settings)
        hub = WatchHub(source: source, settings: settings, clock: clock)
    }

    /// Writes and publishes one revision.
    func write(_ writes: FakeSource.Write...) {
        if let events = source.write(writes) { hub.publish([events]) }
    }

    func compact(to revision: Int64) {
        source.compact(to: Revision(revision))
        hub.compacted(to: Revision(revision))
    }

    func open() -> StreamFixture { StreamFixture(hub) }

    /// Lets the worker work until it has nothing to do.
    func catchUp() {
        while hub.replayRound() {}
    }
}

/// A stream with a count of its signals.
final class StreamFixture {
    let stream: WatchStream
    private let counter: SignalCounter

    init(_ hub: WatchHub) {
        let counter = SignalCounter()
        self.counter = counter
        guard let stream = hub.openStream(sink: { counter.count() }) else { fatalError("the hub is closed") }
        self.stream = stream
    }

    var signals: Int { counter.value }

    /// Everything queued, as text: one line per message.
    func messages() -> [String] {
        var result: [String] = []
        while true {
            let deliveries = stream.drain(maxBytes: 1 << 30)
            if deliveries.isEmpty { return result }
            result += deliveries.map(Self.text)
        }
    }

    static func text(_ delivery: WatchDelivery) -> String {
        switch delivery {
        case .created(let id, let revision): "created \(id) @\(revision)"
        case .refused(let reason, let revision): "refused \(text(reason)) @\(revision)"
        case .canceled(let id, let reason, let revision): "canceled \(id) \(text(reason)) @\(revision)"
        case .progress(let id, let revision): "progress \(id) @\(revision)"
        case .events(let events):
            "events \(events.watchID) @\(events.revision)"
                + events.shared.events.map { " " + text($0, previous: events.previous) }.joined()
        }
    }

    private static func text(_ reason: WatchEnd) -> String {
        switch reason {
        case .requested: "requested"
        case .compacted(let revision): "compacted \(revision)"
        case .negativeStart: "negative"
        case .emptyRange: "empty"
        case .duplicateID: "duplicate"
        case .refused(let text): text
        case .failed(let error): "failed \(error.code.rawValue)"
        case .stopped: "stopped"
        }
    }

    private static func text(_ event: Event, previous: Bool) -> String {
        let key = String(decoding: event.current.key, as: UTF8.self)
        let value = String(decoding: event.current.value, as: UTF8.self)
        var result = event.kind == .put ? "\(key)=\(value)" : "-\(key)"
        result += "#\(event.current.modRevision)"
        if previous, let before = event.previous { result += "(\(String(decoding: before.value, as: UTF8.self)))" }
        return result
    }
}

final class SignalCounter: Sendable {
    private let state = Mutex(0)
    var value: Int { state.withLock { $0 } }
    func count() { state.withLock { $0 += 1 } }
}
