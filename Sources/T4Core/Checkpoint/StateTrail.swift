package import T4Protocols

/// Where the state stood at recent entries of the log, so that a checkpoint can say what it must add up to.
///
/// A checkpoint ends where an object of the chain ends and where a batch was applied. Both are reported here; the newest
/// entry that is both is where the next checkpoint may end, and everything older is forgotten.
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

    private struct State {
        var applied: [Mark] = []
        var ends: [LogPosition] = []
        var newest: Mark?
    }

    private let state = Monitor(State())

    package init() {}

    /// The newest place where a checkpoint may end; nil when none is known.
    package var newest: Mark? { state.withLock { $0.newest } }

    /// A batch was applied; in order.
    package func applied(_ mark: Mark) {
        state.withLock { state in
            state.applied.append(mark)
            StateTrail.settle(&state)
        }
        state.broadcast()
    }

    /// An object of the chain ends there; in order.
    package func uploaded(to end: LogPosition) {
        state.withLock { state in
            state.ends.append(end)
            StateTrail.settle(&state)
        }
        state.broadcast()
    }

    private static func settle(_ state: inout State) {
        // Both lists rise, and what is matched is taken out, so this looks at few elements.
        var (mark, end) = (state.applied.count - 1, state.ends.count - 1)
        while mark >= 0, end >= 0 {
            let (left, right) = (state.applied[mark].position.index, state.ends[end].index)
            if left == right {
                state.newest = state.applied[mark]
                state.applied.removeFirst(mark + 1)
                state.ends.removeFirst(end + 1)
                return
            }
            if left > right { mark -= 1 } else { end -= 1 }
        }
    }
}
