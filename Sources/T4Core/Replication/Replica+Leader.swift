import T4Protocols

extension Replica {
    /// Whether this node takes writes: it leads, and its own term's entry is committed.
    package var isServing: Bool {
        guard role == .leading, let lead else { return false }
        return committed >= lead.taken && !isStopping
    }

    /// Instances whose acknowledgement and promise count: while a swap is undecided, those of the old and of the new record.
    var neededSet: Set<String> {
        guard let lead else { return [] }
        return Set(lead.record.inSyncSet).union(swap?.record.inSyncSet ?? [])
    }
    var needsChain: Bool { (lead?.record.storeComplete ?? false) || (swap?.record.storeComplete ?? false) }

    /// Everything that may be committed: what this leader committed, and all that it found when it took over.
    var mayBeCommitted: UInt64 { max(committed, lead?.taken ?? 0) }

    mutating func propose(_ count: UInt64, _ now: Duration) {
        guard isServing, count > 0 else { return }
        log.append(term: term, count: count)
        sendEntries(now)
    }

    // MARK: Followers

    mutating func greeted(_ peer: String, _ hello: ReplicaMessage.Hello, _ now: Duration) {
        gone.remove(peer)
        guard lead != nil else { return }
        var state = lead?.peers[peer] ?? Peer(next: 0, now: now)
        state.next = max(state.match, min(hello.last.index, log.last.index)) + 1
        state.streams = false
        state.readsChain = false
        state.heard = now
        state.lostAt = nil
        state.sentAt = nil
        lead?.peers[peer] = state
        sendEntries(to: peer, now)
    }

    mutating func answered(_ answer: ReplicaMessage.AppendAnswer, by peer: String, _ now: Duration) {
        guard var state = lead?.peers[peer] else { return }
        state.heard = now
        state.lostAt = nil
        if let promised = answer.promised { state.promised = max(state.promised ?? promised, promised) }
        if answer.durable > state.match {
            state.match = answer.durable
            state.stalledSince = nil
        }
        if role != .leading {
            state.streams = false
        } else if let refused = answer.refused {
            state.next = max(state.match, min(refused, log.last.index)) + 1
            state.streams = false
            state.sentAt = nil
        } else {
            state.streams = true
            state.next = max(state.next, state.match + 1)
        }
        lead?.peers[peer] = state
        sendEntries(to: peer, now)
    }

    private mutating func sendEntries(_ now: Duration) {
        for peer in lead?.peers.keys.sorted() ?? [] { sendEntries(to: peer, now) }
    }

    /// Sends what a follower does not have: as much as may be under way, or a first message whose answer is waited for.
    private mutating func sendEntries(to peer: String, _ now: Duration) {
        guard role == .leading, let state = lead?.peers[peer], !state.readsChain else { return }
        if state.streams {
            while let next = lead?.peers[peer]?.next, next <= log.last.index,
                next <= state.match + configuration.entriesInFlight, sendAppend(to: peer, now)
            {}
        } else if state.sentAt == nil {
            _ = sendAppend(to: peer, now)
        }
    }

    /// One message: entries where the follower is known to have what is before them.
    private mutating func sendAppend(to peer: String, _ now: Duration, entries: Bool = true) -> Bool {
        guard var state = lead?.peers[peer] else { return false }
        guard let before = log.term(at: state.next - 1) else {
            state.readsChain = true
            lead?.peers[peer] = state
            send(.readChain, to: peer)
            return false
        }
        let previous = LogPosition(term: before, index: state.next - 1)
        var append = ReplicaMessage.Append(previous: previous, entries: [], committed: committed, sentAt: now)
        if entries, state.streams {
            let through = min(log.last.index, state.next + configuration.entriesPerMessage - 1)
            append.entries = log.runs(from: state.next, through: through)
            state.next = append.through + 1
        }
        if state.match < log.last.index, state.stalledSince == nil { state.stalledSince = now }
        state.sentAt = now
        lead?.peers[peer] = state
        send(.append(append), to: peer)
        return true
    }

    mutating func sendHeartbeats(_ now: Duration) {
        guard let due = lead?.nextHeartbeat, now >= due else { return }
        lead?.nextHeartbeat = now + configuration.heartbeatInterval
        for peer in lead?.peers.keys.sorted() ?? [] where !gone.contains(peer) {
            guard role == .leading else {
                // It has won, but may not create entries yet: others shall wait for it. Every log has what this says.
                send(.append(.init(previous: .zero, entries: [], committed: 0, sentAt: now)), to: peer)
                continue
            }
            // One that reads the chain, or whose answer was lost, is asked again.
            lead?.peers[peer]?.readsChain = false
            _ = sendAppend(to: peer, now, entries: false)
        }
    }

    // MARK: Commits

    mutating func stored(_ through: UInt64) {
        guard role == .leading, let known = lead?.stored else { return }
        lead?.stored = max(known, min(through, log.last.index))
    }

    /// What every member has, and the chain where that is needed.
    mutating func advanceCommit(_ now: Duration) {
        guard role == .leading, let lead else { return }
        var index = durable
        for member in neededSet where member != me { index = min(index, lead.peers[member]?.match ?? 0) }
        if needsChain { index = min(index, lead.stored) }
        guard index > committed else { return }
        advance(committed: index)
        // Followers apply what they hear is committed: those who wait for nothing else are told at once.
        for peer in lead.peers.keys.sorted() {
            guard let state = self.lead?.peers[peer], state.streams, state.sentAt != now else { continue }
            _ = sendAppend(to: peer, now, entries: false)
        }
    }

    // MARK: Leadership time

    /// Until when nobody else can have taken over, as far as this leader knows; nil where it may serve nothing.
    package var servesUntil: Duration? {
        guard isServing, let lead else { return nil }
        var until = Duration.seconds(Int64.max / 2)
        for member in neededSet where member != me {
            guard let promised = lead.peers[member]?.promised else { return nil }
            until = min(until, promised + configuration.reliable(configuration.electionTimeout))
        }
        if needsChain { until = min(until, lead.renewedAt + configuration.reliable(configuration.leadershipTTL)) }
        return until
    }

    mutating func read(_ id: UInt64, _ now: Duration) {
        guard lead != nil, role == .leading, !isStopping else {
            actions.append(.refuseRead(id))
            return
        }
        lead?.reads.append((id, now))
    }

    /// There is leadership time at a moment after these reads arrived.
    mutating func answerReads(_ now: Duration) {
        guard let lead, !lead.reads.isEmpty, let until = servesUntil, now < until else { return }
        for read in lead.reads { actions.append(.answerRead(read.id, index: committed)) }
        self.lead?.reads = []
    }
}
