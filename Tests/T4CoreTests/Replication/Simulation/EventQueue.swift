/// What is to happen, in the order of time; what happens at the same time, in the order in which it was asked for.
struct EventQueue {
    struct Event {
        var time: Duration
        var number: Int
        var work: () -> Void
    }

    private var heap: [Event] = []
    private var count = 0

    mutating func add(at time: Duration, _ work: @escaping () -> Void) {
        heap.append(Event(time: time, number: count, work: work))
        count += 1
        var child = heap.count - 1
        while child > 0, precedes(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func next() -> Event? {
        guard let first = heap.first else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && precedes(child, least) {
                least = child
            }
            guard least != parent else { return first }
            heap.swapAt(parent, least)
            parent = least
        }
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        (heap[left].time, heap[left].number) < (heap[right].time, heap[right].number)
    }
}
