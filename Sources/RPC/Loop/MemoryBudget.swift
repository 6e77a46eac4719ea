import Synchronization

/// Memory that the connections of all event loops of a server may take for what waits in them.
final class MemoryBudget: Sendable {
    let bytesMax: Int
    /// A loop tells of changes of its own from this size on, so that the loops seldom touch the same memory. What they
    /// have not told of is a sixty-fourth of all at most.
    let grain: Int
    private let bytes = Atomic<Int>(0)

    init(bytesMax: Int, loopCount: Int) {
        self.bytesMax = bytesMax
        grain = max(1, min(256 * 1024, bytesMax / 64 / loopCount))
    }

    func add(_ change: Int) { bytes.add(change, ordering: .relaxed) }

    /// More than half is taken.
    var isScarce: Bool { bytes.load(ordering: .relaxed) > bytesMax / 2 }
    /// More is taken than there is.
    var isUsedUp: Bool { bytes.load(ordering: .relaxed) > bytesMax }
}
