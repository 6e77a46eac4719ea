import T4Protocols
import Testing

@testable import T4Core

/// Goal: rules of docs/decisions/0009-cluster-protocol.md whose breach takes a rare order of events. Method: that order, told to
/// one replica; names in the comments are those of the ablations of the model.
@Suite struct ReplicaRuleTests {
    private static let second = Duration.seconds(1)
    private static let others = ["b", "c"]

    private func record(
        term: UInt64, leader: String, set: [String], complete: Bool = false, sequence: UInt64 = 1
    ) -> LeaderRecord {
        LeaderRecord(
            term: term, nodeID: leader, instanceID: leader, address: "at-" + leader, inSyncSet: set,
            storeComplete: complete, sequence: sequence, nonce: term * 1000 + sequence)
    }

    private func log(_ runs: (term: UInt64, count: UInt64)...) -> TermLog {
        var log = TermLog()
        for run in runs { log.append(term: run.term, count: run.count) }
        return log
    }

    /// Replica `a`, started at second 0 with this log, of which the chain has the first entry.
    private func replica(
        _ log: TermLog, _ record: LeaderRecord?, durability: ReplicaConfiguration.Durability = .replicated
    ) -> Replica {
        let configuration = ReplicaConfiguration(
            nodeID: "a", instanceID: "a", address: "at-a", durability: durability, seed: 1)
        return Replica(
            configuration, log: log, chain: ChainView(log: self.log((1, 1)), headerTerm: 1), committed: 1,
            record: record, now: .zero)
    }

    private func append(
        _ term: UInt64, from sender: String, previous: LogPosition, _ entries: [TermRun] = [], committed: UInt64 = 0,
        at time: Duration, isStuck: Bool = false
    ) -> ReplicaEvent {
        .message(
            ReplicaMessage(
                sender: sender, term: term,
                body: .append(
                    .init(
                        previous: previous, entries: entries, committed: committed, sentAt: time, isStuck: isStuck))))
    }

    private func swap(in actions: [ReplicaAction]) -> LeaderRecord? {
        for case .swap(let record, _) in actions { return record }
        return nil
    }

    private func answers(in actions: [ReplicaAction]) -> [ReplicaMessage.AppendAnswer] {
        actions.compactMap {
            if case .send(_, let message) = $0, case .answer(let answer) = message.body { answer } else { nil }
        }
    }

    /// Lets the replica win the next term as soon as it may, and read a chain.
    private func win(_ replica: inout Replica, chain: ChainView) throws -> (actions: [ReplicaAction], at: Duration) {
        var actions: [ReplicaAction] = []
        var now = Duration.zero
        while swap(in: actions) == nil {
            now = try #require(replica.nextDeadline)
            actions = replica.handle(.tick, at: now)
            if actions.contains(.readRecord) { _ = replica.handle(.recordUnavailable, at: now) }
        }
        let won = try #require(swap(in: actions))
        #expect(replica.role == .candidate)
        actions = replica.handle(.swapped(nonce: won.nonce, .won), at: now)
        #expect(actions.contains(.readChain(attempt: replica.attempt)))
        return (replica.handle(.chain(chain, attempt: replica.attempt), at: now), now)
    }

    /// A node alone may have taken the same term without an election: then this one wins a later one, without a new start.
    @Test func aTermThatIsTakenIsGivenUpForALaterOne() throws {
        let chain = ChainView(log: log((1, 1)), headerTerm: 1)
        var replica = replica(log((1, 1)), nil)
        var (_, now) = try win(&replica, chain: chain)
        let term = replica.term
        #expect(replica.role == .fencing)
        var actions = replica.handle(.fenced(.deposed(by: term + 1), attempt: replica.attempt), at: now)
        #expect(replica.role == .follower)
        for _ in 0..<100 where swap(in: actions) == nil {
            now = try #require(replica.nextDeadline)
            actions = replica.handle(.tick, at: now)
            if actions.contains(.readRecord) { actions += replica.handle(.recordUnavailable, at: now) }
        }
        #expect(swap(in: actions)?.term == term + 2)
    }

    /// What a checkpoint covers is committed, also where nobody has said so to the node that is filled from it: entries before its end
    /// are no news.
    @Test func whatACheckpointCoversIsCommitted() {
        var replica = replica(log((1, 1)), record(term: 2, leader: "b", set: ["b"]))
        _ = replica.handle(
            append(2, from: "b", previous: LogPosition(term: 1, index: 12), at: .zero), at: Self.second)
        let asked = replica.handle(
            .message(ReplicaMessage(sender: "b", term: 2, body: .readChain)), at: Self.second)
        #expect(asked.contains(.readChain(attempt: replica.attempt)))
        var chain = TermLog(base: LogPosition(term: 1, index: 10))
        chain.append(term: 1, count: 2)
        let read = replica.handle(
            .chain(ChainView(log: chain, headerTerm: 1), attempt: replica.attempt), at: Self.second)
        #expect(read.contains(.restore(LogPosition(term: 1, index: 10))))
        // From a leader that has the whole log.
        _ = replica.handle(
            append(
                2, from: "b", previous: LogPosition(term: 1, index: 1), [TermRun(term: 1, count: 13)], at: .zero),
            at: Self.second * 2)
        #expect(replica.log.last == LogPosition(term: 1, index: 14) && replica.log.base.index == 10)
    }

    private func lead(_ replica: inout Replica, chain: ChainView) throws -> Duration {
        let (_, now) = try win(&replica, chain: chain)
        let name = chain.log.last.index + 1
        _ = replica.handle(.fenced(.stored(through: name), attempt: replica.attempt), at: now)
        _ = replica.handle(.head(covered: 0, attempt: replica.attempt), at: now)
        #expect(replica.role == .leading)
        _ = replica.handle(.fsynced(through: replica.log.last.index, cuts: replica.cuts), at: now)
        return now
    }

    private var chain: ChainView { ChainView(log: log((1, 1)), headerTerm: 1) }

    // HEAD
    @Test func aFenceThatACheckpointCoversIsNone() throws {
        var replica = replica(log((1, 3)), record(term: 1, leader: "b", set: ["a", "b"]))
        let now = try win(&replica, chain: chain).at
        _ = replica.handle(.fenced(.stored(through: 2), attempt: replica.attempt), at: now)
        let actions = replica.handle(.head(covered: 2, attempt: replica.attempt), at: now)
        #expect(replica.role == .replaying)
        #expect(actions.contains(.readChain(attempt: replica.attempt)))
    }

    // GIVE_UP
    @Test func aWinnerBehindALatersFenceGivesUp() throws {
        var replica = replica(log((1, 3)), record(term: 1, leader: "b", set: ["a", "b"]))
        let actions = try win(&replica, chain: ChainView(log: log((1, 2)), headerTerm: 3)).actions
        #expect(replica.role == .follower && replica.term == 3)
        #expect(!actions.contains { if case .fence = $0 { true } else { false } })
    }

    // S1, UNDECIDED
    @Test func aSwapOnceUnknownStaysSoWhateverBecomesOfAskingAgain() throws {
        var replica = replica(log((1, 3)), record(term: 1, leader: "b", set: ["a", "b"]))
        var actions: [ReplicaAction] = []
        var now = Duration.zero
        while swap(in: actions) == nil {
            now = try #require(replica.nextDeadline)
            actions = replica.handle(.tick, at: now)
        }
        let own = try #require(swap(in: actions))
        _ = replica.handle(.swapped(nonce: own.nonce, .unknown), at: now)
        now = try #require(replica.nextDeadline)
        #expect(swap(in: replica.handle(.tick, at: now)) == own, "it asks with the same record")
        _ = replica.handle(.swapped(nonce: own.nonce, .failed), at: now)
        #expect(replica.role == .candidate)
        let heartbeat = append(1, from: "b", previous: LogPosition(term: 1, index: 3), at: now)
        let answer = try #require(answers(in: replica.handle(heartbeat, at: now)).first)
        #expect(answer.durable == 3 && answer.promised == nil, "no promise while it may win")
    }

    // LED
    @Test func beingNamedIsNoExemptionWithoutAnEntryOfTheTerm() throws {
        let named = record(term: 2, leader: "a", set: ["a", "b"])
        var without = replica(log((1, 3)), named)
        #expect(swap(in: without.handle(.tick, at: .zero)) == nil)
        var with = replica(log((1, 3), (2, 1)), named)
        #expect(swap(in: with.handle(.tick, at: .zero)) != nil)
    }

    // RELEASE_TERM
    @Test func aReleaseEndsOnlyThePromiseToThatLeader() throws {
        var replica = replica(log((1, 3)), record(term: 1, leader: "b", set: ["a", "b", "c"]))
        let at = Self.second * 2
        _ = replica.handle(append(2, from: "c", previous: LogPosition(term: 1, index: 3), at: at), at: at)
        let late = ReplicaMessage(
            sender: "b", term: 1,
            body: .release(
                .init(record: record(term: 1, leader: "b", set: ["a", "b", "c"]), heir: "a", address: "at-a")))
        #expect(swap(in: replica.handle(.message(late), at: at)) == nil)
        let release = ReplicaMessage(
            sender: "c", term: 2,
            body: .release(
                .init(record: record(term: 2, leader: "c", set: ["a", "b", "c"]), heir: "a", address: "at-a")))
        #expect(swap(in: replica.handle(.message(release), at: at))?.term == 3)
    }

    // TAKEN
    @Test func whatANewLeaderFoundMayBeCommitted() throws {
        var replica = replica(log((1, 3)), record(term: 1, leader: "b", set: ["a", "b"]))
        var now = try lead(&replica, chain: chain)
        // Its log ends with entry 4; `b` is gone, and the chain has no more than entry 2.
        now += Self.second
        let goodbye = ReplicaMessage(sender: "b", term: replica.term, body: .goodbye)
        var actions = replica.handle(.message(goodbye), at: now)
        #expect(actions.contains(.flush(through: 4)))
        actions += replica.handle(.stored(through: 3, term: replica.term), at: now)
        #expect(swap(in: actions) == nil, "the last other copy stays until the store has everything")
        let change = try #require(swap(in: replica.handle(.stored(through: 4, term: replica.term), at: now)))
        #expect(change.inSyncSet == ["a"] && change.storeComplete)
    }

    @Test func answersToRequestsOfAnEarlierTermCountNothing() throws {
        var replica = replica(log((1, 3)), record(term: 1, leader: "b", set: ["a", "b"]))
        let now = try win(&replica, chain: chain).at
        let old = replica.attempt
        let higher = record(term: 4, leader: "b", set: ["a", "b"])
        _ = replica.handle(
            .message(ReplicaMessage(sender: "b", term: 4, body: .hello(.init(nodeID: "b", address: "", last: .zero)))),
            at: now)
        #expect(replica.role == .follower && replica.term == 4)
        _ = replica.handle(.record(higher), at: now)
        var later = now
        while replica.role == .follower {
            later = try #require(replica.nextDeadline)
            let actions = replica.handle(.tick, at: later)
            if actions.contains(.readRecord) { _ = replica.handle(.record(higher), at: later) }
            if let own = swap(in: actions) { _ = replica.handle(.swapped(nonce: own.nonce, .won), at: later) }
        }
        #expect(replica.role == .replaying && replica.term == 5)
        _ = replica.handle(.chain(chain, attempt: old), at: later)
        #expect(replica.role == .replaying, "that chain was read for another term")
        _ = replica.handle(.chain(chain, attempt: replica.attempt), at: later)
        #expect(replica.role == .fencing)
        #expect(replica.handle(.fenced(.stored(through: 2), attempt: old), at: later) == [])
        #expect(replica.handle(.head(covered: 0, attempt: old), at: later) == [])
        #expect(replica.role == .fencing)
    }

    @Test func whatWasStoredUnderAnEarlierTermIsNotTheLogOfThisOne() throws {
        var replica = replica(log((1, 3)), record(term: 1, leader: "b", set: ["a", "b"]))
        let now = try lead(&replica, chain: chain)
        _ = replica.handle(.stored(through: 4, term: replica.term - 1), at: now)
        #expect(replica.lead?.stored == 2)
    }

    /// A database of one node with `local` durability gets peers: its record says that the store lacks something.
    @Test func oneCopyIsNoneWithoutTheChain() throws {
        for durability in [ReplicaConfiguration.Durability.replicated, .objectStore] {
            var replica = replica(log((1, 3)), record(term: 1, leader: "a", set: ["a"]), durability: durability)
            let now = try lead(&replica, chain: chain)
            #expect(replica.committed == 2, "so much is in the chain")
            #expect(replica.handle(.stored(through: 4, term: replica.term), at: now).contains(.commit(4)))
        }
    }

    /// A node alone has gone on under a term that no election gave: the record that is there is the one to replace, by a later term.
    @Test func theTermOfANodeAloneKeepsNobodyFromCampaigning() throws {
        let old = record(term: 1, leader: "b", set: ["b"], complete: true)
        var replica = replica(log((1, 3), (4, 1)), old)
        #expect(replica.term == 4)
        let won = swap(in: replica.handle(.tick, at: Self.second * 6))
        #expect(won?.term == 5)
        // One that is heard of later belongs to somebody who was elected: the record has to be read again.
        var other = self.replica(log((1, 3), (4, 1)), old)
        _ = other.handle(append(6, from: "c", previous: .zero, at: .zero), at: .zero)
        #expect(swap(in: other.handle(.tick, at: Self.second * 60)) == nil)
    }

    /// So many have to acknowledge what is committed, whoever may take over.
    @Test func fewerThanWantedCommitNothing() throws {
        var configuration = ReplicaConfiguration(
            nodeID: "a", instanceID: "a", address: "at-a", durability: .replicated, seed: 1)
        configuration.inSyncMin = 2
        let start = record(term: 1, leader: "a", set: ["a"], complete: true)
        var replica = Replica(
            configuration, log: log((1, 3)), chain: ChainView(log: log((1, 1)), headerTerm: 1), committed: 1,
            record: start, now: .zero)
        let now = try lead(&replica, chain: chain)
        let end = replica.log.last.index
        _ = replica.handle(.fsynced(through: end, cuts: replica.cuts), at: now)
        _ = replica.handle(.stored(through: end, term: replica.term), at: now)
        #expect(replica.committed < end && !replica.isServing)
    }

    /// It leads nothing, whatever the record says.
    @Test func whoeverOnlyReadsNeverCampaigns() {
        var configuration = ReplicaConfiguration(
            nodeID: "a", instanceID: "a", address: "at-a", durability: .replicated, seed: 1)
        configuration.isReadOnly = true
        for set in [["b"], ["a", "b"]] {
            var replica = Replica(
                configuration, log: log((1, 3)), chain: ChainView(log: log((1, 1)), headerTerm: 1), committed: 1,
                record: record(term: 1, leader: "b", set: set, complete: true), now: .zero)
            #expect(swap(in: replica.handle(.tick, at: Self.second * 60)) == nil)
        }
    }

    /// Both have committed entry 2, which is not the same.
    @Test func twoHistoriesAreAConflict() {
        var replica = replica(log((1, 3)), record(term: 1, leader: "b", set: ["a", "b"]))
        _ = replica.handle(
            append(1, from: "b", previous: LogPosition(term: 1, index: 3), committed: 3, at: .zero), at: .zero)
        #expect(replica.committed == 3)
        let other = append(
            4, from: "b", previous: LogPosition(term: 1, index: 1), [TermRun(term: 3, count: 4)], at: .zero)
        #expect(replica.handle(other, at: .zero) == [.conflict(at: 2), .stopped])
        #expect(replica.role == .stopped)
    }

    /// A leader that has lost the store, or somebody whom it needs, keeps nobody waiting who can do better.
    @Test func aStuckLeaderIsPromisedNothingByWhomeverSeesTheRecord() throws {
        let record = record(term: 1, leader: "b", set: ["a", "b"])
        var replica = replica(log((1, 3)), record)
        let end = LogPosition(term: 1, index: 3)
        var now = Self.second * 5
        var answer = answers(in: replica.handle(append(1, from: "b", previous: end, at: now), at: now)).first
        #expect(answer?.promised == now)
        now += Self.second
        let actions = replica.handle(append(1, from: "b", previous: end, at: now, isStuck: true), at: now)
        #expect(answers(in: actions).first?.promised == now, "it does not see the record either")
        #expect(actions.contains(.readRecord))
        _ = replica.handle(.record(record), at: now)
        let later = now + .milliseconds(100)
        answer =
            answers(in: replica.handle(append(1, from: "b", previous: end, at: later, isStuck: true), at: later)).first
        #expect(answer?.promised == now, "no new one")
        let end2 = now + Self.second * 2
        #expect(swap(in: replica.handle(.tick, at: end2))?.term == 2)
    }

    /// Whatever is due is done, or waits for an event: a deadline is always in the future.
    @Test func noDeadlineIsOver() {
        let records = [nil, record(term: 1, leader: "b", set: ["b"]), record(term: 1, leader: "b", set: ["a", "b"])]
        for record in records {
            var replica = replica(log((1, 3)), record)
            var now = Duration.zero
            for _ in 0..<100 {
                guard let deadline = replica.nextDeadline else { break }
                now = max(now, deadline)
                for action in replica.handle(.tick, at: now) {
                    if case .swap(let swap, _) = action {
                        _ = replica.handle(.swapped(nonce: swap.nonce, .failed), at: now)
                    }
                    if action == .readRecord { _ = replica.handle(.recordUnavailable, at: now) }
                }
                #expect(replica.nextDeadline.map { $0 > now } ?? true)
            }
            #expect(now > .seconds(5), "it goes on trying")
        }
    }

    /// A node greets the leader before clients can reach it anywhere.
    @Test func theLeaderHearsWhereClientsReachAFollower() throws {
        var replica = replica(log((1, 1)), record(term: 1, leader: "b", set: ["a", "b"]))
        func urls(_ actions: [ReplicaAction]) -> [[String]] {
            actions.compactMap { action in
                let message: ReplicaMessage
                switch action {
                case .send(_, let sent): message = sent
                case .greet(_, let sent): message = sent
                default: return nil
                }
                guard case .hello(let hello) = message.body else { return nil }
                return hello.clientURLs
            }
        }
        #expect(urls(replica.handle(.tick, at: .zero)) == [[]])
        #expect(urls(replica.handle(.clientURLs(["http://a"]), at: .zero)) == [])
        let heartbeat = append(1, from: "b", previous: LogPosition(term: 1, index: 1), at: .zero)
        #expect(urls(replica.handle(heartbeat, at: .zero)) == [["http://a"]])
        #expect(urls(replica.handle(heartbeat, at: .zero)) == [])
        #expect(urls(replica.handle(.clientURLs(["http://other"]), at: .zero)) == [["http://other"]])
        #expect(urls(replica.handle(heartbeat, at: .zero)) == [])
    }

    /// A leader that hands over turns to its heir at once, leads no more, and lets it go first.
    @Test func handingOver() throws {
        var replica = replica(log((1, 1)), record(term: 1, leader: "a", set: ["a", "b"]))
        let now = try lead(&replica, chain: ChainView(log: log((1, 1)), headerTerm: 1))
        let last = replica.log.last
        let hello = ReplicaMessage.Hello(nodeID: "b", address: "at-b", last: last, clientURLs: ["http://b"])
        func tell(_ body: ReplicaMessage.Body) -> [ReplicaAction] {
            replica.handle(.message(ReplicaMessage(sender: "b", term: replica.term, body: body)), at: now)
        }
        _ = tell(.hello(hello))
        _ = tell(.answer(.init(durable: last.index, promised: now)))
        _ = replica.handle(.fsynced(through: last.index, cuts: replica.cuts), at: now)
        #expect(replica.isServing && replica.servesUntil != nil && replica.liveLeader(now) == "a")
        #expect(replica.members?.map(\.name) == ["a", "b"] && replica.members?.last?.clientURLs == ["http://b"])

        // Not to somebody who lacks what is committed.
        _ = replica.handle(.handOver(to: "c"), at: now)
        _ = replica.handle(.handOver(to: "a"), at: now)
        #expect(replica.isServing)
        let actions = replica.handle(.handOver(to: "b"), at: now)
        #expect(replica.role == .follower && replica.servesUntil == nil && replica.liveLeader(now) == nil)
        #expect(actions.contains(.stepDown))
        let releases = actions.compactMap { action -> ReplicaMessage.Release? in
            guard case .send("b", let message) = action, case .release(let release) = message.body else { return nil }
            return release
        }
        #expect(releases.count == 1 && releases[0].heir == "b" && !releases[0].isLeaving)
        #expect(actions.contains { if case .greet("at-b", _) = $0 { true } else { false } })
        // It campaigns itself where the heir does not come.
        var campaign: Duration?
        while campaign == nil {
            let time = try #require(replica.nextDeadline)
            let actions = replica.handle(.tick, at: time)
            if actions.contains(.readRecord) { _ = replica.handle(.recordUnavailable, at: time) }
            if swap(in: actions) != nil { campaign = time }
        }
        #expect(try #require(campaign) >= now + .milliseconds(1_500))
    }
}
