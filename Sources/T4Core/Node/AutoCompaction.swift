/// How much history a node keeps; what is older it compacts by itself, at the times at which etcd does.
public enum CompactionRetention: Hashable, Sendable {
    /// The history of this time; more than 0. Compacted once in that time, and at least once in an hour.
    case time(Duration)
    /// So many revisions before the newest; more than 0. Compacted every five minutes.
    case revisions(Int64)
}

/// When to compact, and to which revision, as etcd decides it. Knows no clock: whoever owns it says what time it is.
struct AutoCompaction {
    /// An hour's tenth, or a tenth of a shorter retention: between two looks at the revision, and before a compaction
    /// that failed is tried again.
    private static let looksPerInterval = 10
    private static let intervalMax = Duration.seconds(3600)
    private static let intervalOfRevisions = Duration.seconds(300)

    private let retention: CompactionRetention
    /// Time between two looks.
    let interval: Duration
    /// For `.time`: looks in the retention.
    private let looks: Int
    /// For `.time`: the newest revisions at the last looks, as many as the retention has. The first is that of a whole
    /// retention ago once all are there.
    private var seen: [Revision] = []
    /// For `.time`: when to compact next at the earliest.
    private var due: Duration
    /// For `.revisions`: where the last compaction led.
    private var last = Revision.none

    /// Begins with a first look.
    init(_ retention: CompactionRetention, now: Duration, revision: Revision) {
        self.retention = retention
        switch retention {
        case .time(let time):
            interval = min(time, AutoCompaction.intervalMax) / AutoCompaction.looksPerInterval
            looks =
                time < AutoCompaction.intervalMax
                ? AutoCompaction.looksPerInterval : Int(time.components.seconds / interval.components.seconds)
            due = now + time
            seen = [revision]
        case .revisions:
            interval = AutoCompaction.intervalOfRevisions
            looks = 0
            due = now
        }
    }

    /// The revision to compact to now; nil for none. Asked once in each interval, when that is over.
    func target(now: Duration, newest: Revision) -> Revision? {
        switch retention {
        case .time: return now < due ? nil : seen[0]
        case .revisions(let count):
            let target = Revision(newest.rawValue - count)
            return target > .none && target != last ? target : nil
        }
    }

    /// A compaction succeeded, or there was nothing left to compact. After one that failed the next look asks again.
    mutating func succeeded(to target: Revision, now: Duration) {
        switch retention {
        case .time(let time): due = now + min(time, AutoCompaction.intervalMax)
        case .revisions: last = target
        }
    }

    /// Notes the newest revision when a look is over: the next interval begins.
    mutating func endLook(newest: Revision) {
        guard case .time = retention else { return }
        seen.append(newest)
        if seen.count > looks + 1 { seen.removeFirst() }
    }
}
