package import T4Protocols

/// Hears what became visible, in order, from whichever thread applied it.
package protocol CommitObserver: AnyObject, Sendable {
    /// The engine is about to show what these groups changed. It may come again for the same ones, when the engine had
    /// no space.
    func willApply(_ groups: [CommittedGroup])
    /// The engine shows everything up to `meta`; nobody has been answered yet. `changes` have their revisions.
    func committed(_ groups: [CommittedGroup], meta: MetaRow)
    /// The disk of the engine is full: nothing is applied until `spaceReturned`. Called once for each time this happens.
    func spaceRanOut(_ error: EngineError)
    /// What waited for space is applied.
    func spaceReturned()
    /// The disk has too little space for writes, which are refused one by one, or has enough again.
    func roomChanged(isShort: Bool)
    /// The node cannot go on: the log or the engine failed. Called once.
    func failed(_ error: any Error)
}

/// What is committed together: entries, in log order, and whom to answer then.
package struct CommittedGroup: Sendable {
    package var number: UInt64
    /// What each entry changes; those without changes left out.
    package var entries: [EntryChanges]
    /// Who waits, and for what.
    package var answers: [Answer]
    /// Position of the group's last entry; nil when it has none.
    package var position: LogPosition?
    /// Commit time of its entries.
    package var time: UInt64

    /// Somebody who waits, for what, and what was to be done.
    package struct Answer: Sendable {
        package var proposal: Proposal
        package var result: Result<ProposalResponse, DatabaseError>
        package var operation: WriteOperation
    }

    /// What was decided here: entries and answers.
    package init(
        number: UInt64, decided: [(proposal: Proposal, decision: Decision)], position: LogPosition?, time: UInt64
    ) {
        self.number = number
        self.position = position
        self.time = time
        entries = []
        answers = []
        answers.reserveCapacity(decided.count)
        entries.reserveCapacity(decided.count)
        for (proposal, decision) in decided {
            answers.append(
                Answer(
                    proposal: proposal, result: decision.result,
                    operation: WriteOperation(proposal.kind, decision.changes)))
            guard !decision.changes.isEmpty else { continue }
            entries.append(EntryChanges(changes: decision.changes, revision: decision.revision))
        }
    }

    /// Entries that were decided elsewhere, or long ago: nobody waits here.
    package init(number: UInt64, entries: [EntryChanges], position: LogPosition, time: UInt64) {
        self.number = number
        self.entries = entries
        answers = []
        self.position = position
        self.time = time
    }

    /// Answers everybody with an error, who was not answered before.
    func complete(_ error: DatabaseError) {
        for answer in answers { answer.proposal.complete(.failure(error)) }
    }
}

/// What an engine holds after one entry.
package struct EngineState: Sendable {
    package var snapshot: any EngineSnapshot
    /// The last entry whose changes are in.
    package var position: LogPosition
    /// What the rows add up to.
    package var meta: MetaRow

    package init(snapshot: any EngineSnapshot, position: LogPosition, meta: MetaRow) {
        self.snapshot = snapshot
        self.position = position
        self.meta = meta
    }
}

/// Applies committed groups to the engine, publishes and answers them. Groups pass strictly in order.
///
/// A group is applied by the commit thread itself when nothing else waits (saving a thread switch), and by a thread of
/// this stage otherwise, so that applying overlaps with the next fsync.
///
/// An engine without space keeps nothing of a batch: what was to be applied waits, and is tried again until it works. Its
/// callers are told that nobody knows the outcome: it is in the log, but may take long to be seen.
package final class ApplyStage: Sendable {
    private struct State {
        var groups: [CommittedGroup] = []
        var maintenance: [Maintenance] = []
        /// Somebody is applying.
        var isBusy = false
        /// The newest group that is in the engine.
        var applied: UInt64 = 0
        /// The commit thread waits for groups to be applied.
        var commitWaits = false
        var isStopping = false
        var hasFailed = false
        /// The engine has no space.
        var isFull = false
        /// It is not time yet to try again.
        var isPausing = false
        /// Nobody waits for space any more.
        var givesUp = false
        var meta: MetaRow
        var position: LogPosition

        var hasWork: Bool { !groups.isEmpty || !maintenance.isEmpty }
    }

    /// Work on the engine that changes nothing that a reader can see.
    private struct Maintenance: Sendable {
        enum Task: Sendable {
            /// Removes compacted rows.
            case remove(WriteBatch)
            /// Makes durable what was applied.
            case sync
            /// Shows what was applied.
            case show(@Sendable (EngineState) -> Void)
        }

        var task: Task
        var done: @Sendable (Result<Void, EngineError>) -> Void
    }

    private static let pauseForSpace = Duration.seconds(1)
    private static let unknown = DatabaseError(
        .outcomeUnknown, "the disk of the local engine is full; the write is logged and will be applied")

    private let engine: any LocalEngine
    private let observer: any CommitObserver
    /// Hears where the state stands after each group; nil without an object store.
    private let trail: StateTrail?
    private let timer: BackoffTimer
    private let state: Monitor<State>

    /// - Parameter timer: For the time until an engine without space is tried again.
    package init(
        engine: any LocalEngine, meta: MetaRow, position: LogPosition, observer: any CommitObserver,
        trail: StateTrail? = nil, timer: BackoffTimer = .system
    ) {
        self.engine = engine
        self.observer = observer
        self.trail = trail
        self.timer = timer
        state = Monitor(State(meta: meta, position: position))
    }

    /// The newest group that is in the engine.
    package var applied: UInt64 { state.withLock { $0.applied } }

    /// Nothing is being applied, and nothing waits for it.
    package var isIdle: Bool { state.withLock { !$0.isBusy && !$0.hasWork && !$0.hasFailed } }

    /// The engine has no space: groups that are passed wait until it has.
    package var isFull: Bool { state.withLock { $0.isFull } }

    /// Waits until at most `depth` groups wait to be applied, or the engine has no space. False when the stage has failed.
    package func waitForRoom(depth: Int) -> Bool {
        waitAsCommitThread { $0.isFull || $0.groups.count <= depth }
    }

    /// Waits until `group` is in the engine, or the engine has no space. False when the stage has failed.
    package func waitUntilApplied(_ group: UInt64) -> Bool {
        waitAsCommitThread { $0.isFull || $0.applied >= group }
    }

    /// Waits until the engine has space, if it has none. False when the stage has failed.
    package func waitForSpace() -> Bool { waitAsCommitThread { !$0.isFull } }

    private func waitAsCommitThread(until isReady: (State) -> Bool) -> Bool {
        state.wait { state in
            state.commitWaits = !state.hasFailed && !isReady(state)
            return state.commitWaits ? nil : !state.hasFailed
        }
    }

    /// Takes a committed group; applies it on the calling thread when `inline` and nothing is in front of it.
    package func pass(_ group: CommittedGroup, inline: Bool) {
        let (applyNow, isFull) = state.withLock { state in
            if inline && !state.isBusy && state.groups.isEmpty && !state.hasFailed {
                state.isBusy = true
                return (true, false)
            }
            state.groups.append(group)
            return (false, state.isFull)
        }
        if applyNow { return apply([group], []) }
        if isFull { group.complete(ApplyStage.unknown) }
        state.broadcast()
    }

    /// Hands over rows to remove; `done` comes from the applying thread.
    package func maintain(_ batch: WriteBatch, done: @escaping @Sendable (Result<Void, EngineError>) -> Void) {
        maintain(Maintenance(task: .remove(batch), done: done))
    }

    /// Makes what was applied survive a crash of the process; `done` comes from the applying thread.
    package func sync(done: @escaping @Sendable (Result<Void, EngineError>) -> Void) {
        maintain(Maintenance(task: .sync, done: done))
    }

    /// Waits for a view of the engine between two groups. Not on a thread of this stage.
    package func look() throws -> EngineState {
        let found = Monitor<Result<EngineState, EngineError>?>(nil)
        let shown = Monitor<EngineState?>(nil)
        maintain(
            Maintenance(task: .show { state in shown.withLock { $0 = state } }) { result in
                found.withLock { found in
                    found = result.map { _ in shown.withLock { $0 } }.flatMap { state in
                        state.map { .success($0) } ?? .failure(EngineError(.closed, "the node is stopping"))
                    }
                }
                found.broadcast()
            })
        return try found.wait { $0 }.get()
    }

    private func maintain(_ work: Maintenance) {
        let refused = state.withLock { state in
            if state.isStopping || state.hasFailed { return true }
            state.maintenance.append(work)
            return false
        }
        if refused { work.done(.failure(EngineError(.closed, "the node is stopping"))) } else { state.broadcast() }
    }

    /// The stage's own thread: applies what others leave to it, until `stop`.
    package func run() {
        while true {
            let work: (groups: [CommittedGroup], maintenance: [Maintenance])? = state.wait { state in
                if state.isBusy || (state.isPausing && !state.givesUp) { return nil }
                if !state.hasWork { return state.isStopping ? .some(nil) : nil }
                let work = (state.groups, state.maintenance)
                state.groups = []
                state.maintenance = []
                state.isBusy = true
                return .some(work)
            }
            guard let work else { return }
            apply(work.groups, work.maintenance)
        }
    }

    /// Lets `run` return once everything is applied.
    package func stop() {
        state.withLock { $0.isStopping = true }
        state.broadcast()
    }

    /// An engine that has no space is tried once more, and else fails, now and from now on.
    package func stopWaitingForSpace() {
        state.withLock { $0.givesUp = true }
        state.broadcast()
    }

    /// Only the one who set `isBusy` comes here.
    private func apply(_ groups: [CommittedGroup], _ maintenance: [Maintenance]) {
        let (before, position, hasFailed) = state.withLock { ($0.meta, $0.position, $0.hasFailed) }
        guard !hasFailed else { return finish(groups[...], maintenance[...], failing: nil) }
        // What has not been answered yet: only that may be answered by `finish`.
        var (openGroups, openMaintenance) = (groups[...], maintenance[...])
        var (meta, newPosition) = (before, position)
        do {
            var applier = Applier(meta: before)
            var marks: [StateTrail.Mark] = []
            for group in groups {
                for entry in group.entries { applier.add(entry.changes, revision: entry.revision) }
                newPosition = group.position ?? newPosition
                if trail != nil, let end = group.position {
                    marks.append(StateTrail.Mark(position: end, meta: applier.meta, time: group.time))
                }
            }
            observer.willApply(groups)
            if newPosition != position { try engine.apply(applier.finish(), at: newPosition) }
            meta = applier.meta
            for mark in marks { trail?.applied(mark) }
            if !groups.isEmpty { observer.committed(groups, meta: meta) }
            for group in groups {
                for answer in group.answers { answer.proposal.complete(answer.result) }
            }
            openGroups = []
            while let work = openMaintenance.first {
                switch work.task {
                case .remove(let batch): try engine.apply(batch, at: newPosition)
                case .sync: try engine.sync()
                case .show(let show):
                    show(EngineState(snapshot: try engine.snapshot(), position: newPosition, meta: meta))
                }
                openMaintenance.removeFirst()
                work.done(.success(()))
            }
            end(applied: groups.last?.number, meta, newPosition)
        } catch {
            if error.code == .noSpace, !state.withLock({ $0.givesUp }) {
                // Nothing of a batch is in the engine: groups are applied together or not at all.
                let isApplied = openGroups.isEmpty
                return waitForSpace(
                    openGroups, openMaintenance, error, applied: isApplied ? groups.last?.number : nil,
                    isApplied ? meta : before, isApplied ? newPosition : position)
            }
            finish(openGroups, openMaintenance, failing: error)
        }
    }

    /// Everything is done that somebody took.
    private func end(applied: UInt64?, _ meta: MetaRow, _ position: LogPosition) {
        let wasFull = isFull
        if wasFull { observer.spaceReturned() }
        let somebodyWaits = state.withLock { state in
            state.isBusy = false
            state.isFull = false
            state.meta = meta
            state.position = position
            state.applied = applied ?? state.applied
            return state.hasWork || state.isStopping || state.commitWaits
        }
        // A group applied inline leaves nobody to wake: the stage's thread would only find nothing to do.
        if somebodyWaits { state.broadcast() }
    }

    /// Puts back what the engine has no space for, until it is time to try again.
    private func waitForSpace(
        _ groups: ArraySlice<CommittedGroup>, _ maintenance: ArraySlice<Maintenance>, _ error: EngineError,
        applied: UInt64?, _ meta: MetaRow, _ position: LogPosition
    ) {
        if !isFull { observer.spaceRanOut(error) }
        let waiting = state.withLock { state in
            state.groups = groups + state.groups
            state.maintenance = maintenance + state.maintenance
            state.isBusy = false
            state.isFull = true
            state.isPausing = true
            state.meta = meta
            state.position = position
            state.applied = applied ?? state.applied
            return state.groups
        }
        state.broadcast()
        for group in waiting { group.complete(ApplyStage.unknown) }
        Task {
            await timer.pause(ApplyStage.pauseForSpace)
            state.withLock { $0.isPausing = false }
            state.broadcast()
        }
    }

    /// Ends everything that waits after a failure. What was committed is in the log and comes back with a restart.
    private func finish(
        _ groups: ArraySlice<CommittedGroup>, _ maintenance: ArraySlice<Maintenance>, failing error: EngineError?
    ) {
        if let error { observer.failed(error) }
        let waiting = state.withLock { state in
            let waiting = (state.groups, state.maintenance)
            state.groups = []
            state.maintenance = []
            state.hasFailed = true
            state.isBusy = false
            return waiting
        }
        state.broadcast()
        let unknown = DatabaseError(.outcomeUnknown, "the local engine failed after the write was logged")
        for group in groups + waiting.0 { group.complete(unknown) }
        for work in maintenance + waiting.1 {
            work.done(.failure(error ?? EngineError(.closed, "the local engine has failed")))
        }
    }

    /// Refuses everything from now on; for a log that failed.
    package func fail() {
        state.withLock { $0.hasFailed = true }
        state.broadcast()
    }
}
