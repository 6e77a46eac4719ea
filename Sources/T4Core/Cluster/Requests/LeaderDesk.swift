import Synchronization
import T4Protocols

/// Answers what this node is asked as the leader, by itself and by others. Usable from any thread.
final class LeaderDesk: Sendable {
    private let replicator: Replicator
    private let queue: ProposalQueue
    private let leases: LeaseKeeper
    private let published: PublishedState
    /// The term in which this node takes writes: everything that was found is applied; 0: none.
    private let servingTerm = Atomic<UInt64>(0)

    init(_ replicator: Replicator, _ core: NodeCore) {
        self.replicator = replicator
        queue = core.queue
        leases = core.leases
        published = core.published
    }

    /// Writes are taken in this term from now on; 0: no more.
    func serve(_ term: UInt64) { servingTerm.store(term, ordering: .releasing) }

    var isServing: Bool { servingTerm.load(ordering: .acquiring) != 0 }

    /// Whether nobody else can lead at this moment.
    var leads: Bool { replicator.hasLeadershipTime(in: servingTerm.load(ordering: .acquiring)) }

    /// Whether what is visible here at this moment has everything that was acknowledged by anybody, or shown: a follower may have
    /// applied what is committed before this node has.
    var isCurrent: Bool { leads && published.appliedIndex >= replicator.committed }

    /// Commits a proposal; `.noLeader`: nothing came of it.
    func propose(_ kind: ProposalKind, from requester: Requester?, completion: @escaping Proposal.Completion) {
        queue.submit(Proposal(kind, from: requester, completion: completion))
    }

    /// Answers questions, with the index up to which everything that was acknowledged before is in the log; nil where this node
    /// does not lead.
    func answer(_ queries: [LeaderQuery], _ completion: @escaping @Sendable (([LeaderReply], index: UInt64)?) -> Void) {
        let term = servingTerm.load(ordering: .acquiring)
        guard term != 0 else { return completion(nil) }
        let replies = queries.map(reply)
        // Only now, so that whoever leads after this node gives every lease its time again after it was renewed here.
        replicator.read { [self] index in
            guard let index, replicator.term == term, servingTerm.load(ordering: .acquiring) == term else {
                return completion(nil)
            }
            completion((replies, index))
        }
    }

    /// Answers at once; nil where it is not certain that this node leads.
    func answerNow(_ query: LeaderQuery) -> LeaderReply? {
        guard isServing else { return nil }
        let reply = reply(query)
        return isCurrent ? reply : nil
    }

    private func reply(_ query: LeaderQuery) -> LeaderReply {
        leases.reply(to: query, members: replicator.members ?? [])
    }

    /// Another node asks.
    func asked(_ bytes: [UInt8], _ seed: PeerSeed, _ completion: @escaping @Sendable ([UInt8]) -> Void) {
        let request: LeaderRequest
        do throws(PeerCodingError) {
            request = try LeaderRequest(bytes, seed)
        } catch {
            let failure = DatabaseError(.outcomeUnknown, "the leader cannot read the request: \(error)")
            return completion(LeaderAnswer.failed(failure).encoded(seed))
        }
        switch request {
        case .queries(let queries):
            answer(queries) { found in
                let answer = found.map { LeaderAnswer.replies($0.0, index: $0.index) } ?? .failed(LeaderDuties.noLeader)
                completion(answer.encoded(seed))
            }
        case .proposal(let kind, let requester):
            propose(kind, from: requester) { [published] result in
                switch result {
                case .success(let response):
                    // It is visible here, so that this is its entry or a later one.
                    completion(LeaderAnswer.committed(response, index: published.appliedIndex).encoded(seed))
                case .failure(let error): completion(LeaderAnswer.failed(error).encoded(seed))
                }
            }
        }
    }
}

extension LeaseKeeper {
    /// What a leader answers.
    /// - Parameter members: Who belongs to its cluster; nobody where it is alone.
    func reply(to query: LeaderQuery, members: @autoclosure () -> [ClusterMember]) -> LeaderReply {
        switch query {
        case .index: .index
        case .members: .members(members())
        case .renew(let lease): .renewed(renew(lease))
        case .timeToLive(let lease):
            .timeToLive(timeToLive(lease).map { LeaseTime(remaining: $0.remaining, granted: $0.granted) })
        }
    }
}
