package import T4Protocols

/// Decides proposals in groups, writes each group to the log with one fsync and passes it on to be applied.
///
/// All state is confined to whoever the queue lets commit: mostly the thread that calls `run`.
package final class CommitThread: @unchecked Sendable {
    // Sendable: the lock of the queue stands between any two that commit; `run` is called once, on its own thread, and
    // `close` only after that thread was joined.

    /// How much may be under way.
    package struct Limits: Sendable {
        /// Bytes of proposals in one group; a single larger one makes a group of its own.
        package var groupBytesMax = 4 * 1024 * 1024
        /// Groups that are logged and wait to be applied.
        package var depth = 4
        /// A segment whose first entry is older than this is sealed when the next entry comes.
        package var segmentAgeMax = Duration.seconds(10)
        /// When a caller's own commit took longer, the disk is slow at the moment,
        package var callersTimeMax = Duration.milliseconds(1)
        /// and so many proposals are left to the commit thread before a caller may commit again.
        package var reservedCount = 1000

        package init() {}
    }

    private let engine: any LocalEngine
    private let log: any EntryLog
    private let queue: ProposalQueue
    private let stage: ApplyStage
    private let gate: (any GroupGate)?
    private let observer: any CommitObserver
    private let clock: Clock
    private let limits: Limits
    private let evaluator: Evaluator
    private var position: LogPosition
    private var time: UInt64
    private var group: UInt64
    private var hasFailed = false
    /// The log is another node's now.
    private var isSuperseded = false
    private let elapsed: any ElapsedClock
    /// The last group met a disk with too little space.
    private var isShort = false

    /// - Parameters:
    ///   - gate: Where groups pass on their way to `stage`; nil without an object store.
    ///   - position: Of the last entry in the log; entries go on behind it, under its term.
    ///   - time: Of that entry.
    ///   - group: The last one that was passed to `stage`.
    ///   - quota: How large the database may get; nil for no limit. Nobody else may use it.
    package init(
        engine: any LocalEngine, log: any EntryLog, queue: ProposalQueue, stage: ApplyStage,
        gate: (any GroupGate)? = nil,
        observer: any CommitObserver, position: LogPosition, time: UInt64, group: UInt64 = 0,
        clock: Clock, elapsed: any ElapsedClock = BootClock(), limits: Limits = Limits(), quota: SpaceQuota? = nil
    ) throws(EngineError) {
        self.engine = engine
        self.log = log
        self.queue = queue
        self.stage = stage
        self.gate = gate
        self.observer = observer
        self.position = position
        self.time = time
        self.group = group
        self.clock = clock
        self.elapsed = elapsed
        self.limits = limits
        evaluator = try Evaluator(StateReader(engine.snapshot()), quota: quota)
    }

    /// Works until the queue is closed and empty, or held, or something fails. What is not decided then waits in the queue if this
    /// node leads no more.
    package func run() {
        while !isSuperseded, let proposals = queue.takeAll() {
            var rest = proposals[...]
            while !rest.isEmpty {
                if isSuperseded {
                    queue.putBack(rest)
                    break
                }
                guard !hasFailed, gate?.waitForRoom() ?? true, stage.waitForRoom(depth: limits.depth) else {
                    isSuperseded = gate?.isOver ?? false
                    if isSuperseded { continue }
                    return refuse(rest)
                }
                if stage.isFull {
                    // What is logged now would wait there, and nobody knows how long.
                    for proposal in rest { proposal.complete(.failure(CommitThread.noSpace)) }
                    break
                }
                do {
                    try commitGroup(&rest)
                } catch {
                    fail(error)
                    return refuse(rest)
                }
            }
        }
    }

    /// Commits a proposal of the calling thread, which the queue let take over.
    ///
    /// Takes as long as a sync of the log, and saves the way to the commit thread and back. Where it would have to wait
    /// for anything else the proposal goes to that thread. Not where groups wait for the object store.
    package func commitHere(_ proposal: Proposal) {
        guard !hasFailed, stage.isIdle, !evaluator.needsEmptyPipeline(proposal.kind) else {
            return queue.handBack(proposal)
        }
        let begin = elapsed.now
        var rest = [proposal][...]
        do {
            try commitGroup(&rest)
        } catch {
            fail(error)
        }
        let isSlow = elapsed.now - begin > limits.callersTimeMax
        queue.handBack(rest.first, reserving: isSlow ? limits.reservedCount : 0)
    }

    private static let noSpace = DatabaseError(.noSpace, "the disk is full")

    /// - Parameter tookMore: There was room for something else than what frees space.
    private func note(lacksRoom: Bool, tookMore: Bool) {
        guard lacksRoom != isShort, lacksRoom || tookMore else { return }
        isShort = lacksRoom
        observer.roomChanged(isShort: isShort)
    }

    private func fail(_ error: any Error) {
        hasFailed = true
        observer.failed(error)
        stage.fail()
    }

    /// Closes the log. Only after `run` has returned.
    package func close() { log.close() }

    /// Completes what will never be decided; nothing of it has been written.
    private func refuse(_ proposals: ArraySlice<Proposal>) {
        let error = DatabaseError(.stopped, "the node has failed and takes no more requests")
        queue.close(error)
        for proposal in proposals { proposal.complete(.failure(error)) }
        while let waiting = queue.takeAll() {
            for proposal in waiting { proposal.complete(.failure(error)) }
        }
    }

    /// Decides, logs and passes on as many proposals as make one group.
    private func commitGroup(_ proposals: inout ArraySlice<Proposal>) throws {
        if let first = proposals.first, evaluator.needsEmptyPipeline(first.kind) {
            guard stage.waitUntilApplied(group) else { throw EngineError(.closed, "the local engine has failed") }
            if stage.isFull { return }
        }
        try log.measureRoom()
        group += 1
        evaluator.begin(group: group, applied: stage.applied, reader: try StateReader(engine.snapshot()))
        defer { evaluator.endGroup() }
        var decided: [(proposal: Proposal, decision: Decision)] = []
        decided.reserveCapacity(proposals.count)
        var entries: [LogEntry] = []
        var byteCount = 0
        var (lacksRoom, tookMore) = (false, false)
        let now = max(clock.wall(), time)
        while let proposal = proposals.first, byteCount < limits.groupBytesMax {
            if evaluator.needsEmptyPipeline(proposal.kind) { break }
            proposals.removeFirst()
            let size = byteCount + 2 * proposal.byteCount + 4096
            guard log.hasRoom(forBytes: size, usingSpare: proposal.kind.freesSpace) else {
                lacksRoom = true
                proposal.complete(.failure(CommitThread.noSpace))
                continue
            }
            if !proposal.kind.freesSpace { tookMore = true }
            byteCount += proposal.byteCount
            let decision: Decision
            do {
                decision = try evaluator.decide(proposal.kind, for: proposal.requester)
            } catch {
                let failed = DatabaseError(.engineFailed, "the local engine cannot be read: \(error)")
                for (proposal, _) in decided { proposal.complete(.failure(failed)) }
                proposal.complete(.failure(failed))
                throw error
            }
            decided.append((proposal, decision))
            guard !decision.changes.isEmpty else { continue }
            position.index += 1
            entries.append(
                LogEntry(
                    position: position, time: now, revision: decision.revision, kind: .mutations,
                    body: MutationCoding.encode(decision.changes.map(\.mutation))))
        }
        time = now
        note(lacksRoom: lacksRoom, tookMore: tookMore)
        if !entries.isEmpty {
            do {
                _ = try log.sealIfOlder(than: limits.segmentAgeMax, now: now)
                try log.appendAndSync(entries)
            } catch let error where error.code == .superseded {
                // Nothing of it is anywhere: whoever leads decides it anew.
                isSuperseded = true
                proposals = decided.map(\.proposal) + proposals
                return
            } catch {
                // It may or may not be on disk; the positions must never be used again.
                let unknown = DatabaseError(.outcomeUnknown, "the log could not be written: \(error)")
                for (proposal, _) in decided { proposal.complete(.failure(unknown)) }
                throw error
            }
        }
        let passed = CommittedGroup(number: group, decided: decided, position: entries.last?.position, time: now)
        let inline = proposals.isEmpty && queue.isEmpty
        if let gate { gate.pass(passed, entries, inline: inline) } else { stage.pass(passed, inline: inline) }
    }
}
