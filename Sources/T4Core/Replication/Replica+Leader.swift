import T4Protocols

extension Replica {
    /// Whether this node takes writes: it leads, and its own term's entry is committed.
    package var isServing: Bool {
        guard role == .leading, let lead else { return false }
        return committed >= lead.taken && !isStopping && lead.heir == nil
    }

    /// Instances whose acknowledgement and promise count: while a swap is undecided, those of the old and of the new record.
    var neededSet: Set<String> {
        guard let lead else { return [] }
        return Set(lead.record.inSyncSet).union(swap?.record.inSyncSet ?? [])
    }

    /// Whether what is to be committed has to be in the chain: always where there is one copy only, whatever the record says.
    var needsChain: Bool {
        if lead?.record.storeComplete ?? false || swap?.record.storeComplete ?? false { return true }
        switch configuration.durability {
        case .local: return false
        case .objectStore: return true
        case .replicated: return neededSet.count < 2
        }
    }

    /// Everything that may be committed: what this leader committed, and all that it found when it took over.
    var mayBeCommitted: UInt64 { max(committed, lead?.taken ?? 0) }

    /// Whether so many nodes acknowledge what is committed as are wanted.
    var hasEnoughInSync: Bool { neededSet.count >= configuration.inSyncMin }

    mutating func propose(_ count: UInt64) {
        guard isServing, count > 0 else { return }
        actions.append(.append(from: LogPosition(term: term, index: log.last.index + 1)))
        log.append(term: term, count: count)
    }

    // MARK: Followers

    mutating func greeted(_ peer: String, _ hello: ReplicaMessage.Hello, _ now: Duration) {
        gone.remove(peer)
        guard let lead else {
            // Whoever is told that this node will lead may say so before it does.
            if early.count < Replica.earlyMax { early[peer] = hello }
            return
        }
        var state = lead.peers[peer] ?? Peer(now: now)
        state.next = max(state.match, min(hello.last.index, log.last.index)) + 1
        state.address = hello.address
        state.nodeID = hello.nodeID
        state.clientURLs = hello.clientURLs
        state.isReadOnly = hello.isReadOnly
        state.streams = false
        state.isAsked = false
        state.readsChain = false
        state.lostAt = nil
        self.lead?.peers[peer] = state
    }

    mutating func answered(_ answer: ReplicaMessage.AppendAnswer, by peer: String, _ now: Duration) {
        guard var state = lead?.peers[peer] else { return }
        state.lostAt = nil
        state.isAsked = false
        if let promised = answer.promised { state.promised = max(state.promised ?? promised, promised) }
        if answer.durable > state.match {
            state.match = answer.durable
            state.stalledSince = nil
        }
        if let refused = answer.refused {
            state.next = max(state.match, min(refused, log.last.index)) + 1
            state.streams = false
        } else if role == .leading {
            state.streams = true
            state.next = max(state.next, state.match + 1)
        }
        lead?.peers[peer] = state
    }

    /// Sends each follower what it does not have, and heartbeats.
    mutating func sendToFollowers(_ now: Duration) {
        guard let lead else { return }
        let isDue = now >= lead.nextHeartbeat
        if isDue { self.lead?.nextHeartbeat = now + configuration.heartbeatInterval }
        for peer in lead.peers.keys.sorted() where !gone.contains(peer) {
            guard role == .leading else {
                // It has won, but may not create entries yet: others shall wait for it. Every log has what this says.
                if isDue { send(.append(heartbeat(behind: .zero, now)), to: peer) }
                continue
            }
            sendEntries(to: peer, now)
            guard let state = self.lead?.peers[peer] else { continue }
            if isDue {
                // One that reads the chain, or whose answer was lost, is asked again.
                self.lead?.peers[peer]?.readsChain = false
                sendEmpty(to: peer, sentAt: now, now)
            } else if state.streams, state.told < committed {
                sendEmpty(to: peer, sentAt: nil, now)
            }
        }
    }

    /// As much as may be under way, or a first message whose answer is waited for.
    private mutating func sendEntries(to peer: String, _ now: Duration) {
        guard var state = lead?.peers[peer], !state.readsChain else { return }
        guard state.streams else {
            if !state.isAsked { sendEmpty(to: peer, sentAt: now, now) }
            return
        }
        while state.next <= log.last.index, state.next <= state.match + configuration.entriesInFlight {
            guard let before = log.term(at: state.next - 1) else { return askToReadChain(peer) }
            let through = min(log.last.index, state.next + configuration.entriesPerMessage - 1)
            var append = heartbeat(behind: LogPosition(term: before, index: state.next - 1), now)
            append.entries = log.runs(from: state.next, through: through)
            send(.append(append), to: peer)
            state.next = through + 1
            state.told = committed
            if state.stalledSince == nil { state.stalledSince = now }
        }
        lead?.peers[peer] = state
    }

    private mutating func sendEmpty(to peer: String, sentAt: Duration?, _ now: Duration) {
        guard let state = lead?.peers[peer] else { return }
        guard let before = log.term(at: state.next - 1) else { return askToReadChain(peer) }
        var append = heartbeat(behind: LogPosition(term: before, index: state.next - 1), now)
        append.sentAt = sentAt
        lead?.peers[peer]?.isAsked = true
        lead?.peers[peer]?.told = committed
        send(.append(append), to: peer)
    }

    private mutating func askToReadChain(_ peer: String) {
        lead?.peers[peer]?.readsChain = true
        send(.readChain, to: peer)
    }

    private func heartbeat(behind previous: LogPosition, _ now: Duration) -> ReplicaMessage.Append {
        ReplicaMessage.Append(
            previous: previous, entries: [], committed: role == .leading ? committed : 0, sentAt: now,
            isStuck: isStuck(now))
    }

    // MARK: Progress

    mutating func stored(_ through: UInt64, _ term: UInt64) {
        guard role == .leading, term == self.term, let known = lead?.stored else { return }
        lead?.stored = max(known, min(through, log.last.index))
    }

    /// What every member has, and the chain where that is needed.
    mutating func advanceCommit(_ now: Duration) {
        guard role == .leading, let lead, hasEnoughInSync else { return }
        var index = durable
        for member in neededSet where member != me { index = min(index, lead.peers[member]?.match ?? 0) }
        if needsChain { index = min(index, lead.stored) }
        guard index > committed else { return }
        committed = index
        self.lead?.progressed = now
    }

    mutating func lookAtProgress(_ now: Duration) {
        guard role == .leading else { return }
        if committed == log.last.index { lead?.progressed = now }
        if let until = servesUntil, now < until { lead?.served = now }
    }

    /// For some time this leader could not commit what there is, or answer reads: perhaps others see why. That too few nodes are in
    /// sync would be no different with another leader.
    private func isStuck(_ now: Duration) -> Bool {
        guard let lead, hasEnoughInSync || lead.served > .zero else { return false }
        let last = hasEnoughInSync ? min(lead.progressed, lead.served) : lead.served
        return now >= max(lead.since, last) + configuration.leadershipTTL
    }

    // MARK: Leadership time

    /// Stands for a time that does not come.
    static let never = Duration.seconds(Int64.max / 2)

    /// Until when nobody else can have taken over, as far as this leader knows; nil where it may serve nothing.
    package var servesUntil: Duration? {
        guard isServing, let lead else { return nil }
        var until = Replica.never
        for member in neededSet where member != me {
            guard let promised = lead.peers[member]?.promised else { return nil }
            until = min(until, promised + configuration.reliable(configuration.electionTimeout))
        }
        if lead.record.storeComplete || swap?.record.storeComplete ?? false {
            until = min(until, lead.renewedAt + configuration.reliable(configuration.leadershipTTL))
        }
        return until
    }

    mutating func read(_ id: UInt64, _ now: Duration) {
        guard role == .leading, !isStopping, lead?.heir == nil else {
            actions.append(.refuseRead(id))
            return
        }
        lead?.reads.append((id, now))
    }

    /// Reads are answered once there is leadership time at a moment after they arrived, and refused where that takes too long.
    mutating func answerReads(_ now: Duration) {
        guard let lead, !lead.reads.isEmpty else { return }
        if let until = servesUntil, now < until {
            for read in lead.reads { actions.append(.answerRead(read.id, index: committed)) }
            self.lead?.reads = []
        } else {
            let late = lead.reads.prefix { now >= $0.arrived + configuration.electionTimeout }
            for read in late { actions.append(.refuseRead(read.id)) }
            self.lead?.reads.removeFirst(late.count)
        }
    }
}
