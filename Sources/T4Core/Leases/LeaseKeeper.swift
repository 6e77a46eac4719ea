import Synchronization

/// Limits of a lease keeper.
package struct LeaseSettings: Hashable, Sendable {
    /// Shorter TTLs are raised to this many seconds.
    package var minimumTTL: Int64 = 2
    /// Revokes of expired leases that are proposed at a time.
    package var revocationsMax = 256
    /// Wait before a failed revoke is proposed again, doubled with each failure.
    package var retryDelay = Duration.milliseconds(100)
    /// Longest wait before a failed revoke is proposed again.
    package var retryDelayMax = Duration.seconds(5)

    package init() {}
}

/// Keeps the deadlines of leases in the leader's memory and proposes the revoke of those that expire.
///
/// Which leases exist comes from the log, through `granted` and `revoked`; the keys attached to them are not known
/// here. Time stands still from the making of a keeper until `promote`, and between `pause` and `resume`. A lease never
/// expires early, and from the moment it has expired it cannot be renewed, whatever becomes of the proposal of its
/// revoke; only a promotion gives it its TTL again. Usable from any thread.
package final class LeaseKeeper: Sendable {
    /// A grant of more seconds is refused when it is decided.
    package static let maximumTTL: Int64 = 9_000_000_000

    private let settings: LeaseSettings
    private let clock: any ElapsedClock
    /// Starts anywhere within 62 bits, so that ids of different runs do not meet.
    private let nextID = Atomic<Int64>(Int64.random(in: 1 << 60..<1 << 62))
    private weak let store: (any LeaseStore)?
    private let table: Mutex<LeaseTable>
    private let worker: Mutex<SignalledThread?>

    /// Makes a keeper without leases. It does not keep `store` alive; without it nothing is proposed.
    package init(
        store: any LeaseStore, settings: LeaseSettings = LeaseSettings(), clock: any ElapsedClock = BootClock()
    ) {
        self.store = store
        self.settings = settings
        self.clock = clock
        table = Mutex(LeaseTable(settings: settings))
        worker = Mutex(nil)
    }

    /// Starts the thread that watches the deadlines; it holds the keeper until `stop`.
    package func start() {
        worker.withLock { worker in
            guard worker == nil else { return }
            let thread = SignalledThread(name: "t4-lease") { self.step() }
            worker = thread
            thread.start()
        }
    }

    /// Ends the thread; nothing is proposed afterwards.
    package func stop() { worker.withLock { $0 }?.stop() }

    // MARK: From the log

    /// A grant was applied: its time begins now.
    package func granted(_ record: LeaseRecord) {
        let now = clock.now
        if table.withLock({ $0.grant(record, now: now) }) { wake() }
    }

    /// A revoke was applied. No effect for an unknown id.
    package func revoked(_ id: Int64) { table.withLock { $0.revoke(id) } }

    // MARK: Leadership

    /// This node leads anew: every lease gets its full TTL, and time runs. What was proposed before must have been
    /// applied or be lost for good by now.
    package func promote() {
        let now = clock.now
        table.withLock { $0.promote(now: now) }
        wake()
    }

    /// Lets time stand still: nothing expires until `resume` or `promote`.
    package func pause() {
        let now = clock.now
        table.withLock { $0.pause(now: now) }
    }

    /// Lets time run on from where it stood.
    package func resume() {
        let now = clock.now
        table.withLock { $0.resume(now: now) }
        wake()
    }

    // MARK: Requests

    /// The TTL to propose for a wish: the minimum at least.
    package func ttl(forWish ttl: Int64) -> Int64 { max(ttl, settings.minimumTTL) }

    /// A positive id that no lease has at this moment. Ids rise while the keeper lives, as etcd's do: clients that name
    /// keys after their lease find them in the order of granting.
    package func makeID() -> Int64 {
        table.withLock { table in
            while true {
                let id = nextID.add(1, ordering: .relaxed).newValue
                if !table.contains(id) { return id }
            }
        }
    }

    /// Gives a lease its full TTL again.
    ///
    /// Leadership has to be checked after this, before the answer is sent.
    /// - Returns: The granted TTL in seconds; nil for an unknown or expired lease.
    package func renew(_ id: Int64) -> Int64? {
        let now = clock.now
        return table.withLock { $0.renew(id, now: now) }
    }

    /// The time left and the granted TTL, in whole seconds rounded down; nil for an unknown lease. An expired one
    /// whose revoke is not yet applied has 0 left.
    package func timeToLive(_ id: Int64) -> (remaining: Int64, granted: Int64)? {
        let now = clock.now
        return table.withLock { $0.timeToLive(id, now: now) }
    }

    /// All leases, those that expire first at the front; expired ones belong until their revoke is applied.
    package var ids: [Int64] { table.withLock { $0.ids } }

    /// Number of leases.
    package var count: Int { table.withLock { $0.count } }

    // MARK: Expiry

    /// Entries that the keeper holds to watch deadlines, for tests.
    var pendingEntries: Int { table.withLock { $0.pendingEntries } }

    /// Proposes the revokes that are due, as many as may be in flight. Called by the keeper's thread, one at a time.
    func step() -> SignalledThread.Next {
        guard let store else { return .whenWoken }
        let now = clock.now
        let (revocations, next) = table.withLock { $0.takeDue(now: now) }
        for revocation in revocations {
            store.revokeExpired(revocation.id) { [weak self] result in self?.finish(revocation, result) }
        }
        return next
    }

    private func finish(_ revocation: LeaseTable.Revocation, _ result: Result<Revision, DatabaseError>) {
        let now = clock.now
        var failure: DatabaseError?
        if case .failure(let error) = result { failure = error }
        if table.withLock({ $0.finish(revocation, failure, now: now) }) { wake() }
    }

    private func wake() { worker.withLock { $0 }?.wake() }
}
