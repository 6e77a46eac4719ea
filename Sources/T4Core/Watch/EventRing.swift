/// The most recent revisions, one `SharedEvents` each, bounded in number and bytes.
struct EventRing {
    private var revisions = FIFO<SharedEvents>()
    private var bytes = 0
    private let bytesMax: Int
    private let revisionsMax: Int

    /// Everything from this revision up to the newest is here.
    private(set) var completeFrom: Int64

    init(after revision: Int64, bytesMax: Int, revisionsMax: Int) {
        completeFrom = revision + 1
        self.bytesMax = bytesMax
        self.revisionsMax = revisionsMax
    }

    mutating func append(_ events: SharedEvents) {
        revisions.append(events)
        bytes += events.byteCount
        while bytes > bytesMax || revisions.count > revisionsMax, let oldest = revisions.popFirst() {
            bytes -= oldest.byteCount
            completeFrom = oldest.lastRevision.rawValue + 1
        }
    }

    /// The revisions from `first` on until `byteLimit` is passed, at least one if there is any.
    /// - Precondition: `first` is not below `completeFrom`.
    func slice(from first: Int64, byteLimit: Int) -> [SharedEvents] {
        precondition(first >= completeFrom)
        var low = 0
        var high = revisions.count
        while low < high {
            let middle = (low + high) / 2
            if revisions[middle].lastRevision.rawValue < first { low = middle + 1 } else { high = middle }
        }
        var result: [SharedEvents] = []
        var taken = 0
        while low < revisions.count, taken <= byteLimit {
            result.append(revisions[low])
            taken += revisions[low].byteCount
            low += 1
        }
        return result
    }
}
