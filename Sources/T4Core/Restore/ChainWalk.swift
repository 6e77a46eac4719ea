import T4Protocols

/// How far the log behind a state leads on the way to a goal.
struct ChainWalk {
    /// Where to stop.
    enum Goal: Hashable {
        /// At the end of the log.
        case end
        /// At the entry of that index, which lies behind the start.
        case index(UInt64)
        /// At the entry that made the revision, which is a later one than that of the start.
        case revision(Revision)
        /// At the last entry that was committed at that time or before.
        case time(UInt64)
    }

    /// Where a walk begins: behind a checkpoint or before the first entry.
    struct Start {
        var position = LogPosition.zero
        var revision = Revision.initial
        var time: UInt64 = 0
    }

    /// The last entry up to the goal.
    private(set) var position: LogPosition
    /// The revision of the state after that entry.
    private(set) var revision: Revision
    /// Commit time of that entry.
    private(set) var time: UInt64
    private(set) var entryCount: UInt64 = 0
    /// Bytes of the entries in the log.
    private(set) var entrySize: UInt64 = 0
    /// Whether entries follow that were not taken, or the goal was met by its very entry. If not, the log ends here.
    private(set) var isStopped = false

    /// Reads the chain behind `start`.
    init(_ chain: LogChain, after start: Start, to goal: Goal) throws {
        (position, revision, time) = (start.position, start.revision, start.time)
        if goal == .index(start.position.index) {
            isStopped = true
            return
        }
        var walk = self
        _ = try chain.read(after: start.position) { walk.take($0, goal) }
        self = walk
    }

    private mutating func take(_ entry: LogEntry, _ goal: Goal) -> LogStep {
        var isLast = false
        switch goal {
        case .end: break
        case .index(let index): isLast = entry.position.index == index
        case .revision(let revision): isLast = entry.revision == revision
        case .time(let time):
            guard entry.time <= time else {
                isStopped = true
                return .stop
            }
        }
        position = entry.position
        if entry.revision != .none { revision = entry.revision }
        time = entry.time
        entryCount += 1
        entrySize += UInt64(LogFormat.frameSize(entry))
        guard isLast else { return .next }
        isStopped = true
        return .stop
    }
}
