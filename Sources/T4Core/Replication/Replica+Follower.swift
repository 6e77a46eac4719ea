import T4Protocols

extension Replica {
    /// Entries of the leader, or its heartbeat.
    mutating func received(_ append: ReplicaMessage.Append, from sender: String, _ now: Duration) {
        guard lead == nil else { return }
        leader = sender
        hearLeader(append, now)
        // They became known after the node had said hello.
        if toldURLs != clientURLs { send(.hello(hello()), to: sender) }
        guard agrees(with: append) else { return }
        if let known = known(of: append) {
            let hasMore = take(append, known)
            agreed = max(agreed, append.through)
            committed = max(committed, min(append.committed, agreed))
            // With what it just stored it answers once that is durable.
            guard !hasMore, append.sentAt != nil else { return }
            answer(refusing: nil)
        } else {
            answer(refusing: behind(append.previous))
        }
    }

    /// A heartbeat is a promise not to campaign, unless an own swap may win, or the leader cannot do its work and this node may be
    /// able to do better.
    private mutating func hearLeader(_ append: ReplicaMessage.Append, _ now: Duration) {
        guard let sentAt = append.sentAt, role == .follower, !isStopping else { return }
        if append.isStuck {
            let seesRecord = recordRead.map { now < $0 + configuration.electionTimeout } ?? false
            guard !seesRecord else { return }
        } else {
            leaderHeard = now
        }
        promise = (now + configuration.electionTimeout, term)
        promisedSentAt = max(promisedSentAt ?? sentAt, sentAt)
    }

    private mutating func answer(refusing refused: UInt64?) {
        guard let leader else { return }
        send(
            .answer(.init(durable: min(agreed, durable), promised: promisedSentAt, refused: refused)), to: leader)
    }

    /// Whether what is committed here is what the message says: if not, one of the two has lost its history.
    private mutating func agrees(with append: ReplicaMessage.Append) -> Bool {
        var index = append.previous.index
        if index <= committed, let mine = log.term(at: index), mine != append.previous.term, index > 0 {
            conflict(at: index)
            return false
        }
        for run in append.entries {
            let end = index + run.count
            guard index < committed else { break }
            for next in index + 1...min(end, committed) {
                if let mine = log.term(at: next), mine != run.term {
                    conflict(at: next)
                    return false
                }
            }
            index = end
        }
        return true
    }

    mutating func conflict(at index: UInt64) {
        actions.append(.conflict(at: index))
        finish()
    }

    /// How much of a message is in the log for certain: up to the entry before it, or up to what is committed. Nil if the log does
    /// not have the entry before it.
    private func known(of append: ReplicaMessage.Append) -> UInt64? {
        let previous = append.previous
        if previous.index <= committed { return min(committed, append.through) }
        return log.term(at: previous.index) == previous.term ? previous.index : nil
    }

    /// Where the leader has to go on: not behind the end of the log, and before the term that differs.
    private func behind(_ previous: LogPosition) -> UInt64 {
        guard previous.index <= log.last.index else { return log.last.index }
        return max(committed, log.firstOfTerm(at: previous.index) - 1)
    }

    /// Stores what is new in a message, and cuts off what conflicts with it.
    /// - Returns: Whether there was something new.
    private mutating func take(_ append: ReplicaMessage.Append, _ known: UInt64) -> Bool {
        var index = append.previous.index
        var first: UInt64?
        for run in append.entries {
            let end = index + run.count
            defer { index = end }
            guard end > known else { continue }
            var next = max(index, known) + 1
            if first == nil {
                while next <= end, log.term(at: next) == run.term { next += 1 }
                guard next <= end else { continue }
                cut(after: next - 1)
                first = next
            }
            log.append(term: run.term, count: end - next + 1)
        }
        if let first { actions.append(.store(from: first, through: append.through)) }
        return first != nil
    }

    mutating func cut(after index: UInt64) {
        guard index < log.last.index else { return }
        log.cut(after: index)
        durable = min(durable, index)
        cuts += 1
        actions.append(.truncate(after: index))
    }

    mutating func fsynced(_ through: UInt64, _ cuts: UInt64, _ now: Duration) {
        guard cuts == self.cuts, through > durable else { return }
        durable = min(through, log.last.index)
        if lead == nil, agreed > 0 { answer(refusing: nil) }
    }

    /// The leader's log begins too late for this one.
    mutating func readChainToFollow() {
        guard role == .follower, attempt == 0 else { return }
        actions.append(.readChain(attempt: newAttempt()))
    }

    /// The chain is the log, and wins over what is here. Its leader says what of it is committed.
    mutating func adopt(_ view: ChainView) {
        let chain = view.log
        switch view.adoption(by: log, committed: committed) {
        case .nothing: break
        case .append(let index):
            cut(after: index)
            log.append(from: chain, through: chain.last.index)
            actions.append(.adopt(after: index, through: chain.last.index))
        case .restore:
            log = chain
            durable = chain.base.index
            // In a checkpoint is what is committed.
            committed = max(committed, chain.base.index)
            cuts += 1
            actions.append(.restore(chain.base))
            if chain.last.index > chain.base.index {
                actions.append(.adopt(after: chain.base.index, through: chain.last.index))
            }
        case .conflict(let index): conflict(at: index)
        }
    }

    /// The leader of `term` ends, and a member has its whole log: this one, or another.
    mutating func released(_ release: ReplicaMessage.Release, by sender: String, _ now: Duration) {
        guard role == .follower else { return }
        saw(release.record, now)
        // A release ends the promise that was given to that leader, no other one.
        guard promise.term == release.record.term, term == release.record.term else { return }
        leaderHeard = nil
        if release.heir == me {
            releasedBy = (sender, release.isLeaving)
            promise.until = now
        } else {
            heirAddress = release.address
            nextHello = now
        }
    }

    /// The nodes that were in sync, where no other one may take over, nobody leads, and that is so for some time.
    func missed(_ now: Duration) -> [String]? {
        guard role == .follower, let record, !record.storeComplete, !record.inSyncSet.contains(me), !hearsLeader(now),
            now >= max(recordSince, leaderHeard ?? recordSince) + configuration.leadershipTTL * 2
        else { return nil }
        return record.inSyncSet
    }

    /// What a node does that leads nothing.
    mutating func follow(_ now: Duration) {
        guard role == .follower, !isStopping, attempt == 0, !hearsLeader(now) else { return }
        if let address = greetable, now >= nextHello {
            nextHello = now + configuration.heartbeatInterval
            actions.append(.greet(address: address, message(.hello(hello()))))
        }
        // Its own swap may win yet: one at a time.
        if swap == nil, let time = campaignTime, now >= time {
            campaign(now)
        } else if now >= nextRecordRead, !isReadingRecord {
            isReadingRecord = true
            nextRecordRead = now + configuration.recordInterval
            actions.append(.readRecord)
        }
    }

    private mutating func hello() -> ReplicaMessage.Hello {
        toldURLs = clientURLs
        return ReplicaMessage.Hello(
            nodeID: configuration.nodeID, address: configuration.address, last: log.last, clientURLs: clientURLs,
            isReadOnly: configuration.isReadOnly)
    }

    /// The leader is to know where clients reach this node.
    mutating func advertise(_ urls: [String]) {
        clientURLs = urls
        if lead == nil, let leader { send(.hello(hello()), to: leader) }
    }

    /// Where the leader should be.
    private var greetable: String? {
        if let heirAddress { return heirAddress }
        // A node alone has none.
        guard let record, !record.isResigned, record.address != configuration.address, !record.address.isEmpty else {
            return nil
        }
        return record.address
    }

    func hearsLeader(_ now: Duration) -> Bool {
        leaderHeard.map { now < $0 + configuration.followerPatience } ?? false
    }

    func followerDeadlines(_ now: Duration) -> [Duration] {
        guard role == .follower, !isStopping, attempt == 0 else { return [] }
        if let leaderHeard, hearsLeader(now) { return [leaderHeard + configuration.followerPatience] }
        var result: [Duration] = []
        if greetable != nil { result.append(nextHello) }
        if !isReadingRecord { result.append(nextRecordRead) }
        if let campaignTime { result.append(campaignTime) }
        return result
    }
}
