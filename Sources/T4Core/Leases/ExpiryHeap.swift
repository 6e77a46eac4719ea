/// What is due when, earliest first.
struct ExpiryHeap {
    struct Entry {
        var due: Duration
        var id: Int64
        /// Tells a lease from an earlier one of the same id.
        var token: Int
    }

    private(set) var entries: [Entry] = []

    init() {}

    init(_ unordered: [Entry]) {
        // A sorted array is a heap.
        entries = unordered.sorted { $0.due < $1.due }
    }

    var first: Entry? { entries.first }

    mutating func insert(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].due < entries[parent].due else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func removeFirst() -> Entry {
        entries.swapAt(0, entries.count - 1)
        let first = entries.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count {
                if entries[child].due < entries[least].due { least = child }
            }
            guard least != parent else { return first }
            entries.swapAt(parent, least)
            parent = least
        }
    }
}
