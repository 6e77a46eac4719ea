import Synchronization
import T4Core

/// A store in memory with complete history above its compacted revision.
final class FakeSource: WatchSource {
    struct Contents {
        var history: [RevisionEvents] = []
        var live: [[UInt8]: KeyValue] = [:]
        var revision = Revision.initial
        var compacted = Revision.none
        var failure: DatabaseError?
        var reads = 0
    }

    enum Write: Sendable {
        case put(String, String)
        case delete(String)
    }

    let contents = Mutex(Contents())
    /// Called in each read.
    let onRead = Mutex<@Sendable () -> Void>({})

    var revision: Revision { contents.withLock { $0.revision } }
    var compactedRevision: Revision { contents.withLock { $0.compacted } }
    var history: [RevisionEvents] { contents.withLock { $0.history } }
    var reads: Int { contents.withLock { $0.reads } }

    func fail(with error: DatabaseError?) { contents.withLock { $0.failure = error } }

    func changes(
        from first: Revision, through last: Revision, includePrevious: Bool, byteLimit: Int
    ) throws(DatabaseError) -> [RevisionEvents] {
        onRead.withLock { $0 }()
        let found = contents.withLock { contents -> Result<[RevisionEvents], DatabaseError> in
            contents.reads += 1
            if let failure = contents.failure { return .failure(failure) }
            guard first >= contents.compacted else { return .failure(DatabaseError(.compacted)) }
            var result: [RevisionEvents] = []
            var bytes = 0
            for var revision in contents.history where revision.revision >= first && revision.revision <= last {
                for index in revision.events.indices {
                    let event = revision.events[index]
                    bytes += event.current.key.count + event.current.value.count
                    if !includePrevious || revision.revision <= contents.compacted {
                        revision.events[index].previous = nil
                    }
                }
                result.append(revision)
                if bytes > byteLimit { break }
            }
            return .success(result)
        }
        return try found.get()
    }

    /// Makes one revision visible. Deletions of absent keys are left out; nil when nothing remains.
    func write(_ writes: [Write]) -> RevisionEvents? {
        contents.withLock { contents in
            let revision = contents.revision.next
            var events: [Event] = []
            for write in writes {
                switch write {
                case .put(let name, let value):
                    let key = Array(name.utf8)
                    let previous = contents.live[key]
                    let current = KeyValue(
                        key: key, createRevision: previous?.createRevision ?? revision, modRevision: revision,
                        version: (previous?.version ?? 0) + 1, lease: 0, value: Array(value.utf8))
                    contents.live[key] = current
                    events.append(Event(kind: .put, current: current, previous: previous))
                case .delete(let name):
                    let key = Array(name.utf8)
                    guard let previous = contents.live.removeValue(forKey: key) else { continue }
                    let current = KeyValue(
                        key: key, createRevision: .none, modRevision: revision, version: 0, lease: 0, value: [])
                    events.append(Event(kind: .delete, current: current, previous: previous))
                }
            }
            guard !events.isEmpty else { return nil }
            contents.revision = revision
            let result = RevisionEvents(revision: revision, events: events)
            contents.history.append(result)
            return result
        }
    }

    func compact(to revision: Revision) {
        contents.withLock { $0.compacted = max($0.compacted, revision) }
    }
}

/// A clock that moves when told.
final class ManualClock: ElapsedClock {
    private let time = Mutex(Duration.seconds(1000))

    var now: Duration { time.withLock { $0 } }

    func advance(by duration: Duration) { time.withLock { $0 += duration } }
}

extension WatchSpec {
    /// A watch of a key, or of a range, given as text.
    init(_ key: String, end: String = "", from start: Int64 = 0, id: Int64 = 0) {
        self.init(key: Array(key.utf8), rangeEnd: Array(end.utf8), startRevision: start, id: id)
    }

    func with(_ change: (inout WatchSpec) -> Void) -> WatchSpec {
        var copy = self
        change(&copy)
        return copy
    }
}
