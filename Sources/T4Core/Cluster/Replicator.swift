package import Logging
import Synchronization
package import T4Protocols

/// Carries out what a `Replica` wants done, and tells it what comes of it: the replica of a running node.
///
/// See docs/decisions/0010-node-of-a-cluster.md. Usable from any thread.
package final class Replicator: Sendable {
    /// What became of a linearizable read: the index up to which everything has to be applied, or nil where this node does not
    /// lead.
    package typealias ReadAnswer = @Sendable (UInt64?) -> Void

    /// How a replica ended that did not stop in good order.
    package enum End: Error, Hashable, Sendable, CustomStringConvertible {
        /// What is applied here is not what was committed elsewhere.
        case conflict(at: UInt64)
        /// The log lies too far back: the directory is to be filled from the checkpoint that ends here.
        case restore(LogPosition)
        /// The log, the engine or the end of the chain cannot be used any more.
        case failed(String)

        /// Whether a node that is started again can take part.
        package var endsWithANewStart: Bool {
            switch self {
            case .conflict, .restore: true
            case .failed: false
            }
        }

        package var description: String {
            switch self {
            case .conflict(let index):
                "this node has applied entry \(index), and the cluster has committed another one: its data directory belongs "
                    + "to another history"
            case .restore(let position):
                "the log of this node ends before the oldest entry that the cluster keeps; a start fills it from the checkpoint "
                    + "at entry \(position.index)"
            case .failed(let what): what
            }
        }
    }

    /// What a replicator works with.
    package struct Parts: Sendable {
        package var log: ClusterLog
        package var chain: any ReplicaChain
        package var election: any Election
        package var transport: any ReplicaTransport
        package var engine: any LocalEngine
        /// Stands where `engine` does, with no group passed yet. Its thread runs for longer than the replicator.
        package var stage: ApplyStage
        /// Makes what the node does only while it leads.
        package var makeLeading: @Sendable (Replicator, LeadershipBeginning) throws -> any Leading
        package var clock: any ElapsedClock
        package var wall: Clock
        package var timer: BackoffTimer
        package var logger: Logger
        /// Counts what happens.
        package var statistics = ClusterStatistics()
        /// Called when another node leads, or this one does, or no more. Must not block.
        package var onChange: @Sendable (Standing) -> Void = { _ in }
        /// Called once, when the replica has ended: nil in good order.
        package var onEnd: @Sendable (End?) -> Void

        /// Puts the parts together.
        package init(
            log: ClusterLog, chain: any ReplicaChain, election: any Election, transport: any ReplicaTransport,
            engine: any LocalEngine, stage: ApplyStage,
            makeLeading: @escaping @Sendable (Replicator, LeadershipBeginning) throws -> any Leading,
            clock: any ElapsedClock = BootClock(), wall: Clock = .system,
            timer: BackoffTimer = .system, logger: Logger, onEnd: @escaping @Sendable (End?) -> Void
        ) {
            self.log = log
            self.chain = chain
            self.election = election
            self.transport = transport
            self.engine = engine
            self.stage = stage
            self.makeLeading = makeLeading
            self.clock = clock
            self.wall = wall
            self.timer = timer
            self.logger = logger
            self.onEnd = onEnd
        }
    }

    /// How this node stands in its cluster.
    package struct Standing: Hashable, Sendable {
        /// What it is doing, and in which term.
        package var role: Replica.Role
        package var term: UInt64
        /// The instance that leads, as far as this node knows.
        package var leader: String?
        /// The election record as it was seen last.
        package var record: LeaderRecord?
        /// Whether it takes writes.
        package var isServing: Bool
        /// It leads, and fewer nodes are in sync than are to acknowledge writes.
        package var lacksMembers: Bool
        /// Rises with every change.
        var number: UInt64 = 0
        /// Instances of which one has to come back before anybody can lead; nil where that is not so.
        package var missed: [String]?

        init(_ replica: Replica, _ now: Duration) {
            role = replica.role
            term = replica.term
            leader = replica.lead != nil ? replica.me : replica.leader
            record = replica.record
            isServing = replica.isServing
            lacksMembers = replica.role == .leading && !replica.hasEnoughInSync
            missed = replica.missed(now)
        }
    }

    struct State {
        var replica: Replica
        /// Of the last entry of the log, or later.
        var lastTime: UInt64
        /// What the last swap of the own record gave.
        var held: Leadership?
        var reads: [UInt64: ReadAnswer] = [:]
        var readCount: UInt64 = 0
        /// What was read of the chain last.
        var reading: ChainReading?
        /// The entry that begins the own term, where it was made before the log could take it.
        var termEntry: LogEntry?
        /// The last entry of the term's first object.
        var fenced = LogPosition.zero
        var beginning: LeadershipBeginning?
        /// When the replica's thread looks next; nil: when it is woken.
        var wakesAt: Duration?
        var end: End?
        var hasEnded = false
        /// As it was told last.
        var standing: Standing
    }

    /// Things to do once the lock is released.
    struct Effects {
        var works: [@Sendable () -> Void] = []
        var tasks: [@Sendable () async -> Void] = []
        var wakes = false
    }

    private struct Posted: Sendable {
        var event: ReplicaEvent
        var entries: [LogEntry] = []
        var held: (any Sendable)?
    }

    let parts: Parts
    let state: Mutex<State>
    let outbox: Outbox
    let roles: RoleThread
    private let posted = Mutex<[Posted]>([])
    private let thread = Mutex<SignalledThread?>(nil)
    private let threads = Mutex<[SystemThread]>([])
    private let stopping = Atomic(false)
    /// Work with election and store that is under way.
    private let tasks = Monitor<(next: Int, running: [Int: Task<Void, Never>])>((0, [:]))
    /// Until when a leader may answer reads, in nanoseconds of the clock; 0: not at all.
    private let servesUntil = Atomic<Int64>(0)
    private let newestTerm = Atomic<UInt64>(0)
    /// Up to where others may have been told that entries are committed, and show them.
    private let newestCommitted = Atomic<UInt64>(0)
    private let needsChainNow = Atomic(false)

    /// - Parameters:
    ///   - replica: As the node starts.
    ///   - time: Commit time of the last entry of the log.
    package init(_ replica: Replica, time: UInt64, _ parts: Parts) throws(EngineError) {
        self.parts = parts
        roles = try RoleThread(entries: parts.log.entries, engine: parts.engine, stage: parts.stage)
        outbox = Outbox(parts.log.entries, parts.transport)
        state = Mutex(State(replica: replica, lastTime: time, standing: Standing(replica, parts.clock.now)))
        newestTerm.store(replica.term, ordering: .relaxed)
    }

    /// Starts to take part.
    package func start() {
        let (log, roles, outbox, logger) = (parts.log, roles, outbox, parts.logger)
        threads.withLock { threads in
            threads = [
                SystemThread(name: "t4-log") {
                    log.run(
                        onSync: { self.handle(.fsynced(through: $0, cuts: $1)) },
                        onFailure: { self.fail("the log cannot be written: \($0)") })
                },
                SystemThread(name: "t4-send") {
                    outbox.run { logger.error("entries for another node cannot be read: \($0)") }
                },
                SystemThread(name: "t4-role") {
                    do {
                        try roles.run(
                            time: { self.state.withLock { $0.lastTime } },
                            makeLeading: { try self.parts.makeLeading(self, $0) })
                    } catch {
                        self.fail("what is committed cannot be applied: \(error)")
                    }
                },
            ]
        }
        thread.withLock { thread in
            let made = SignalledThread(name: "t4-replica") { self.step() }
            thread = made
            made.start()
        }
    }

    /// Ends all threads. Blocks; not for tasks. To leave the cluster in good order, `resign` comes first.
    package func stop() {
        stopping.store(true, ordering: .releasing)
        thread.withLock { $0 }?.stop()
        let reads = state.withLock { state in
            state.hasEnded = true
            defer { state.reads = [:] }
            return state.reads.values
        }
        for read in reads { read(nil) }
        for task in tasks.withLock({ Array($0.running.values) }) { task.cancel() }
        tasks.wait { $0.running.isEmpty ? () : nil }
        roles.stop()
        parts.log.stop()
        outbox.stop()
        for thread in threads.withLock({ $0 }) { thread.join() }
    }

    /// The instance that leads, unless it has not done so for some time.
    package var liveLeader: String? { state.withLock { $0.replica.liveLeader(parts.clock.now) } }

    /// All nodes that this leader hears, itself first; nil where this node does not lead.
    package var members: [ClusterMember]? { state.withLock { $0.replica.members } }

    /// Clients reach this node there.
    package func advertise(_ urls: [String]) { post(.clientURLs(urls)) }

    /// Asks the replica to hand over to a member in sync, and to follow it.
    package func handOver(to heir: String) { post(.handOver(to: heir)) }

    /// Asks the replica to leave in good order: `onEnd` says when it has.
    package func resign() { post(.stop) }

    var isStopping: Bool { stopping.load(ordering: .acquiring) }

    /// How this node stands.
    package var standing: Standing { state.withLock { Standing($0.replica, parts.clock.now) } }

    /// How this node stands, in numbers.
    package var status: ClusterStatus { state.withLock { $0.replica.status(parts.clock.now) } }

    /// Whether nobody else can lead at this moment, for this node leads in that term. Costs a look at the clock.
    package func hasLeadershipTime(in term: UInt64) -> Bool {
        let until = servesUntil.load(ordering: .acquiring)
        // Stored before the time: what belongs to a later term is not taken for this one.
        return until != 0 && newestTerm.load(ordering: .acquiring) == term && parts.clock.now.nanoseconds < until
    }

    /// The highest term that this node has heard of.
    package var term: UInt64 { newestTerm.load(ordering: .acquiring) }

    /// The last entry of which this node has heard that it is committed, or has told others so.
    var committed: UInt64 { newestCommitted.load(ordering: .acquiring) }

    /// Whether what is to be committed has to be in the store.
    var needsChain: Bool { needsChainNow.load(ordering: .acquiring) }

    // MARK: Events

    /// Another node says something. What is to be done about it is under way when this returns, and what it makes this node say is
    /// on its way too where that needs no disk.
    /// - Parameters:
    ///   - entries: Those that an append names.
    ///   - held: Let go of when they are on disk.
    package func receive(_ message: ReplicaMessage, entries: [LogEntry], held: (any Sendable)? = nil) {
        handle(.message(message), entries, held)
    }

    /// A stream to another node is lost.
    package func disconnected(_ instance: String) { handle(.disconnected(instance)) }

    /// Everything up to there is uploaded.
    package func stored(through index: UInt64, term: UInt64) { post(.stored(through: index, term: term)) }

    /// The log can no longer be uploaded under this term.
    package func uploadFailed(_ failure: any Error, term: UInt64) {
        if let other = (failure as? LogUploader.Failure)?.deposedBy { return post(.deposed(by: other)) }
        // Whoever leads no more cuts off what was to be uploaded.
        let leads = state.withLock { $0.replica.role == .leading && $0.replica.term == term }
        if leads { fail("the log cannot be uploaded: \(failure)") }
    }

    /// The log on disk begins behind this entry now.
    package func forgotten(through index: UInt64) { post(.forgotten(through: index)) }

    /// Asks how far a linearizable read has to go. `answer` comes once, from any thread, perhaps before this returns.
    package func read(_ answer: @escaping ReadAnswer) {
        let effects: Effects? = state.withLock { state in
            guard !state.hasEnded else { return nil }
            state.readCount += 1
            state.reads[state.readCount] = answer
            return step(&state, .read(state.readCount))
        }
        guard let effects else { return answer(nil) }
        carryOut(effects)
    }

    func post(_ event: ReplicaEvent, _ entries: [LogEntry] = [], _ held: (any Sendable)? = nil) {
        posted.withLock { $0.append(Posted(event: event, entries: entries, held: held)) }
        thread.withLock { $0 }?.wake()
    }

    private func step() -> SignalledThread.Next {
        let all = posted.withLock { posted in
            defer { posted = [] }
            return posted
        }
        for one in all { handle(one.event, one.entries, one.held) }
        let wait: Duration? = state.withLock { state in
            state.wakesAt = state.replica.nextDeadline
            return state.replica.nextDeadline.map { $0 - parts.clock.now }
        }
        guard let wait else { return .whenWoken }
        guard wait <= .zero else { return .after(wait) }
        handle(.tick)
        return .again
    }

    func handle(_ event: ReplicaEvent, _ entries: [LogEntry] = [], _ held: (any Sendable)? = nil) {
        carryOut(state.withLock { step(&$0, event, entries, held) })
    }

    /// Lets the replica take an event; what concerns the log and messages is under way, in order, when this returns.
    func step(
        _ state: inout State, _ event: ReplicaEvent, _ entries: [LogEntry] = [], _ held: (any Sendable)? = nil
    ) -> Effects {
        var effects = Effects()
        guard !state.hasEnded else { return effects }
        let role = state.replica.role
        let actions = state.replica.handle(event, at: parts.clock.now)
        parts.statistics.stepped(from: role, to: state.replica.role)
        // Before anybody hears that a promise is let go of: nothing is read here afterwards.
        newestTerm.store(state.replica.term, ordering: .releasing)
        newestCommitted.store(state.replica.committed, ordering: .releasing)
        servesUntil.store(state.replica.servesUntil.map { max($0.nanoseconds, 1) } ?? 0, ordering: .releasing)
        for action in actions {
            perform(action, &state, &effects, entries, held)
            if state.hasEnded { break }
        }
        if !needsChainNow.exchange(state.replica.needsChain, ordering: .acquiringAndReleasing),
            state.replica.needsChain
        {
            // What was written while it was not needed is waited for now.
            effects.works.append { [roles] in roles.flush() }
        }
        var standing = Standing(state.replica, parts.clock.now)
        standing.number = state.standing.number
        if standing != state.standing {
            standing.number += 1
            state.standing = standing
            let standing = standing
            effects.works.append { [parts] in parts.onChange(standing) }
        }
        if let deadline = state.replica.nextDeadline, deadline < state.wakesAt ?? .seconds(Int64.max / 2) {
            effects.wakes = true
        }
        return effects
    }

    func carryOut(_ effects: Effects) {
        outbox.sendRecent()
        for work in effects.works { work() }
        for task in effects.tasks { run(task) }
        if effects.wakes { thread.withLock { $0 }?.wake() }
    }

    private func run(_ work: @escaping @Sendable () async -> Void) {
        tasks.withLock { tasks in
            guard !isStopping else { return }
            let number = tasks.next
            tasks.next += 1
            tasks.running[number] = Task {
                await work()
                self.tasks.withLock { $0.running[number] = nil }
                self.tasks.broadcast()
            }
        }
    }

    /// Nothing goes on any more.
    package func fail(_ what: String) {
        let isFirst = state.withLock { state in
            defer { state.end = state.end ?? .failed(what) }
            return state.end == nil && !state.hasEnded
        }
        if isFirst { handle(.logFailed) }
    }

    // MARK: Writing

    /// Writes entries as leader; when it returns they are on disk here. Only the commit thread calls it.
    /// - Throws: `.superseded`: this node does not lead any more, and nothing was written. Else as `LogWriter.appendAndSync`.
    func appendAndSync(_ entries: [LogEntry]) throws(LogError) {
        guard let last = entries.last else { return }
        let cuts: UInt64
        do throws(LogError) {
            cuts = try parts.log.write { (writer) throws(LogError) in try self.write(entries, writer) }
        } catch {
            if error.code != .superseded { fail("the log cannot be written: \(error)") }
            throw error
        }
        handle(.fsynced(through: last.position.index, cuts: cuts))
    }

    private func write(_ entries: [LogEntry], _ writer: LogWriter) throws(LogError) -> UInt64 {
        let (effects, cuts) = try state.withLock { (state) throws(LogError) in
            try propose(entries, &state, writer)
        }
        carryOut(effects)
        try writer.sync()
        return cuts
    }

    private func propose(
        _ entries: [LogEntry], _ state: inout State, _ writer: LogWriter
    ) throws(LogError) -> (Effects, UInt64) {
        guard let first = entries.first?.position, !state.hasEnded, state.replica.isServing,
            state.replica.term == first.term, state.replica.log.last.index + 1 == first.index
        else { throw LogError(.superseded, "this node does not lead any more") }
        // Before the replica sends them, so that they can be read.
        try writer.append(entries)
        state.lastTime = max(state.lastTime, entries.last?.time ?? 0)
        return (step(&state, .propose(UInt64(entries.count))), state.replica.cuts)
    }
}
