import Synchronization
package import T4Protocols

/// Where the state stood at recent entries of the log, so that a checkpoint can say what it must add up to.
///
/// A checkpoint ends where an object of the chain ends and where a batch was applied. Both are reported here; the newest
/// entry that is both is where the next checkpoint may end, and everything older is forgotten. Of very many marks some are
/// forgotten as well, never the newest: a checkpoint then ends a little earlier than it might.
package final class StateTrail: Sendable {
    /// A place where a checkpoint may end.
    package struct Mark: Hashable, Sendable {
        package var position: LogPosition
        package var meta: MetaRow
        /// Commit time of that entry, nanoseconds since 1970.
        package var time: UInt64

        package init(position: LogPosition, meta: MetaRow, time: UInt64) {
            self.position = position
            self.meta = meta
            self.time = time
        }
    }

    /// What may still be matched: both lists rise, and one of them is always empty.
    private struct State {
        var applied: [Mark] = []
        var ends: [LogPosition] = []
        var newest: Mark?
        /// No checkpoint may end before.
        var floor: UInt64 = 0
    }

    /// Marks that are kept while nothing is uploaded; of more, every other one is forgotten.
    private static let marksMax = 1 << 16

    private let state = Mutex(State())

    package init() {}

    /// The newest place where a checkpoint may end; nil when none is known.
    package var newest: Mark? { state.withLock { $0.newest } }

    /// Another leadership uploads the log now: what is known is forgotten, and no checkpoint is to end before that entry, the first
    /// one of its term. Readers take the term of a checkpoint's last entry for that of its uploader.
    func begin(at index: UInt64) {
        state.withLock { state in
            state = State()
            state.floor = index
        }
    }

    /// A batch was applied; in order.
    package func applied(_ mark: Mark) {
        state.withLock { state in
            guard mark.position.index >= state.floor else { return }
            // Ends before it will never be marks.
            state.ends.removeFirst(state.ends.prefix { $0.index < mark.position.index }.count)
            guard let end = state.ends.first else {
                state.applied.append(mark)
                if state.applied.count > StateTrail.marksMax {
                    state.applied = stride(from: 1, to: state.applied.count, by: 2).map { state.applied[$0] }
                }
                return
            }
            if end == mark.position { state.newest = mark }
            if end.index == mark.position.index { state.ends.removeFirst() }
        }
    }

    /// An object of the chain ends there; in order.
    package func uploaded(to end: LogPosition) {
        state.withLock { state in
            guard end.index >= state.floor else { return }
            // Marks before it will never be ends.
            state.applied.removeFirst(state.applied.prefix { $0.position.index < end.index }.count)
            guard let mark = state.applied.first else {
                state.ends.append(end)
                return
            }
            if end == mark.position { state.newest = mark }
            if end.index == mark.position.index { state.applied.removeFirst() }
        }
    }
}
