import T4Protocols

/// What a leader knows of a follower.
struct Peer: Sendable {
    /// Acknowledged, so on its disk.
    var match: UInt64 = 0
    /// Sent next.
    var next: UInt64
    /// Whether `next` is known to be right, so that entries are sent without waiting for answers.
    var streams = false
    /// A first message is under way, whose answer says what `next` has to be.
    var isAsked = false
    /// Whether it reads the chain.
    var readsChain = false
    /// What it was told is committed.
    var told: UInt64 = 0
    /// Its configured name.
    var nodeID = ""
    /// Where it is.
    var address = ""
    /// Where clients reach it.
    var clientURLs: [String] = []
    /// Never in sync.
    var isReadOnly = false
    /// When it made itself known.
    var since: Duration
    /// When the newest message was sent that it promised on; nil: there is no promise.
    var promised: Duration?
    /// Since when it has not acknowledged anything although there is something.
    var stalledSince: Duration?
    /// When its stream was lost.
    var lostAt: Duration?

    init(now: Duration) {
        next = 1
        since = now
    }

    mutating func lost(at now: Duration) {
        streams = false
        isAsked = false
        if lostAt == nil { lostAt = now }
    }
}

/// What a winner of a term knows.
struct Lead: Sendable {
    /// The record as it is known to be.
    var record: LeaderRecord
    /// When the swap was sent that an outsider has to see unchanged.
    var renewedAt: Duration
    /// When the term was won, or leading began.
    var since: Duration
    /// When there was nothing to commit, or something was committed, last; and when there was leadership time. Not before
    /// `since`.
    var progressed = Duration.zero
    var served = Duration.zero
    /// The first entry of the first object of the term.
    var fenceName: UInt64?
    /// The last entry of that object, once it is stored.
    var fenced: UInt64?
    /// The end of its log when it took over, its own term's entry included: all this may be committed.
    var taken: UInt64 = 0
    /// The own log is in the chain up to here.
    var stored: UInt64 = 0
    /// Up to here is to be uploaded soon.
    var flushed: UInt64 = 0
    /// Followers that made themselves known, members or not.
    var peers: [String: Peer] = [:]
    /// The member that is to lead, and until when it is given the time to get what it lacks. Nothing is decided meanwhile.
    var heir: (instance: String, until: Duration)?
    /// Linearizable reads that wait for leadership time.
    var reads: [(id: UInt64, arrived: Duration)] = []
    var nextHeartbeat: Duration

    init(record: LeaderRecord, renewedAt: Duration, now: Duration) {
        self.record = record
        self.renewedAt = renewedAt
        since = now
        nextHeartbeat = now
    }

    /// The term's entry is in the log, and its first object in the chain.
    mutating func begin(end: UInt64, stored: UInt64, _ now: Duration) {
        taken = end
        self.stored = stored
        since = now
        nextHeartbeat = now
        for (instance, peer) in peers { peers[instance]?.next = min(peer.next, end + 1) }
    }
}
