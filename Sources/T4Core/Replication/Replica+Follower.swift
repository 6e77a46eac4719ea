import T4Protocols

extension Replica {
    /// Entries of the leader, or its heartbeat.
    mutating func received(_ append: ReplicaMessage.Append, from sender: String, _ now: Duration) {
        guard lead == nil else { return }
        leader = sender
        leaderHeard = now
        var answer = ReplicaMessage.AppendAnswer(durable: 0, promised: nil, refused: nil)
        // While an own swap may win there is no promise.
        if role == .follower, !isStopping {
            promise = (now + configuration.electionTimeout, term)
            promisedSentAt = max(promisedSentAt ?? append.sentAt, append.sentAt)
        }
        if let known = agreement(with: append) {
            take(append, known)
            agreed = max(agreed, append.through)
            advance(committed: min(append.committed, agreed))
            // With what it just stored it answers once that is durable.
            if agreed > durable, append.count > 0 { return }
        } else {
            answer.refused = behind(append.previous)
        }
        answer.durable = min(agreed, durable)
        answer.promised = promisedSentAt
        send(.answer(answer), to: sender)
    }

    /// How much of a message is known to be right already: the entry before it, or what is committed. Nil if the log does not
    /// have the entry before it.
    private func agreement(with append: ReplicaMessage.Append) -> UInt64? {
        let previous = append.previous
        if previous.index <= committed { return min(committed, append.through) }
        return log.term(at: previous.index) == previous.term ? previous.index : nil
    }

    /// Where the leader has to go on: not behind the end of the log, and before the term that differs.
    private func behind(_ previous: LogPosition) -> UInt64 {
        guard previous.index <= log.last.index else { return log.last.index }
        guard previous.index > log.base.index else { return committed }
        return max(committed, log.firstOfTerm(at: previous.index) - 1)
    }

    /// Stores what is new in a message, and cuts off what conflicts with it.
    private mutating func take(_ append: ReplicaMessage.Append, _ known: UInt64) {
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
                if next <= log.last.index {
                    guard next > committed else {
                        actions.append(.conflict(at: next))
                        return
                    }
                    cut(after: next - 1)
                }
                first = next
            }
            log.append(term: run.term, count: end - next + 1)
        }
        if let first { actions.append(.store(from: first, through: append.through)) }
    }

    mutating func cut(after index: UInt64) {
        guard index < log.last.index else { return }
        log.cut(after: index)
        durable = min(durable, index)
        cuts += 1
        actions.append(.truncate(after: index))
    }

    mutating func advance(committed index: UInt64) {
        guard index > committed else { return }
        committed = index
        actions.append(.commit(index))
    }

    mutating func fsynced(_ through: UInt64, _ cuts: UInt64, _ now: Duration) {
        guard cuts == self.cuts, through > durable else { return }
        durable = min(through, log.last.index)
        guard lead == nil, let leader, agreed > 0 else { return }
        send(
            .answer(.init(durable: min(agreed, durable), promised: promisedSentAt, refused: nil)), to: leader)
    }

    /// The leader's log begins too late for this one.
    mutating func readChainToFollow() {
        guard lead == nil, !isReadingChain else { return }
        isReadingChain = true
        actions.append(.readChain)
    }

    /// The chain is the log, and wins over what is here.
    mutating func adopt(_ view: ChainView) {
        let chain = view.log
        if let agreement = log.agreement(with: chain) {
            guard agreement < chain.last.index else {
                advance(committed: chain.last.index)
                return
            }
            if agreement < log.last.index {
                guard agreement >= committed else {
                    actions.append(.conflict(at: agreement + 1))
                    return
                }
                cut(after: agreement)
            }
            log.append(from: chain, through: chain.last.index)
            actions.append(.adopt(after: agreement, through: chain.last.index))
        } else if chain.last.index <= log.base.index {
            return
        } else if committed < chain.base.index {
            log = chain
            durable = min(durable, chain.base.index)
            cuts += 1
            actions.append(.restore(chain.base))
            if chain.last.index > chain.base.index {
                actions.append(.adopt(after: chain.base.index, through: chain.last.index))
            }
        } else {
            actions.append(.conflict(at: committed))
            return
        }
        advance(committed: chain.last.index)
    }

    /// The leader of `term` ends, and this member has its whole log.
    mutating func released(_ record: LeaderRecord, by sender: String, _ now: Duration) {
        guard role == .follower else { return }
        gone.insert(sender)
        saw(record, now)
        // A release ends the promise that was given to that leader, no other one.
        guard promise.term == record.term, term == record.term else { return }
        promise.until = now
        leaderHeard = nil
    }

    /// What a node does that leads nothing.
    mutating func follow(_ now: Duration) {
        guard role == .follower, !isStopping, !isReadingChain else { return }
        guard !hearsLeader(now) else { return }
        if let leader = record, leader.instanceID != me, !leader.isResigned, now >= nextHello {
            nextHello = now + configuration.heartbeatInterval
            let hello = ReplicaMessage.Hello(
                nodeID: configuration.nodeID, address: configuration.address, last: log.last)
            actions.append(.greet(address: leader.address, message(.hello(hello))))
        }
        if mayCampaign(now) {
            campaign(now)
        } else if now >= nextRecordRead, !isReadingRecord {
            isReadingRecord = true
            nextRecordRead = now + configuration.recordInterval
            actions.append(.readRecord)
        }
    }

    private func hearsLeader(_ now: Duration) -> Bool {
        leaderHeard.map { now < $0 + configuration.followerPatience } ?? false
    }

    var followerDeadlines: [Duration] {
        guard !isReadingChain else { return [] }
        var result: [Duration] = []
        if let leaderHeard { result.append(leaderHeard + configuration.followerPatience) }
        if !isReadingRecord { result.append(nextRecordRead) }
        result.append(nextHello)
        if let record, record.term >= term, let campaign = campaignTime(record) { result.append(max(campaign, nextSwap)) }
        if let quiet = leaderHeard { result = result.map { max($0, quiet + configuration.followerPatience) } }
        return result
    }
}
