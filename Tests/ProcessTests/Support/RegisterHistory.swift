/// What clients did with one key, and when, to find out whether it could have happened one after the other.
///
/// The search is that of Wing and Gong with the memory of Lowe: "Testing for linearizability", 2017.
struct RegisterHistory: Sendable {
    /// What was asked, and what the answer was.
    enum Operation: Hashable, Sendable {
        case read(String?)
        case write(String)
        /// Writes `new` where the key holds `old`; nil where nobody knows whether it did.
        case swap(old: String?, new: String, isDone: Bool?)

        /// What the key holds afterwards, where it held `value`; nil where the answer cannot be.
        fileprivate func after(_ value: String?) -> String?? {
            switch self {
            case .read(let seen): return seen == value ? .some(value) : nil
            case .write(let new): return .some(new)
            case .swap(let old, let new, let isDone):
                guard let isDone else { return .some(old == value ? new : value) }
                if isDone { return old == value ? .some(new) : nil }
                return old == value ? nil : .some(value)
            }
        }
    }

    /// An operation with the times of its begin and its end; without an end nobody knows whether it was done.
    struct Entry: Hashable, Sendable {
        var operation: Operation
        var begin: Duration
        var end: Duration?
    }

    var entries: [Entry] = []

    /// Whether there is an order in which each answer is right, and which puts nothing before what had ended when it began.
    var isLinearizable: Bool {
        var search = Search(entries)
        return search.run()
    }

    /// Begins and ends in the order of time, as a list from which those that are decided are taken out.
    private struct Search {
        private struct Event {
            var entry: Int
            /// Of a begin: where its end is.
            var end: Int?
            var previous: Int
            var next: Int
        }

        private struct Reached: Hashable {
            var decided: [UInt64]
            var value: String?
        }

        private let entries: [Entry]
        /// The first one is the head, the last one the tail.
        private var events: [Event]
        private var decided: [UInt64]
        private var seen: Set<Reached> = []

        init(_ entries: [Entry]) {
            self.entries = entries
            decided = [UInt64](repeating: 0, count: entries.count / 64 + 1)
            var moments: [(time: Duration, isEnd: Bool, entry: Int)] = []
            for (index, entry) in entries.enumerated() {
                moments.append((entry.begin, false, index))
                moments.append((entry.end ?? .seconds(Int64.max / 2), true, index))
            }
            // At one moment begins come first: they overlap.
            moments.sort { ($0.time, $0.isEnd ? 1 : 0, $0.entry) < ($1.time, $1.isEnd ? 1 : 0, $1.entry) }
            events = [Event(entry: -1, end: nil, previous: -1, next: 1)]
            var begins = [Int](repeating: 0, count: entries.count)
            for (place, moment) in moments.enumerated() {
                if moment.isEnd {
                    events[begins[moment.entry]].end = place + 1
                } else {
                    begins[moment.entry] = place + 1
                }
                events.append(Event(entry: moment.entry, end: nil, previous: place, next: place + 2))
            }
            events.append(Event(entry: -1, end: nil, previous: moments.count, next: -1))
        }

        private mutating func unlink(_ place: Int) {
            events[events[place].previous].next = events[place].next
            events[events[place].next].previous = events[place].previous
        }

        private mutating func link(_ place: Int) {
            events[events[place].previous].next = place
            events[events[place].next].previous = place
        }

        mutating func run() -> Bool {
            let tail = events.count - 1
            var value: String?
            var chosen: [(begin: Int, before: String?)] = []
            var place = events[0].next
            while events[0].next != tail {
                let event = events[place]
                if let end = event.end {
                    let (word, bit) = (event.entry / 64, UInt64(1) << UInt64(event.entry % 64))
                    if let after = entries[event.entry].operation.after(value) {
                        decided[word] |= bit
                        if seen.insert(Reached(decided: decided, value: after)).inserted {
                            chosen.append((place, value))
                            value = after
                            unlink(place)
                            unlink(end)
                            place = events[0].next
                            continue
                        }
                        decided[word] &= ~bit
                    }
                    place = event.next
                } else {
                    // Something has ended that none of the orders has: the last choice was wrong.
                    guard let last = chosen.popLast() else { return false }
                    let begun = events[last.begin]
                    value = last.before
                    decided[begun.entry / 64] &= ~(UInt64(1) << UInt64(begun.entry % 64))
                    if let end = begun.end { link(end) }
                    link(last.begin)
                    place = events[last.begin].next
                }
            }
            return true
        }
    }
}
