import T4Protocols

extension Replica {
    /// Sends the swap of the record that is needed most, if any: one at a time.
    mutating func chooseSwap(_ now: Duration) {
        guard role == .leading, swap == nil, now >= nextSwap, let lead else { return }
        var next = lead.record
        next.sequence += 1
        if let member = lead.record.inSyncSet.first(where: { $0 != me && isLost($0, now) }) {
            next.inSyncSet.removeAll { $0 == member }
            guard next.inSyncSet.count == 1, !next.storeComplete else { return sendChange(next, now) }
            // The last copy but the own may go once the chain has everything.
            next.storeComplete = true
            if isStored() { return sendChange(next, now) }
        } else if let peer = lead.peers.keys.sorted().first(where: { isReady($0, now) }), !isStopping,
            lead.heir == nil
        {
            next.inSyncSet.append(peer)
            return sendChange(next, now)
        } else if lead.record.storeComplete != wantsChain {
            next.storeComplete = wantsChain
            if !wantsChain || isStored() { return sendChange(next, now) }
        }
        if lead.record.storeComplete, now >= lead.renewedAt + configuration.renewalInterval {
            var renewal = lead.record
            renewal.sequence += 1
            sendChange(renewal, now)
        }
    }

    private var wantsChain: Bool {
        switch configuration.durability {
        case .local: false
        case .objectStore: true
        case .replicated: lead?.record.inSyncSet.count == 1
        }
    }

    /// Whether everything that may be committed is in the chain; if not, that is hurried.
    private mutating func isStored() -> Bool {
        let end = mayBeCommitted
        guard let lead, lead.stored < end else { return true }
        if lead.flushed < end {
            self.lead?.flushed = end
            actions.append(.flush(through: end))
        }
        return false
    }

    private mutating func sendChange(_ record: LeaderRecord, _ now: Duration) {
        guard let lead else { return }
        var next = record
        next.nonce = nonces.next()
        // No outsider can have seen a record yet that would let it take over.
        if !lead.record.storeComplete, next.storeComplete { self.lead?.renewedAt = now }
        send(swap: next, replacing: lead.record, now)
    }

    /// The own swap of the record of this term won.
    mutating func changed(_ swap: Swap, _ now: Duration) {
        guard let lead else { return }
        self.lead?.record = swap.record
        self.lead?.renewedAt = max(lead.renewedAt, swap.sentAt)
        if swap.record.isResigned { finish() }
    }

    /// Whether a member has to go: it said good-bye, its stream is lost, it promises nothing any more, or its disk is too slow.
    private func isLost(_ member: String, _ now: Duration) -> Bool { now >= lossTime(of: member) }

    private func lossTime(of member: String) -> Duration {
        guard let lead, !gone.contains(member) else { return .zero }
        guard let peer = lead.peers[member] else { return lead.since + configuration.followerPatience }
        // It has been started again as one that nothing waits for.
        if peer.isReadOnly { return .zero }
        var time = max(peer.promised ?? peer.since, lead.since) + configuration.followerPatience
        if let stalled = peer.stalledSince { time = min(time, stalled + configuration.followerPatience) }
        if let lost = peer.lostAt { time = min(time, lost + configuration.heartbeatInterval) }
        return time
    }

    /// Whether a follower may be added: it has everything that may be committed, and a promise of it is there.
    private func isReady(_ peer: String, _ now: Duration) -> Bool {
        guard let lead, let state = lead.peers[peer], !state.isReadOnly, !lead.record.inSyncSet.contains(peer)
        else { return false }
        guard state.match >= mayBeCommitted, let promised = state.promised, !isLost(peer, now) else { return false }
        return now < promised + configuration.followerPatience
    }

    var leaderDeadlines: [Duration] {
        guard let lead else { return [] }
        var result = [lead.nextHeartbeat]
        if let read = lead.reads.first { result.append(read.arrived + configuration.electionTimeout) }
        if let heir = lead.heir { result.append(heir.until) }
        guard role == .leading, swap == nil else { return result }
        var swaps = lead.record.inSyncSet.filter { $0 != me }.map { lossTime(of: $0) }
        if lead.record.storeComplete { swaps.append(lead.renewedAt + configuration.renewalInterval) }
        return result + swaps.map { max($0, nextSwap) }
    }

    // MARK: Ending in good order

    mutating func end(_ now: Duration) {
        switch role {
        case .stopped: return
        case .follower:
            if let leader { send(.goodbye, to: leader) }
            finish()
        // Its record is the newest, or may become it: it takes over, and leaves as a leader does. Nobody is to wait for it.
        case .candidate, .replaying, .fencing: return
        case .leading: leave(now)
        }
    }

    private mutating func leave(_ now: Duration) {
        guard let lead, swap == nil, now >= nextSwap, committed == log.last.index else { return }
        let others = lead.record.inSyncSet.filter { $0 != me }
        if others.isEmpty {
            guard !lead.record.storeComplete || isStored() else { return }
            var last = lead.record
            last.sequence += 1
            last.isResigned = true
            sendChange(last, now)
        } else if let heir = others.first(where: {
            (lead.peers[$0]?.match ?? 0) == log.last.index && !isLost($0, now)
        }) {
            release(to: heir, lead, isLeaving: true)
            finish()
        }
    }

    private mutating func release(to heir: String, _ lead: Lead, isLeaving: Bool) {
        let release = ReplicaMessage.Release(
            record: lead.record, heir: heir, address: lead.peers[heir]?.address ?? "", isLeaving: isLeaving)
        for peer in lead.peers.keys.sorted() { send(.release(release), to: peer) }
    }

    // MARK: Handing over without ending

    mutating func begin(handOver heir: String, _ now: Duration) {
        guard isServing, heir != me, lead?.record.inSyncSet.contains(heir) ?? false, !isLost(heir, now) else { return }
        lead?.heir = (heir, now + configuration.electionTimeout)
    }

    /// Steps down once the heir has everything; where that takes too long, without an heir.
    mutating func handOver(_ now: Duration) {
        guard role == .leading, let lead, let heir = lead.heir else { return }
        if swap == nil, now >= nextSwap, committed == log.last.index,
            lead.peers[heir.instance]?.match == log.last.index,
            lead.record.inSyncSet.contains(heir.instance)
        {
            release(to: heir.instance, lead, isLeaving: false)
            follow(lead.peers[heir.instance]?.address, now)
        } else if now >= heir.until {
            follow(nil, now)
        }
    }

    /// Leads no more, and lets others go first.
    private mutating func follow(_ address: String?, _ now: Duration) {
        let abandoned = swap
        stepDown(now)
        // Its outcome is not known yet: no promise before.
        swap = abandoned
        promise = (now + configuration.electionTimeout, term)
        heirAddress = address
        nextHello = now
    }

    /// Takes no part any more.
    mutating func finish() {
        guard role != .stopped else { return }
        if role == .leading { actions.append(.stepDown) }
        for read in lead?.reads ?? [] { actions.append(.refuseRead(read.id)) }
        lead = nil
        swap = nil
        role = .stopped
        actions.append(.stopped)
    }
}
