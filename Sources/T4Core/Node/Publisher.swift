import Logging
import T4Protocols

/// Makes applied groups visible: the published revision first, then leases, then watches. Answers follow.
final class Publisher: CommitObserver {
    private let published: PublishedState
    private let watches: WatchHub
    private let leases: LeaseKeeper
    private let queue: ProposalQueue
    private let auth: AuthKeeper
    private let statistics: NodeStatistics
    private let logger: Logger
    private let onFailure: @Sendable (any Error) -> Void
    private let hasFailed = Monitor(false)
    /// Set right after both are made.
    let compactor = Monitor<Compactor?>(nil)
    /// Hears, before anybody else, that the node has failed.
    let whenFailed = Monitor<(@Sendable (any Error) -> Void)?>(nil)
    /// The same; stays nil without an object store.
    let checkpointer = Monitor<Checkpointer?>(nil)

    init(
        published: PublishedState, watches: WatchHub, leases: LeaseKeeper, auth: AuthKeeper, queue: ProposalQueue,
        statistics: NodeStatistics, logger: Logger, onFailure: @escaping @Sendable (any Error) -> Void
    ) {
        self.published = published
        self.watches = watches
        self.leases = leases
        self.auth = auth
        self.queue = queue
        self.statistics = statistics
        self.logger = logger
        self.onFailure = onFailure
    }

    func willApply(_ groups: [CommittedGroup]) {
        if let index = groups.last(where: { $0.position != nil })?.position?.index { statistics.committed(index) }
        var changes: [AuthChange] = []
        for group in groups {
            // What is about authentication makes no revision, so that most need no look.
            for entry in group.entries where entry.revision == .none {
                for case .auth(let change) in entry.changes.lazy.map(\.mutation) { changes.append(change) }
            }
        }
        if !changes.isEmpty { auth.apply(changes) }
    }

    func committed(_ groups: [CommittedGroup], meta: MetaRow) {
        let compactedBefore = published.compactedRevision
        var revisions: [RevisionEvents] = []
        for group in groups {
            for entry in group.entries {
                var events: [Event] = []
                for change in entry.changes {
                    statistics.applied(change.mutation)
                    switch change.mutation {
                    case .put, .delete: events.append(Event(change, revision: entry.revision))
                    case .grant(let lease): leases.granted(lease)
                    case .revoke(let lease): leases.revoked(lease.id)
                    case .compact, .auth: break
                    case .raise(let alarm): logger.warning("an alarm was raised", metadata: alarm.metadata)
                    case .disarm(let alarm): logger.warning("an alarm was disarmed", metadata: alarm.metadata)
                    }
                }
                if !events.isEmpty {
                    revisions.append(RevisionEvents(revision: entry.revision, events: events))
                }
            }
        }
        let index = groups.last { $0.position != nil }?.position?.index
        published.publish(meta, index: index)
        statistics.writes.committed(groups)
        if let index { checkpointer.withLock { $0 }?.applied(index) }
        if !revisions.isEmpty { watches.publish(revisions) }
        if meta.compacted > compactedBefore {
            watches.compacted(to: meta.compacted)
            compactor.withLock { $0 }?.wake()
        }
        if index != nil { published.waiters.wake() }
    }

    func spaceRanOut(_ error: EngineError) {
        logger.error("the engine has no space; reads go on, writes are refused until it has: \(error)")
        queue.pause(DatabaseError(.noSpace, "the engine has no space"), by: .disk)
    }

    func spaceReturned() {
        logger.notice("the engine has space again, and writes are taken")
        queue.resume(.disk)
    }

    func roomChanged(isShort: Bool) {
        if isShort { queue.notePause(by: .room) } else { queue.resume(.room) }
        if isShort {
            logger.error("the disk is nearly full; reads go on, writes are refused until it has space again")
        } else {
            logger.notice("the disk has space again, and writes are taken")
        }
    }

    func failed(_ error: any Error) {
        let isFirst = hasFailed.withLock { failed in
            defer { failed = true }
            return !failed
        }
        guard isFirst else { return }
        statistics.failed()
        logger.critical("the node can take no more writes and must be restarted: \(error)")
        queue.close(DatabaseError(.stopped, "the node has failed: \(error)"))
        whenFailed.withLock { $0 }?(error)
        onFailure(error)
    }
}

extension Alarm {
    /// For messages.
    var metadata: Logger.Metadata { ["alarm": "\(kind)", "member": "\(String(member, radix: 16))"] }
}

extension Event {
    /// The event of a put or a deletion.
    fileprivate init(_ change: StateChange, revision: Revision) {
        switch change.mutation {
        case .put(let key, let record):
            self.init(kind: .put, current: record.keyValue(key), previous: change.previous?.keyValue(key))
        case .delete(let key, _):
            let gone = KeyValue(
                key: key, createRevision: .none, modRevision: revision, version: 0, lease: 0, value: [])
            self.init(kind: .delete, current: gone, previous: change.previous?.keyValue(key))
        case .grant, .revoke, .compact, .raise, .disarm, .auth:
            preconditionFailure("only puts and deletions are events")
        }
    }
}
