import Synchronization
import T4Protocols

/// Brings what clients of this node ask to whoever leads the cluster, itself included.
///
/// A proposal is handed over once: again only where nothing came of it. Questions are asked together, one request at a time, and
/// again where the answer is lost. Where nobody leads, both wait for some time. Usable from any thread.
final class RequestForwarder: Sendable {
    /// What it works with.
    struct Parts: Sendable {
        var desk: LeaderDesk
        var transport: any ReplicaTransport
        var seed: PeerSeed
        /// This node, and who leads as far as it knows.
        var me: String
        var leader: @Sendable () -> String?
        var statistics: ClusterStatistics
        var applied: AppliedWaiters
        var clock: any ElapsedClock = BootClock()
        /// How long a request takes at most.
        var timeout: Duration
        /// How long an answer to questions is waited for.
        var queryTimeout: Duration
        /// Proposals that wait for the leader, and their bytes.
        var countMax: Int
        var bytesMax: Int
    }

    private struct Pending: Sendable {
        let kind: ProposalKind
        let requester: Requester?
        let bytes: Int
        let deadline: Duration
        let completion: Proposal.Completion
        /// As it travels, once it was to.
        var encoded: [UInt8]?
        var retryAt = Duration.zero
    }

    private struct Question: Sendable {
        let query: LeaderQuery
        let deadline: Duration
        let completion: @Sendable (Result<LeaderReply, DatabaseError>) -> Void
    }

    private struct State {
        /// Proposals for which a leader is looked for.
        var parked: [Pending] = []
        /// All that were not handed to this node's own queue.
        var count = 0
        var bytes = 0
        /// Questions that are asked next.
        var questions: [Question] = []
        /// Those that are asked, and a number for this attempt.
        var asked: [Question] = []
        var attempt: UInt64 = 0
        /// No questions before.
        var askAgainAt: Duration?
        var stopped: DatabaseError?
        /// Who leads has changed since parked proposals were looked at.
        var hasChanged = false

        /// What was asked is asked again.
        mutating func askAgain(at time: Duration?) {
            questions = asked + questions
            asked = []
            askAgainAt = time
        }
    }

    private let parts: Parts
    private let state = Mutex(State())
    private let thread = Mutex<SignalledThread?>(nil)
    /// The thread waits until it is woken.
    private let isIdle = Atomic(true)
    /// Something was asked since the thread looked last.
    private let wasBusy = Atomic(false)
    /// So long after the last question the thread waits until it is woken: before that nobody has to wake it for each.
    private static let patience = Duration.seconds(1)
    /// Between two attempts.
    private static let pause = Duration.milliseconds(50)
    private static let nobody = DatabaseError(.noLeader, "nobody leads the cluster, as far as this node can tell")

    init(_ parts: Parts) { self.parts = parts }

    func start() {
        thread.withLock { thread in
            let made = SignalledThread(name: "t4-forward") { self.step() }
            thread = made
            made.start()
        }
    }

    /// Answers everything that waits: nothing comes of it, or nobody knows.
    func stop(_ error: DatabaseError) {
        let (parked, questions) = state.withLock { state in
            state.stopped = state.stopped ?? error
            defer { (state.parked, state.questions, state.asked) = ([], [], []) }
            return (state.parked, state.asked + state.questions)
        }
        for proposal in parked { proposal.completion(.failure(error)) }
        for question in questions { question.completion(.failure(error)) }
        parts.applied.stop()
    }

    /// Ends the thread, after `stop`.
    func join() { thread.withLock { $0 }?.stop() }

    /// Another node leads, or this one serves, or no more.
    func leaderChanged() {
        state.withLock { state in
            state.hasChanged = true
            // Whoever was asked may never answer.
            if !state.asked.isEmpty { state.askAgain(at: nil) }
        }
        wake()
    }

    private func wake() { thread.withLock { $0 }?.wake() }

    /// Sees to it that the thread looks at the time: deadlines come in their order, so that one that waits need not be woken.
    private func awake() {
        wasBusy.store(true, ordering: .relaxed)
        if isIdle.exchange(false, ordering: .acquiringAndReleasing) { wake() }
    }

    // MARK: Proposals

    /// Commits a proposal, wherever that is. `completion` comes once, from any thread; with success once it is visible here.
    func propose(_ kind: ProposalKind, from requester: Requester?, completion: @escaping Proposal.Completion) {
        let deadline = parts.clock.now + parts.timeout
        guard parts.desk.isServing else { return admit(kind, requester, deadline, completion) }
        parts.desk.propose(kind, from: requester) { [self] result in
            if case .failure(let error) = result, error.code == .noLeader {
                admit(kind, requester, deadline, completion)
            } else {
                completion(result)
            }
        }
    }

    private func admit(
        _ kind: ProposalKind, _ requester: Requester?, _ deadline: Duration, _ completion: @escaping Proposal.Completion
    ) {
        let bytes = kind.byteCount
        let refusal: DatabaseError? = state.withLock { state in
            if let stopped = state.stopped { return stopped }
            guard state.count < parts.countMax, state.bytes < parts.bytesMax else {
                return DatabaseError(.tooManyRequests, "\(state.count) requests wait for the leader")
            }
            state.count += 1
            state.bytes += bytes
            return nil
        }
        if let refusal { return completion(.failure(refusal)) }
        hand(
            Pending(kind: kind, requester: requester, bytes: bytes, deadline: deadline) { [self] result in
                state.withLock { state in
                    state.count -= 1
                    state.bytes -= bytes
                }
                completion(result)
            })
    }

    /// Gives a proposal to whoever leads.
    private func hand(_ proposal: Pending) {
        guard let leader = parts.leader() else { return park(proposal) }
        let left = proposal.deadline - parts.clock.now
        guard left > .zero else { return proposal.completion(.failure(RequestForwarder.nobody)) }
        guard leader != parts.me else {
            guard parts.desk.isServing else { return park(proposal) }
            return parts.desk.propose(proposal.kind, from: proposal.requester) { [self] in answered(proposal, $0) }
        }
        var sent = proposal
        let request =
            proposal.encoded ?? LeaderRequest.proposal(proposal.kind, from: proposal.requester).encoded(parts.seed)
        sent.encoded = request
        let proposal = sent
        let stopwatch = Stopwatch()
        parts.transport.ask(leader, request, timeout: left) { [self] answer in
            if case .success = answer { parts.statistics.forwarded(proposal.kind, stopwatch) }
            do throws(PeerCallError) {
                answered(proposal, try answer.get())
            } catch {
                switch error {
                case .notSent, .refused: park(proposal)
                case .tooLarge(let reason):
                    proposal.completion(.failure(DatabaseError(.requestTooLarge, reason)))
                case .outcomeUnknown(let reason):
                    proposal.completion(
                        .failure(DatabaseError(.outcomeUnknown, "the leader's answer is lost: \(reason)")))
                }
            }
        }
    }

    private func answered(_ proposal: Pending, _ bytes: [UInt8]) {
        let answer: LeaderAnswer
        do throws(PeerCodingError) {
            answer = try LeaderAnswer(bytes, parts.seed)
        } catch {
            return proposal.completion(
                .failure(DatabaseError(.outcomeUnknown, "the leader's answer cannot be read: \(error)")))
        }
        switch answer {
        case .failed(let error): answered(proposal, .failure(error))
        case .committed(let response, let index):
            letOthersGo()
            // It is committed, also where it does not become visible here in time.
            parts.applied.wait(for: index, until: proposal.deadline) { _ in proposal.completion(.success(response)) }
            // The deadline of one that has waited comes before that of others.
            if proposal.retryAt == .zero { awake() } else { wake() }
        case .replies:
            proposal.completion(
                .failure(DatabaseError(.outcomeUnknown, "the leader's answer is one to another question")))
        }
    }

    private func answered(_ proposal: Pending, _ result: Result<ProposalResponse, DatabaseError>) {
        if case .failure(let error) = result, error.code == .noLeader || error.code == .stopped {
            park(proposal)
        } else {
            proposal.completion(result)
        }
    }

    /// Somebody answers: what waits need not wait for its turn.
    private func letOthersGo() {
        let hasOthers = state.withLock { state in
            guard !state.parked.isEmpty else { return false }
            state.hasChanged = true
            return true
        }
        if hasOthers { wake() }
    }

    /// Nothing came of it: it waits for another attempt.
    private func park(_ proposal: Pending) {
        var waiting = proposal
        waiting.retryAt = parts.clock.now + RequestForwarder.pause
        let final = waiting
        let stopped: DatabaseError? = state.withLock { state in
            if let stopped = state.stopped { return stopped }
            state.parked.append(final)
            return nil
        }
        if let stopped { return proposal.completion(.failure(stopped)) }
        wake()
    }

    // MARK: Questions

    /// Asks the leader; the answer comes once, from any thread, when everything that was acknowledged before the question is
    /// visible here.
    func ask(_ query: LeaderQuery, _ completion: @escaping @Sendable (Result<LeaderReply, DatabaseError>) -> Void) {
        let question = Question(query: query, deadline: parts.clock.now + parts.timeout, completion: completion)
        let refusal: DatabaseError? = state.withLock { state in
            if let stopped = state.stopped { return stopped }
            guard state.questions.count < parts.countMax else {
                return DatabaseError(.tooManyRequests, "\(state.questions.count) questions wait for the leader")
            }
            state.questions.append(question)
            return nil
        }
        if let refusal { return completion(.failure(refusal)) }
        askNext()
        awake()
    }

    /// Asks what waits, unless a request is under way.
    private func askNext() {
        let now = parts.clock.now
        let leader = parts.leader()
        let taken: (questions: [Question], attempt: UInt64)? = state.withLock { state in
            guard state.asked.isEmpty, !state.questions.isEmpty, state.askAgainAt.map({ $0 <= now }) ?? true else {
                return nil
            }
            guard leader != nil else {
                state.askAgainAt = now + RequestForwarder.pause
                return nil
            }
            state.askAgainAt = nil
            (state.asked, state.questions) = (state.questions, [])
            state.attempt += 1
            return (state.asked, state.attempt)
        }
        guard let taken, let leader else { return }
        let queries = taken.questions.map(\.query)
        if leader == parts.me {
            return parts.desk.answer(queries) { [self] found in took(taken.attempt, found) }
        }
        let request = LeaderRequest.queries(queries).encoded(parts.seed)
        let shown = parts.applied.index
        parts.transport.ask(leader, request, timeout: parts.queryTimeout) { [self] answer in
            let found = replies(answer)
            // A node that has started shows what was in the store then. While its leader has not committed all of that, the
            // leader's own reads would not see what a read here shows.
            took(taken.attempt, found.map { $0.index >= shown } == true ? found : nil)
        }
    }

    private func replies(_ answer: Result<[UInt8], PeerCallError>) -> ([LeaderReply], index: UInt64)? {
        guard case .success(let bytes) = answer else { return nil }
        do throws(PeerCodingError) {
            guard case .replies(let replies, let index) = try LeaderAnswer(bytes, parts.seed) else { return nil }
            return (replies, index)
        } catch {
            // Asked again, as if it were lost.
            return nil
        }
    }

    private func took(_ attempt: UInt64, _ found: ([LeaderReply], index: UInt64)?) {
        let questions: [Question] = state.withLock { state in
            guard state.attempt == attempt, !state.asked.isEmpty else { return [] }
            guard let found, found.0.count == state.asked.count else {
                state.askAgain(at: parts.clock.now + RequestForwarder.pause)
                return []
            }
            defer { state.asked = [] }
            return state.asked
        }
        guard let found, !questions.isEmpty else { return wake() }
        // Before those of the answer, whose completions may take their time.
        askNext()
        for (question, reply) in zip(questions, found.0) {
            parts.applied.wait(for: found.index, until: question.deadline) { isVisible in
                question.completion(
                    isVisible ? .success(reply) : .failure(DatabaseError(.noLeader, "this node lags behind the leader"))
                )
            }
        }
        awake()
    }

    // MARK: Time

    private func step() -> SignalledThread.Next {
        isIdle.store(true, ordering: .releasing)
        let now = parts.clock.now
        let (due, late) = state.withLock { state in
            let changed = state.hasChanged
            state.hasChanged = false
            if changed { state.askAgainAt = nil }
            // One finds out for all whether there is somebody to hand them to.
            let probe = state.parked.firstIndex { $0.retryAt <= now }
            let isDue = state.parked.indices.map { changed || $0 == probe || state.parked[$0].deadline <= now }
            let due = zip(state.parked, isDue).filter(\.1).map(\.0)
            state.parked = zip(state.parked, isDue).filter { !$0.1 }.map(\.0)
            if probe != nil {
                for index in state.parked.indices {
                    state.parked[index].retryAt = max(state.parked[index].retryAt, now + RequestForwarder.pause)
                }
            }
            let late = state.questions.filter { $0.deadline <= now }
            state.questions.removeAll { $0.deadline <= now }
            return (due, late)
        }
        for question in late { question.completion(.failure(RequestForwarder.nobody)) }
        for proposal in due {
            if proposal.deadline <= now {
                proposal.completion(.failure(RequestForwarder.nobody))
            } else {
                hand(proposal)
            }
        }
        askNext()
        let expiry = parts.applied.expire(now: now)
        let next: Duration? = state.withLock { state in
            var times = state.parked.map(\.retryAt)
            if !state.questions.isEmpty, state.asked.isEmpty, let time = state.askAgainAt { times.append(time) }
            if let expiry { times.append(expiry) }
            return times.min()
        }
        let isBusy = wasBusy.exchange(false, ordering: .relaxed)
        guard isBusy || next != nil else { return .whenWoken }
        isIdle.store(false, ordering: .releasing)
        let wait = next.map { max($0 - now, .milliseconds(1)) } ?? RequestForwarder.patience
        return .after(isBusy ? min(wait, RequestForwarder.patience) : wait)
    }
}
