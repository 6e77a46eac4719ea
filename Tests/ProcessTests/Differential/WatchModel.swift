import EtcdAPI

/// What is due on the watches of a script, so that nothing needs to wait for time to pass.
///
/// It knows every change from the watch of everything that runs beside the script. The changes themselves are compared
/// between the servers; what is counted here only says how many must come.
struct WatchModel: Sendable {
    struct WatchKey: Hashable, Sendable, Comparable {
        let stream: Int
        let id: Int64

        static func < (left: WatchKey, right: WatchKey) -> Bool { (left.stream, left.id) < (right.stream, right.id) }
    }

    struct Change: Hashable, Sendable {
        let revision: Int64
        let key: [UInt8]
        let isDelete: Bool
    }

    struct ActiveWatch: Sendable {
        let key: [UInt8]
        /// Nil: one key; empty: from `key` on.
        let end: [UInt8]?
        let start: Int64
        /// The revision below which t4 tells nothing of progress.
        let floor: Int64
        let skipsPuts: Bool
        let skipsDeletes: Bool
        let wantsPrevious: Bool
        /// True until the first delivery after it was made with a start in the past.
        var isCatchingUp: Bool

        init(_ request: EtcdWatchCreateRequest, revision: Int64) {
            key = request.key.isEmpty ? [0] : Array(request.key)
            end = request.rangeEnd.isEmpty ? nil : Array(request.rangeEnd) == [0] ? [] : Array(request.rangeEnd)
            start = request.startRevision == 0 ? revision + 1 : request.startRevision
            floor = max(revision, request.startRevision)
            skipsPuts = request.filters.contains(.noput)
            skipsDeletes = request.filters.contains(.nodelete)
            wantsPrevious = request.prevKv
            isCatchingUp = start <= revision
        }

        func wants(_ change: Change) -> Bool {
            guard change.revision >= start, !(change.isDelete ? skipsDeletes : skipsPuts) else { return false }
            guard let end else { return change.key == key }
            return !change.key.lexicographicallyPrecedes(key)
                && (end.isEmpty || change.key.lexicographicallyPrecedes(end))
        }
    }

    /// How many events a watch must get of each server.
    struct Due: Hashable, Sendable {
        let etcd: Int
        let t4: Int
    }

    private(set) var changes: [Change] = []
    var active: [WatchKey: ActiveWatch] = [:]
    /// Streams with a progress request that t4 has not answered yet.
    var pendingProgress: Set<Int> = []

    /// Adds what the watch of everything told.
    /// - Returns: How many events each watch must get for it.
    mutating func add(_ events: [EtcdEvent]) -> [WatchKey: Due] {
        let new = events.map {
            Change(revision: $0.kv.modRevision, key: Array($0.kv.key), isDelete: $0.type == .delete)
        }
        changes += new
        return active.mapValues { watch in new.count { watch.wants($0) } }.filter { $0.value > 0 }
            .mapValues { Due(etcd: $0, t4: $0) }
    }

    /// How many changes of the past a new watch must get.
    /// - Parameter compacted: Deletions at this revision are not counted for etcd: 3.5.1 loses them, sooner or later.
    func due(_ watch: ActiveWatch, compacted: Int64) -> Due {
        Due(
            etcd: changes.count { watch.wants($0) && !($0.isDelete && $0.revision == compacted) },
            t4: changes.count { watch.wants($0) })
    }

    func hasWatch(on stream: Int) -> Bool { active.keys.contains { $0.stream == stream } }

    func hasFutureWatch(on stream: Int, revision: Int64) -> Bool {
        active.contains { $0.key.stream == stream && $0.value.floor > revision }
    }
}
