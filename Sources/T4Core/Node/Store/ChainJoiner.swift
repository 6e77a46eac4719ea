import Synchronization
import T4Protocols

/// Joins objects of this run's log, but none across a place where a checkpoint ends or may end.
///
/// A checkpoint whose writer failed may have become the newest one nevertheless, or may still: readers begin behind it,
/// and a collection cuts the log there.
final class ChainJoiner: Sendable {
    private let merger: LogMerger
    private let uploader: LogUploader
    private let trail: StateTrail
    /// Last entries of checkpoints that were begun since objects were joined, in order.
    private let ends = Mutex<[UInt64]>([])

    init(_ merger: LogMerger, uploader: LogUploader, trail: StateTrail) {
        self.merger = merger
        self.uploader = uploader
        self.trail = trail
    }

    /// A checkpoint that ends with that entry is about to be written.
    func checkpointBegins(at index: UInt64) { ends.withLock { $0.append(index) } }

    /// Joins what ends before the newest place where a checkpoint may end: the next one ends there or later.
    /// - Parameter limit: Nothing behind that entry is joined.
    /// - Returns: How many objects there are less.
    /// - Throws: As `LogMerger.merge`.
    func join(through limit: UInt64) throws -> Int {
        guard let newest = trail.newest else { return 0 }
        let ends = ends.withLock { ends in
            let taken = ends.filter { $0 <= limit }
            ends.removeAll { $0 <= limit }
            return taken
        }
        // All of them are taken first: after an error the local log may go from which the others would be read.
        let pieces = (ends + [min(newest.position.index, limit)]).map { uploader.takeObjects(through: $0) }
        return try pieces.reduce(0) { removed, objects in removed + (try merger.merge(objects)) }
    }
}
