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
        /// It leads.
        case leading
        /// It has ended in good order.
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
    /// Everything up to here is committed, as far as this node knows.
    package internal(set) var committed: UInt64

    /// The newest version of the record that this node has seen, and since when.
    var record: LeaderRecord?
    var recordSince: Duration
    /// When the record was last read or written.
    var recordRead: Duration
    var isReadingRecord = false
    var nextRecordRead: Duration
    /// The own swap whose outcome is not known.
    var swap: Swap?
    /// After a swap that failed the next one waits so long.
    var nextSwap: Duration
    /// Everything up to here was in the chain when the node started.
    let chainEnd: UInt64
    /// Until when this node does not campaign, and for which term's leader.
    var promise: (until: Duration, term: UInt64)
    /// When a message of the leader of `term` came last.
    var leaderHeard: Duration?
    /// The leader of `term`, once it was heard.
    var leader: String?
    /// So far the log is that of the leader of `term`.
    var agreed: UInt64 = 0
    /// When the newest message was sent on which there was a promise.
    var promisedSentAt: Duration?
    var isReadingChain = false
    var nextHello: Duration
    /// Instances that said good-bye.
    var gone: Set<String> = []
    /// What a winner of a term knows.
    var lead: Lead?
    var isStopping = false

    var nonces: UInt64
    var actions: [ReplicaAction] = []

    var me: String { configuration.instanceID }

    /// A node that starts: its log is replayed and fsynced, the chain is read, and so is the record.
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
        self.record = record
        durable = log.last.index
        chainEnd = chain.log.last.index
        term = max(log.last.term, chain.headerTerm, record?.term ?? 0)
        nextSwap = now
        recordSince = now
        recordRead = now
        nextRecordRead = now + configuration.recordInterval
        nextHello = now
        nonces = configuration.seed
        // It may have forgotten a promise to another, but not to itself. That it is named is not enough: the swap of a former
        // life may have landed after a promise.
        let isOwn = record.map { $0.instanceID == configuration.instanceID && log.hasEntry(ofTerm: $0.term) } ?? true
        promise = (isOwn ? now : now + configuration.electionTimeout, record?.term ?? 0)
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
        case .propose(let count): propose(count, now)
        case .read(let id): read(id, now)
        case .swapped(let nonce, let outcome): swapped(nonce, outcome, now)
        case .record(let found):
            isReadingRecord = false
            saw(found, now)
        case .recordUnavailable: isReadingRecord = false
        case .chain(let view): chainRead(view, now)
        case .fenced(let outcome): fenced(outcome, now)
        case .head(let covered): headRead(covered, now)
        case .stored(let through): stored(through)
        case .deposed(let other): hear(of: other, now)
        case .forgotten(let through): log.forget(through: min(through, committed))
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
        if lead != nil {
            advanceCommit(now)
            chooseSwap(now)
            sendHeartbeats(now)
            answerReads(now)
        } else {
            follow(now)
        }
        if isStopping { end(now) }
    }

    /// When `handle(.tick)` has something to do at the latest.
    package var nextDeadline: Duration? {
        var result: [Duration] = []
        if let swap, let retry = swap.retryAt { result.append(retry) }
        if let lead {
            result.append(contentsOf: role == .leading ? deadlines(lead) : [lead.nextHeartbeat])
        } else if role == .follower {
            result.append(contentsOf: followerDeadlines)
        }
        return result.min()
    }

    // MARK: Terms

    /// Takes over a higher term: whoever led a lower one leads no more.
    mutating func hear(of other: UInt64, _ now: Duration) {
        guard other > term else { return }
        term = other
        agreed = 0
        leader = nil
        leaderHeard = nil
        promisedSentAt = nil
        if lead != nil { stepDown(now) }
        // A leader of that term replaced the version that the own swap is against.
        if let swap, swap.record.term <= other { abandonSwap() }
    }

    /// Becomes a follower.
    mutating func stepDown(_ now: Duration) {
        guard let lead else { return }
        if role == .leading { actions.append(.stepDown) }
        for read in lead.reads { actions.append(.refuseRead(read.id)) }
        self.lead = nil
        role = .follower
        swap = nil
        isReadingChain = false
        nextRecordRead = now
        agreed = 0
    }

    mutating func abandonSwap() {
        swap = nil
        if role == .candidate { role = .follower }
    }

    /// A version of the record was read.
    mutating func saw(_ found: LeaderRecord?, _ now: Duration) {
        recordRead = now
        nextRecordRead = now + configuration.recordInterval
        // An answer may be older than what is known.
        if let found, let record, (found.term, found.sequence) < (record.term, record.sequence) { return }
        if found != record {
            record = found
            recordSince = now
        }
        if let found { hear(of: found.term, now) }
    }

    mutating func nextNonce() -> UInt64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        nonces &+= 0x9e37_79b9_7f4a_7c15
        var value = nonces
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    mutating func send(_ body: ReplicaMessage.Body, to peer: String) {
        actions.append(.send(to: peer, message(body)))
    }

    func message(_ body: ReplicaMessage.Body) -> ReplicaMessage {
        ReplicaMessage(sender: me, term: term, body: body)
    }

    // MARK: Messages

    private mutating func receive(_ message: ReplicaMessage, _ now: Duration) {
        guard message.sender != me else { return }
        if message.term < term {
            // Whoever leads a lower term learns that it is over.
            switch message.body {
            case .append: send(.answer(.init(durable: 0, promised: nil, refused: nil)), to: message.sender)
            case .hello(let hello): greeted(message.sender, hello, now)
            case .goodbye: gone.insert(message.sender)
            case .answer, .readChain, .release: break
            }
            return
        }
        hear(of: message.term, now)
        switch message.body {
        case .hello(let hello): greeted(message.sender, hello, now)
        case .append(let append): received(append, from: message.sender, now)
        case .answer(let answer): answered(answer, by: message.sender, now)
        case .readChain: readChainToFollow()
        case .release(let record): released(record, by: message.sender, now)
        case .goodbye: gone.insert(message.sender)
        }
    }
}
