import T4Protocols

/// A swap of the election record whose outcome is not known yet.
struct Swap: Sendable {
    var record: LeaderRecord
    var replaced: LeaderRecord?
    var sentAt: Duration
    /// It is unknown what became of it: ask again then. The same record again is the same swap.
    var retryAt: Duration?
    /// It may land yet, whatever becomes of asking again.
    var wasUnknown = false
}

extension Replica {
    /// When this node may take over from the leader that a record names; nil: not as things are.
    var campaignTime: Duration? {
        guard !configuration.isReadOnly else { return nil }
        guard let record else { return max(promise.until, nextSwap) }
        // A later term was heard of: the record has to be read again.
        guard record.term >= term || term == unelectedTerm else { return nil }
        let patience = 1 << min(futileCampaigns, 3)
        let time: Duration
        if record.inSyncSet.contains(me) {
            if record.isResigned, promise.term <= record.term {
                time = recordSince
            } else if record.term > promise.term {
                // Somebody else has just won: let it begin.
                time = max(promise.until, recordSince + configuration.electionTimeout * patience)
            } else {
                time = promise.until
            }
        } else {
            guard record.storeComplete else { return nil }
            time = record.isResigned ? recordSince : recordSince + configuration.leadershipTTL * patience
        }
        return max(time, nextSwap)
    }

    /// Replaces the very version that makes this node eligible.
    mutating func campaign(_ now: Duration) {
        futileCampaigns += 1
        let isMember = record?.inSyncSet.contains(me) ?? false
        // Where nobody has ever led, this node may have led without a record: what it wrote is its own alone.
        let isComplete = record?.storeComplete ?? (configuration.durability != .local && log.last.index <= chainEnd)
        let next = LeaderRecord(
            term: max(record?.term ?? 0, term) + 1, nodeID: configuration.nodeID, instanceID: me,
            address: configuration.address, inSyncSet: isMember ? record?.inSyncSet ?? [me] : [me],
            storeComplete: isComplete, sequence: 1, nonce: nonces.next())
        role = .candidate
        promisedSentAt = nil
        send(swap: next, replacing: record, now)
    }

    mutating func send(swap next: LeaderRecord, replacing old: LeaderRecord?, _ now: Duration) {
        swap = Swap(record: next, replaced: old, sentAt: now)
        actions.append(.swap(next, replacing: old))
    }

    mutating func retrySwap(_ now: Duration) {
        guard let swap, let retry = swap.retryAt, now >= retry else { return }
        self.swap?.retryAt = nil
        actions.append(.swap(swap.record, replacing: swap.replaced))
    }

    mutating func swapped(_ nonce: UInt64, _ outcome: ReplicaEvent.SwapOutcome, _ now: Duration) {
        guard let swap, swap.record.nonce == nonce else { return }
        switch outcome {
        case .unknown:
            self.swap?.wasUnknown = true
            self.swap?.retryAt = now + configuration.heartbeatInterval
        case .failed where swap.wasUnknown:
            // This time it did not happen. What was sent before may yet.
            self.swap?.retryAt = now + configuration.heartbeatInterval
        case .failed:
            self.swap = nil
            nextSwap = now + configuration.heartbeatInterval
            if role == .candidate { role = .follower }
        case .won:
            self.swap = nil
            record = swap.record
            recordSince = now
            if role == .candidate { won(swap, now) } else { changed(swap, now) }
        case .refused(let other):
            self.swap = nil
            if role == .candidate { role = .follower }
            stepDown(now)
            if let other {
                saw(other, now)
            } else {
                nextSwap = now + configuration.heartbeatInterval
            }
        }
    }

    // MARK: Take-over

    private mutating func won(_ swap: Swap, _ now: Duration) {
        guard swap.record.term > term else {
            role = .follower
            return
        }
        let early = early
        begin(term: swap.record.term)
        gone = releasedBy.flatMap { $0.isLeaving ? [$0.instance] : nil } ?? []
        releasedBy = nil
        lead = Lead(record: swap.record, renewedAt: swap.sentAt, now: now)
        for (peer, hello) in early { greeted(peer, hello, now) }
        replay()
    }

    private mutating func replay() {
        role = .replaying
        actions.append(.readChain(attempt: newAttempt()))
    }

    mutating func chainRead(_ view: ChainView, _ attempt: UInt64, _ now: Duration) {
        guard attempt == self.attempt else { return }
        self.attempt = 0
        guard role == .replaying else {
            adopt(view)
            hear(of: view.headerTerm, now)
            nextHello = now
            return
        }
        // Behind a later leader's fence an object of this term would not belong to the chain.
        guard view.headerTerm <= term else { return hear(of: view.headerTerm, now) }
        guard view.log.last.index >= log.base.index else { return replay() }
        adopt(view)
        guard role == .replaying else { return }
        lead?.fenceName = view.log.last.index + 1
        role = .fencing
        actions.append(
            .fence(
                previous: view.log.last, through: max(log.last.index, view.log.last.index + 1), attempt: newAttempt()))
    }

    mutating func fenced(_ outcome: ReplicaEvent.FenceOutcome, _ attempt: UInt64, _ now: Duration) {
        guard attempt == self.attempt, role == .fencing else { return }
        switch outcome {
        case .stored(let through):
            lead?.fenced = through
            actions.append(.readHead(attempt: newAttempt()))
        case .taken: replay()
        case .deposed(let other): deposed(by: other, now)
        }
    }

    /// The leader before may not have known that it was one no more, filled the name of the fence, made a checkpoint and deleted
    /// that object again.
    mutating func headRead(_ covered: UInt64, _ attempt: UInt64, _ now: Duration) {
        guard attempt == self.attempt, role == .fencing, let fence = lead?.fenceName, let fenced = lead?.fenced
        else { return }
        self.attempt = 0
        guard covered < fence else { return replay() }
        role = .leading
        if log.last.term < term {
            log.append(term: term)
            actions.append(.appendTerm(log.last))
        }
        lead?.begin(end: log.last.index, stored: fenced, now)
        actions.append(.lead(term: term))
        actions.append(.upload(from: fenced + 1, term: term))
    }
}
