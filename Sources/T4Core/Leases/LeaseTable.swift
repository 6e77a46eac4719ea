/// The leases with their deadlines; used under the keeper's lock only.
///
/// All times are lease time: it advances with the clock while the table runs and stands still otherwise.
struct LeaseTable {
    private enum Phase {
        case alive
        /// Expired; its revoke is proposed or will be proposed again.
        case revoking
    }

    private struct Lease {
        var ttl: Int64
        var deadline: Duration
        var phase: Phase
        var token: Int
        var failures = 0
    }

    /// A revoke to propose.
    struct Revocation: Sendable {
        var id: Int64
        var token: Int
        var epoch: Int
    }

    private let settings: LeaseSettings
    private var leases: [Int64: Lease] = [:]
    /// One entry per lease, at or before its deadline, moved on when it comes up; none while its revoke is in flight.
    /// Entries of revoked leases stay until they come up or are too many.
    private var heap = ExpiryHeap()
    private var lastToken = 0
    private var inFlight = 0
    /// Counts promotions: answers to proposals of an earlier leadership change nothing.
    private var epoch = 0
    /// Lease time when it last stood still.
    private var elapsed = Duration.zero
    /// Clock time since which lease time advances; nil while it stands still.
    private var runningSince: Duration?

    init(settings: LeaseSettings) { self.settings = settings }

    var count: Int { leases.count }
    var pendingEntries: Int { heap.entries.count }

    private func leaseTime(_ now: Duration) -> Duration {
        guard let runningSince else { return elapsed }
        return elapsed + max(.zero, now - runningSince)
    }

    // MARK: Time

    mutating func pause(now: Duration) {
        elapsed = leaseTime(now)
        runningSince = nil
    }

    mutating func resume(now: Duration) {
        if runningSince == nil { runningSince = now }
    }

    mutating func promote(now: Duration) {
        resume(now: now)
        let time = leaseTime(now)
        epoch += 1
        inFlight = 0
        for id in Array(leases.keys) {
            leases[id]?.phase = .alive
            leases[id]?.failures = 0
            if let ttl = leases[id]?.ttl { leases[id]?.deadline = time + .seconds(ttl) }
        }
        rebuildHeap()
    }

    // MARK: Leases

    /// - Returns: True when the lease is the next to expire: the thread must look again.
    mutating func grant(_ record: LeaseRecord, now: Duration) -> Bool {
        lastToken += 1
        let deadline = leaseTime(now) + .seconds(record.ttl)
        leases[record.id] = Lease(ttl: record.ttl, deadline: deadline, phase: .alive, token: lastToken)
        heap.insert(ExpiryHeap.Entry(due: deadline, id: record.id, token: lastToken))
        return heap.first?.token == lastToken
    }

    mutating func revoke(_ id: Int64) {
        leases[id] = nil
        if heap.entries.count > 2 * leases.count + 1024 { rebuildHeap() }
    }

    mutating func renew(_ id: Int64, now: Duration) -> Int64? {
        let time = leaseTime(now)
        guard var lease = leases[id], lease.phase == .alive, time < lease.deadline else { return nil }
        // Another thread may have read the clock later and been first.
        lease.deadline = max(lease.deadline, time + .seconds(lease.ttl))
        leases[id] = lease
        return lease.ttl
    }

    func timeToLive(_ id: Int64, now: Duration) -> (remaining: Int64, granted: Int64)? {
        guard let lease = leases[id] else { return nil }
        let remaining = max(.zero, lease.deadline - leaseTime(now))
        return (remaining.components.seconds, lease.ttl)
    }

    var ids: [Int64] {
        leases.map { (id: $0.key, deadline: $0.value.deadline) }
            .sorted { ($0.deadline, $0.id) < ($1.deadline, $1.id) }
            .map(\.id)
    }

    func contains(_ id: Int64) -> Bool { leases[id] != nil }

    private mutating func rebuildHeap() {
        heap = ExpiryHeap(
            leases.filter { $0.value.phase == .alive }
                .map { ExpiryHeap.Entry(due: $0.value.deadline, id: $0.key, token: $0.value.token) }
                + heap.entries.filter { leases[$0.id]?.token == $0.token && leases[$0.id]?.phase == .revoking })
    }

    // MARK: Expiry

    /// Takes the revokes that are due, a bounded number, and says when to look again (in clock time from now).
    mutating func takeDue(now: Duration) -> (revocations: [Revocation], next: SignalledThread.Next) {
        guard runningSince != nil else { return ([], .whenWoken) }
        let time = leaseTime(now)
        var result: [Revocation] = []
        while let entry = heap.first, entry.due <= time {
            guard let lease = leases[entry.id], lease.token == entry.token else {
                _ = heap.removeFirst()
                continue
            }
            if lease.phase == .alive, lease.deadline > time {
                _ = heap.removeFirst()
                heap.insert(ExpiryHeap.Entry(due: lease.deadline, id: entry.id, token: entry.token))
                continue
            }
            guard inFlight < settings.revocationsMax else { return (result, .whenWoken) }
            _ = heap.removeFirst()
            leases[entry.id]?.phase = .revoking
            inFlight += 1
            result.append(Revocation(id: entry.id, token: entry.token, epoch: epoch))
        }
        guard let due = heap.first?.due else { return (result, .whenWoken) }
        // The thread's wait does not count suspension of the machine, the deadlines do: look at least every second.
        return (result, .after(min(due - time, .seconds(1))))
    }

    /// - Returns: True when the thread must look again.
    mutating func finish(_ revocation: Revocation, _ error: DatabaseError?, now: Duration) -> Bool {
        guard revocation.epoch == epoch else { return false }
        inFlight -= 1
        guard let error, var lease = leases[revocation.id], lease.token == revocation.token else { return true }
        if error.code == .leaseNotFound {
            leases[revocation.id] = nil
            return true
        }
        let delay = settings.retryDelay * (1 << min(lease.failures, 16))
        lease.failures += 1
        leases[revocation.id] = lease
        heap.insert(
            ExpiryHeap.Entry(
                due: leaseTime(now) + min(delay, settings.retryDelayMax), id: revocation.id, token: lease.token))
        return true
    }
}
