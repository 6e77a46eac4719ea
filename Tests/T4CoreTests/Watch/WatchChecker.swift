import T4Core

/// Compares the messages of streams with the history of their source.
final class WatchChecker {
    private struct Expectation {
        var spec: WatchSpec
        /// No matching event below this is still to come.
        var next: Int64
        var floor: Int64
    }

    private let source: FakeSource
    private var lastSpec = WatchSpec(key: [])
    /// Specs of created watches whose message has not come, per stream in order.
    private var announced: [Int: [(id: Int64, spec: WatchSpec)]] = [:]
    private var watches: [Int: [Int64: Expectation]] = [:]
    /// Ids of watches that a compaction ended and the client has not cancelled.
    private var compactedAway: [Int: Set<Int64>] = [:]
    private(set) var problems: [String] = []
    private(set) var deliveries = 0

    init(_ source: FakeSource) { self.source = source }

    func open(_ stream: Int) {
        announced[stream] = []
        watches[stream] = [:]
        compactedAway[stream] = []
    }

    func asked(_ spec: WatchSpec) { lastSpec = spec }

    func created(_ creation: WatchCreation, on stream: Int) {
        if case .created(let id) = creation { announced[stream, default: []].append((id, lastSpec)) }
        if case .closed = creation { problems.append("closed") }
    }

    func received(_ delivery: WatchDelivery, on stream: Int) {
        deliveries += 1
        switch delivery {
        case .created(let id, let revision):
            check(compactedAway[stream]?.contains(id) != true, "\(id) is still in use")
            begin(id, revision.rawValue, on: stream)
        case .refused(let reason, _):
            if reason != .duplicateID && reason != .emptyRange { problems.append("refused: \(reason)") }
        case .canceled(let id, let reason, let revision):
            guard let watch = watches[stream]?.removeValue(forKey: id) else {
                check(
                    reason == .requested && compactedAway[stream]?.remove(id) != nil, "cancel of unknown \(id)")
                return
            }
            if case .compacted(let compacted) = reason {
                compactedAway[stream]?.insert(id)
                check(watch.next < compacted.rawValue, "\(id) needed \(watch.next), compacted \(compacted)")
                check(revision == .none, "header of a compaction")
            } else {
                check(reason == .requested, "\(reason)")
            }
        case .events(let events): take(events, on: stream)
        case .progress(let id, let revision):
            if id != -1 { check(watches[stream]?[id] != nil, "progress of unknown \(id)") }
            for (other, watch) in watches[stream] ?? [:] where id == -1 || id == other {
                let missing = expected(watch, through: revision.rawValue)
                check(missing.isEmpty, "progress @\(revision) of \(other) ahead of \(missing.count) events")
                check(revision.rawValue >= watch.floor, "progress @\(revision) below start \(watch.floor)")
                watches[stream]?[other]?.next = max(watch.next, revision.rawValue + 1)
            }
        }
    }

    private func begin(_ id: Int64, _ revision: Int64, on stream: Int) {
        guard let first = announced[stream]?.first, first.id == id else {
            problems.append("created \(id) out of order")
            return
        }
        announced[stream]?.removeFirst()
        check(watches[stream]?[id] == nil, "\(id) created twice")
        let start = first.spec.startRevision
        watches[stream]?[id] = Expectation(
            spec: first.spec, next: start == 0 ? revision + 1 : start, floor: max(start, revision))
    }

    private func take(_ events: WatchEvents, on stream: Int) {
        guard let watch = watches[stream]?[events.watchID] else {
            problems.append("events of unknown \(events.watchID)")
            return
        }
        let wanted = expected(watch, through: events.revision.rawValue)
        let got = events.shared.events
        check(wanted.count == got.count, "\(events.watchID) @\(events.revision): \(got.count) for \(wanted.count)")
        check(events.previous == watch.spec.previous, "previous flag")
        for (want, event) in zip(wanted, got) {
            check(want.current == event.current && want.kind == event.kind, "\(event) for \(want)")
            guard watch.spec.previous else { continue }
            let isCompacted = event.current.modRevision <= source.compactedRevision
            check(event.previous == want.previous || (event.previous == nil && isCompacted), "previous of \(event)")
        }
        watches[stream]?[events.watchID]?.next = max(watch.next, events.revision.rawValue + 1)
    }

    private func expected(_ watch: Expectation, through last: Int64) -> [Event] {
        guard watch.next <= last else { return [] }
        return source.history.lazy
            .filter { $0.revision.rawValue >= watch.next && $0.revision.rawValue <= last }
            .flatMap(\.events)
            .filter { Self.matches(watch.spec, $0) }
    }

    /// Written anew, not with the code under test.
    private static func matches(_ spec: WatchSpec, _ event: Event) -> Bool {
        if event.kind == .put ? spec.noPut : spec.noDelete { return false }
        let key = String(decoding: event.current.key, as: UTF8.self)
        let first = String(decoding: spec.key, as: UTF8.self)
        let end = String(decoding: spec.rangeEnd, as: UTF8.self)
        if end.isEmpty { return key == first }
        return key >= first && (end == "\0" || key < end)
    }

    private func check(_ holds: Bool, _ problem: @autoclosure () -> String) {
        if !holds { problems.append(problem()) }
    }

    /// After everything was published, caught up and drained.
    func finish(lagging: Int) {
        check(lagging == 0, "\(lagging) watches never caught up")
        for (stream, watches) in watches {
            check(announced[stream]?.isEmpty ?? true, "missing created")
            for (id, watch) in watches {
                let missing = expected(watch, through: .max)
                check(missing.isEmpty, "\(id) of stream \(stream) lacks \(missing.count) events")
            }
        }
    }
}
