/// What holders of one lock did, and what became of their leases.
struct LockHistory: Sendable {
    /// From the answer that gave the lock on until it was given back, or until the lease could end: its TTL after the last renewal
    /// that was answered was sent.
    struct Hold: Hashable, Sendable {
        var holder: String
        /// Rises from holder to holder: the revision at which its key was made.
        var token: Int64
        var from: Duration
        var until: Duration
    }

    /// A write that had to find its token's key there.
    struct FencedWrite: Hashable, Sendable {
        var revision: Int64
        var token: Int64
    }

    /// The end of a lease as somebody saw it.
    struct Ending: Hashable, Sendable {
        var lease: String
        var seen: Duration
        /// It could not end before.
        var earliest: Duration
    }

    var holds: [Hold] = []
    var writes: [FencedWrite] = []
    var endings: [Ending] = []

    /// What is wrong.
    var faults: [String] {
        var faults: [String] = []
        // One whose lease could have ended by the time of the answer held nothing for sure.
        let holds = holds.filter { $0.from < $0.until }.sorted { $0.from < $1.from }
        var last: Hold?
        for hold in holds {
            if let last, hold.from < last.until { faults.append("two holders: \(last) and \(hold)") }
            if last.map({ $0.until < hold.until }) ?? true { last = hold }
        }
        // Who has the lock at a later moment has the later token.
        for (first, second) in zip(holds, holds.dropFirst()) where first.token >= second.token {
            faults.append("tokens do not rise: \(first) and \(second)")
        }
        let writes = writes.sorted { $0.revision < $1.revision }
        for (first, second) in zip(writes, writes.dropFirst()) where first.token > second.token {
            faults.append("a write of who had lost the lock: \(second) after \(first)")
        }
        for ending in endings where ending.seen < ending.earliest { faults.append("ended early: \(ending)") }
        return faults
    }
}
