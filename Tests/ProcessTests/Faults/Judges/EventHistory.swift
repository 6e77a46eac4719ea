/// What watchers of all keys saw, beside what writers know.
struct EventHistory: Sendable {
    struct Write: Hashable, Sendable {
        var key: String
        /// Nobody else writes it, and this one once; nil for a deletion.
        var value: String?
        /// Where it was acknowledged.
        var revision: Int64
    }

    /// Behind this revision they watch.
    var start: Int64
    /// Each with everything up to the end, in the order in which it came, over all its connections.
    var watchers: [[Change]] = []
    var acknowledged: [Write] = []
    /// Values of writes of which it was said that nothing came of them.
    var refused: [String] = []

    /// What is wrong, if the database holds this in the end. What the watches saw later does not count.
    func faults(finally state: DatabaseState, before: [Change] = []) -> [String] {
        let end = state.revision
        let watchers = watchers.map { $0.filter { $0.revision <= end } }
        guard let first = watchers.first else { return ["nobody watched"] }
        var faults: [String] = []
        for (number, watcher) in watchers.enumerated() {
            faults += EventHistory.orderFaults(watcher, from: start, through: end).map { "watcher \(number): \($0)" }
            if number > 0, watcher != first { faults.append(EventHistory.difference(first, watcher, number)) }
        }
        let places = Dictionary(grouping: first, by: \.revision)
        for write in acknowledged where write.revision <= end {
            let isThere = places[write.revision, default: []].contains {
                $0.key == write.key && $0.value == write.value
            }
            if !isThere {
                faults.append("lost: \(write); there is \(places[write.revision, default: []])")
            }
        }
        let values = Dictionary(grouping: first.filter { $0.value != nil }, by: { "\($0.key) \($0.value!)" })
        faults += values.values.filter { $0.count > 1 }.map { "written twice: \($0)" }
        let written = Set(first.compactMap(\.value))
        faults += refused.filter(written.contains).map { "refused, and yet written: \($0)" }
        var rows = Dictionary(uniqueKeysWithValues: before.map { ($0.key, $0) })
        for change in first { rows[change.key] = change.value == nil ? nil : change }
        let shown = Set(state.rows)
        let expected = Set(rows.values)
        if shown != expected {
            faults.append(
                "the state is not what the events make; too much: \(shown.subtracting(expected)), missing: "
                    + "\(expected.subtracting(shown))")
        }
        return faults
    }

    /// Each revision is there, in order, and no key twice in one.
    private static func orderFaults(_ changes: [Change], from start: Int64, through end: Int64) -> [String] {
        var faults: [String] = []
        var (last, keys) = (start, Set<String>())
        for change in changes {
            if change.revision == last, last > start, keys.insert(change.key).inserted { continue }
            if change.revision != last + 1 { faults.append("revision \(last), and then \(change)") }
            (last, keys) = (change.revision, [change.key])
        }
        if last != end { faults.append("ends with revision \(last), not with \(end)") }
        return faults
    }

    private static func difference(_ first: [Change], _ other: [Change], _ number: Int) -> String {
        let place = zip(first, other).enumerated().first { $1.0 != $1.1 }?.offset ?? min(first.count, other.count)
        let (one, two) = (first.dropFirst(place).first, other.dropFirst(place).first)
        return
            "watchers 0 and \(number) differ: \(one.map { "\($0)" } ?? "nothing") and \(two.map { "\($0)" } ?? "nothing")"
    }
}
