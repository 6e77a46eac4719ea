/// One round of catching up: some lagging watches that need about the same history.
///
/// Made and finished under the hub's lock; read and matched without it.
struct Replay: Sendable {
    /// Watches looked at per round.
    static let candidatesMax = 4096
    /// Watches served per round.
    static let membersMax = 256
    /// Revisions by which the watches of a round differ.
    static let distanceMax: Int64 = 1000
    /// Below this many comparisons a round is finished without giving up the lock in between.
    static let smallWork = 2048

    struct Member: Sendable {
        var token: Int
        var filter: WatchFilter
        var previous: Bool
        var next: Int64
    }

    /// What the watches get.
    struct Found: Sendable {
        var members: [(token: Int, events: SharedEvents?)]
        /// All events up to here were looked at.
        var through: Int64
    }

    var members: [Member]
    /// Where to read from: the lowest `next` of the members.
    var first: Int64
    /// Newest revision to read.
    var last: Int64
    var compacted: Int64
    var byteLimit: Int
    private var history: [SharedEvents]?

    init(members: [Member], first: Int64, last: Int64, compacted: Int64, byteLimit: Int) {
        self.members = members
        self.first = first
        self.last = last
        self.compacted = compacted
        self.byteLimit = byteLimit
    }

    /// Hands in what was read, complete from `first` to its own last revision.
    mutating func supply(_ history: [SharedEvents]) { self.history = history }

    /// Changes of what was handed in or read.
    var changeCount: Int { history?.reduce(0) { $0 + $1.events.count } ?? 0 }

    /// The history must be read from the source first.
    var needsSource: Bool { history == nil }

    var isSmall: Bool {
        guard let history else { return false }
        return history.reduce(0) { $0 + $1.events.count } * members.count <= Self.smallWork
    }

    mutating func read(from source: any WatchSource) throws(DatabaseError) {
        let revisions = try source.changes(
            from: Revision(first), through: Revision(last), includePrevious: members.contains { $0.previous },
            byteLimit: byteLimit)
        history = revisions.map { SharedEvents($0.events) }
    }

    /// Chooses each member's events; equal choices share one object.
    func match() -> Found {
        struct Choice: Hashable {
            var filter: WatchFilter
            var next: Int64
        }
        let history = (history ?? []).map { withoutCompacted($0) }
        let through = history.last?.lastRevision.rawValue ?? last
        var known: [Choice: SharedEvents?] = [:]
        let found = members.map { member -> (token: Int, events: SharedEvents?) in
            let choice = Choice(filter: member.filter, next: member.next)
            if let events = known[choice] { return (member.token, events) }
            let events = choose(for: member, from: history)
            known[choice] = .some(events)
            return (member.token, events)
        }
        return Found(members: found, through: through)
    }

    private func choose(for member: Member, from history: [SharedEvents]) -> SharedEvents? {
        var chosen: [Event] = []
        var whole: SharedEvents?
        var parts = 0
        for revision in history where revision.lastRevision.rawValue >= member.next {
            let count = chosen.count
            for event in revision.events where member.filter.accepts(event) { chosen.append(event) }
            guard chosen.count > count else { continue }
            parts += 1
            whole = chosen.count - count == revision.events.count ? revision : nil
        }
        if chosen.isEmpty { return nil }
        return parts == 1 && whole != nil ? whole : SharedEvents(chosen)
    }

    /// Takes away the versions before that a compaction has removed: the same answer whether a change comes from
    /// memory or from the engine.
    private func withoutCompacted(_ revision: SharedEvents) -> SharedEvents {
        guard revision.lastRevision.rawValue <= compacted, revision.events.contains(where: { $0.previous != nil })
        else { return revision }
        return SharedEvents(
            revision.events.map { event in
                var event = event
                event.previous = nil
                return event
            })
    }
}
