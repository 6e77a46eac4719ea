import T4Protocols

/// A swap of the election record whose outcome is not known yet.
struct Swap: Sendable {
    var record: LeaderRecord
    var replaced: LeaderRecord?
    var sentAt: Duration
    /// It is unknown what became of it: ask again then. The same record again is the same swap.
    var retryAt: Duration?
}

extension Replica {
    /// When this node may take over from the leader that a record names; nil: never.
    func campaignTime(_ record: LeaderRecord) -> Duration? {
        if record.inSyncSet.contains(me) {
            if record.isResigned, promise.term <= record.term { return recordSince }
            // Somebody else has just won: let it begin.
            guard record.term > promise.term else { return promise.until }
            return max(promise.until, recordSince + configuration.electionTimeout)
        }
        guard record.storeComplete else { return nil }
        return record.isResigned ? recordSince : recordSince + configuration.leadershipTTL
    }

    func mayCampaign(_ now: Duration) -> Bool {
        guard now >= nextSwap else { return false }
        guard let record else { return true }
        guard record.term >= term, let time = campaignTime(record) else { return false }
        return now >= time
    }

    /// Replaces the very version that makes this node eligible.
    mutating func campaign(_ now: Duration) {
        let isMember = record?.inSyncSet.contains(me) ?? false
        // Where nobody has ever led, this node may have led without a record: what it wrote is its own alone.
        let isComplete = record?.storeComplete ?? (configuration.durability != .local && log.last.index <= chainEnd)
        let next = LeaderRecord(
            term: (record?.term ?? term) + 1, nodeID: configuration.nodeID, instanceID: me, address: configuration.address,
            inSyncSet: isMember ? record?.inSyncSet ?? [me] : [me], storeComplete: isComplete, sequence: 1,
            nonce: nextNonce())
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
            self.swap?.retryAt = now + configuration.heartbeatInterval
        case .won:
            self.swap = nil
            record = swap.record
            recordSince = now
            recordRead = now
            if role == .candidate { won(swap, now) } else { changed(swap, now) }
        case .refused(let other):
            self.swap = nil
            nextSwap = now + (other == nil ? configuration.heartbeatInterval : .zero)
            lost(now)
            if let other { saw(other, now) }
        case .failed:
            self.swap = nil
            nextSwap = now + configuration.heartbeatInterval
            if role == .candidate { lost(now) }
        }
    }

    private mutating func lost(_ now: Duration) {
        stepDown(now)
        if role == .candidate { role = .follower }
        nextRecordRead = now + configuration.recordInterval
    }

    // MARK: Take-over

    private mutating func won(_ swap: Swap, _ now: Duration) {
        guard swap.record.term > term else {
            role = .follower
            return
        }
        term = swap.record.term
        agreed = 0
        leader = nil
        leaderHeard = nil
        promisedSentAt = nil
        lead = Lead(record: swap.record, renewedAt: swap.sentAt, now: now)
        replay()
    }

    private mutating func replay() {
        role = .replaying
        isReadingChain = true
        actions.append(.readChain)
    }

    mutating func chainRead(_ view: ChainView, _ now: Duration) {
        guard isReadingChain else { return }
        isReadingChain = false
        if role == .replaying {
            // Behind a later leader's fence an object of this term would not belong to the chain.
            guard view.headerTerm <= term else {
                let other = view.headerTerm
                stepDown(now)
                hear(of: other, now)
                return
            }
            adopt(view)
            lead?.fenceName = view.log.last.index + 1
            role = .fencing
            actions.append(.fence(previous: view.log.last, through: max(log.last.index, view.log.last.index + 1)))
        } else if lead == nil {
            // An old reading may be of a log that is behind this one.
            adopt(view)
            hear(of: view.headerTerm, now)
            nextHello = now
        }
    }

    mutating func fenced(_ outcome: ReplicaEvent.FenceOutcome, _ now: Duration) {
        guard role == .fencing else { return }
        switch outcome {
        case .stored(let through):
            lead?.fenced = through
            actions.append(.readHead)
        case .taken: replay()
        case .deposed(let other):
            stepDown(now)
            hear(of: other, now)
        }
    }

    /// The leader before may not have known that it was one no more, filled the name of the fence, made a checkpoint and deleted
    /// that object again.
    mutating func headRead(_ covered: UInt64, _ now: Duration) {
        guard role == .fencing, let fence = lead?.fenceName, let fenced = lead?.fenced else { return }
        guard covered < fence else {
            lead?.fenced = nil
            replay()
            return
        }
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
