package import T4Protocols

/// One node's part in the protocol of a cluster: what docs/decisions/0009-cluster-protocol.md says, as a state machine.
///
/// It does nothing itself: events go in, actions come out. It knows the terms of the log's entries, not the entries. Time is
/// handed in, from a clock that does not stand still while the machine sleeps, and never goes back.
package struct Replica: Sendable {
    /// What a node is doing.
    package enum Role: Hashable, Sendable {
        /// It follows whoever leads.
        case follower
        /// Its own swap is under way.
        case candidate
        /// It won a term, and reads the chain.
        case replaying
        /// It puts the first object of its term.
        case fencing
        /// It leads; without leadership time (`servesUntil`) it is paused.
        case leading
        /// It takes no part any more.
        case stopped
    }

    let configuration: ReplicaConfiguration
    /// What this node is doing.
    package internal(set) var role = Role.follower
    /// The highest term heard of.
    package internal(set) var term: UInt64
    /// The log on this node.
    package internal(set) var log: TermLog
    /// So far the log is fsynced.
    package internal(set) var durable: UInt64
    /// How often something was cut off from the log, see `ReplicaEvent.fsynced`.
    package internal(set) var cuts: UInt64 = 0
    /// Everything up to here is committed, as far as this node knows; its log has all of it, perhaps not fsynced yet.
    package internal(set) var committed: UInt64
    /// Up to here it was told to apply: what is committed, and durable here, for the engine is a cache of the log.
    private var applied: UInt64
    /// Where clients reach this node.
    var clientURLs: [String] = []
    /// Those that the last hello named.
    var toldURLs: [String] = []
    /// When `handle(.tick)` has something to do; nil: never. Always after the time of the last event.
    package private(set) var nextDeadline: Duration?

    /// The newest version of the record that this node has seen, and since when.
    var record: LeaderRecord?
    var recordSince: Duration
    /// When the record was read last.
    var recordRead: Duration?
    var isReadingRecord = false
    var nextRecordRead: Duration
    /// A term of a node alone, which leads without an election: the record, read after it was found, knows nothing of it. 0: none.
    /// Or one that the chain told of: if somebody was elected for it, a swap of the older record is refused.
    var unelectedTerm: UInt64
    /// Everything up to here was in the chain when the node started.
    let chainEnd: UInt64
    /// The own swap whose outcome is not known.
    var swap: Swap?
    /// No swap is sent before: after one that failed.
    var nextSwap: Duration
    /// Campaigns since something was committed: the more, the longer others are let try.
    var futileCampaigns = 0
    /// Until when this node does not campaign, and for which term's leader.
    var promise: (until: Duration, term: UInt64)
    /// When a message of the leader of `term` came last that could do its work.
    var leaderHeard: Duration?
    /// The leader of `term`, once it was heard.
    package internal(set) var leader: String?
    /// So far the log is that of the leader of `term`.
    var agreed: UInt64 = 0
    /// When the newest message was sent on which there was a promise.
    var promisedSentAt: Duration?
    /// The leader that released this member from its promise.
    var releasedBy: (instance: String, isLeaving: Bool)?
    /// Where the next leader will be, while no record says so yet; and who took this node for it before it won.
    var heirAddress: String?
    var early: [String: ReplicaMessage.Hello] = [:]
    static let earlyMax = 64
    /// The request to the store for a chain, a fence or a head that an answer is waited for; 0: none.
    var attempt: UInt64 = 0
    private var attempts: UInt64 = 0
    var nextHello: Duration
    /// Instances that said good-bye.
    var gone: Set<String> = []
    /// What a winner of a term knows.
    var lead: Lead?
    var isStopping = false

    var nonces: SplitMix64
    var actions: [ReplicaAction] = []

    var me: String { configuration.instanceID }

    /// A node that starts: its log is replayed and fsynced, the chain is read, and so is the record after that.
    /// - Parameters:
    ///   - log: On disk.
    ///   - chain: Read at the start; what is in it is in `log` too.
    ///   - committed: Applied, or in the chain.
    ///   - record: Nil where nobody has ever led.
    package init(
        _ configuration: ReplicaConfiguration, log: TermLog, chain: ChainView, committed: UInt64, record: LeaderRecord?,
        now: Duration
    ) {
        self.configuration = configuration
        self.log = log
        self.committed = committed
        applied = committed
        self.record = record
        durable = log.last.index
        chainEnd = chain.log.last.index
        let (written, elected) = (max(log.last.term, chain.headerTerm), record?.term ?? 0)
        term = max(written, elected)
        unelectedTerm = written > elected ? written : 0
        nextSwap = now
        recordSince = now
        nextRecordRead = now + configuration.recordInterval
        nextHello = now
        nonces = SplitMix64(seed: configuration.seed)
        // It may have forgotten a promise to another, but not to itself. That it is named is not enough: the swap of a former
        // life may have landed after a promise.
        let isOwn = record.map { $0.instanceID == configuration.instanceID && log.hasEntry(ofTerm: $0.term) } ?? true
        promise = (isOwn ? now : now + configuration.electionTimeout, record?.term ?? 0)
        nextDeadline = now
    }

    /// Takes an event.
    /// - Returns: What to do, in this order.
    package mutating func handle(_ event: ReplicaEvent, at now: Duration) -> [ReplicaAction] {
        guard role != .stopped else {
            if case .read(let id) = event { return [.refuseRead(id)] }
            return []
        }
        switch event {
        case .tick: break
        case .message(let message): receive(message, now)
        case .disconnected(let peer): lead?.peers[peer]?.lost(at: now)
        case .fsynced(let through, let cuts): fsynced(through, cuts, now)
        case .propose(let count): propose(count)
        case .logFailed: finish()
        case .read(let id): read(id, now)
        case .swapped(let nonce, let outcome): swapped(nonce, outcome, now)
        case .record(let found):
            isReadingRecord = false
            recordRead = now
            saw(found, now)
        case .recordUnavailable: isReadingRecord = false
        case .chain(let view, let attempt): chainRead(view, attempt, now)
        case .fenced(let outcome, let attempt): fenced(outcome, attempt, now)
        case .head(let covered, let attempt): headRead(covered, attempt, now)
        case .stored(let through, let term): stored(through, term)
        case .deposed(let other): deposed(by: other, now)
        case .forgotten(let through): log.forget(through: min(through, applied))
        case .clientURLs(let urls): advertise(urls)
        case .handOver(let heir): begin(handOver: heir, now)
        case .stop: isStopping = true
        }
        settle(now)
        let result = actions
        actions.removeAll(keepingCapacity: true)
        return result
    }

    /// What follows from the time and from what was just learned.
    private mutating func settle(_ now: Duration) {
        retrySwap(now)
        advanceCommit(now)
        apply()
        if lead != nil {
            chooseSwap(now)
            lookAtProgress(now)
            sendToFollowers(now)
            answerReads(now)
            if lead?.heir != nil, !isStopping { handOver(now) }
            if lead == nil { follow(now) }
        } else {
            follow(now)
        }
        if isStopping { end(now) }
        nextDeadline = deadlines(now).filter { $0 > now }.min()
    }

    private mutating func apply() {
        guard role != .stopped, min(committed, durable) > applied else { return }
        applied = min(committed, durable)
        futileCampaigns = 0
        actions.append(.commit(applied))
    }

    /// What is not due yet. Whatever is due was done, or waits for an event.
    private func deadlines(_ now: Duration) -> [Duration] {
        var result = role == .stopped ? [] : lead != nil ? leaderDeadlines : followerDeadlines(now)
        if let retry = swap?.retryAt { result.append(retry) }
        return result
    }

    // MARK: Terms

    /// Takes over a higher term: whoever led a lower one leads no more.
    mutating func hear(of other: UInt64, _ now: Duration) {
        guard other > term, role != .stopped else { return }
        stepDown(now)
        begin(term: other)
        // A leader of that term replaced the version that the own swap is against.
        if let swap, swap.record.term <= other { abandonSwap() }
    }

    /// The chain has an object of a higher term.
    mutating func deposed(by other: UInt64, _ now: Duration) {
        unelectedTerm = max(unelectedTerm, other)
        hear(of: other, now)
    }

    /// Nothing is known yet of the leader of that term.
    mutating func begin(term other: UInt64) {
        term = other
        agreed = 0
        leader = nil
        leaderHeard = nil
        promisedSentAt = nil
        attempt = 0
        heirAddress = nil
        early = [:]
    }

    /// A leader, or whoever won its term, becomes a follower.
    mutating func stepDown(_ now: Duration) {
        guard let lead else { return }
        if role == .leading { actions.append(.stepDown) }
        for read in lead.reads { actions.append(.refuseRead(read.id)) }
        self.lead = nil
        role = .follower
        swap = nil
        attempt = 0
        nextRecordRead = now
        agreed = 0
    }

    mutating func abandonSwap() {
        swap = nil
        if role == .candidate { role = .follower }
    }

    /// A version of the record was read.
    mutating func saw(_ found: LeaderRecord?, _ now: Duration) {
        nextRecordRead = max(nextRecordRead, now + configuration.recordInterval)
        // Nobody takes an election back that has been held; and an answer may be older than what is known.
        guard let found else { return }
        if let record, (found.term, found.sequence) < (record.term, record.sequence) { return }
        if found != record {
            record = found
            recordSince = now
        }
        hear(of: found.term, now)
    }

    /// A number for the next request to the store: answers to earlier ones do not count any more.
    mutating func newAttempt() -> UInt64 {
        attempts += 1
        attempt = attempts
        return attempts
    }

    // MARK: Messages

    mutating func send(_ body: ReplicaMessage.Body, to peer: String) {
        actions.append(.send(to: peer, message(body)))
    }

    func message(_ body: ReplicaMessage.Body) -> ReplicaMessage {
        ReplicaMessage(sender: me, term: term, body: body)
    }

    private mutating func receive(_ message: ReplicaMessage, _ now: Duration) {
        guard message.sender != me else { return }
        hear(of: message.term, now)
        let isCurrent = message.term == term
        switch message.body {
        case .hello(let hello): greeted(message.sender, hello, now)
        case .goodbye: gone.insert(message.sender)
        case .append(let append) where isCurrent: received(append, from: message.sender, now)
        case .answer(let answer) where isCurrent: answered(answer, by: message.sender, now)
        case .readChain where isCurrent: readChainToFollow()
        case .release(let release) where isCurrent: released(release, by: message.sender, now)
        // Whoever leads a lower term learns that it is over.
        case .append: send(.answer(.init(durable: 0)), to: message.sender)
        case .answer, .readChain, .release: break
        }
    }
}
