package import T4Protocols

/// What a leader does with the object store.
package protocol LeaderStore: Sendable {
    /// Uploads the log from behind the term's first object on.
    var uploader: LogUploader { get }
    /// Everything that was found is committed.
    func serve()
    /// Ends everything; nothing is uploaded any more but what is under way.
    func stop()
}

/// What a node of a cluster does only while it leads: it decides proposals, and uploads the log.
package final class LeaderDuties: Leading {
    /// What it works with.
    package struct Parts: Sendable {
        package var engine: any LocalEngine
        package var log: ClusterLog
        package var queue: ProposalQueue
        package var stage: ApplyStage
        package var observer: any CommitObserver
        package var clock: Clock
        package var limits: CommitThread.Limits
        /// Makes what keeps the database within its quota, for one commit thread.
        package var makeQuota: @Sendable () -> SpaceQuota? = { nil }
        /// Begins the work with the object store; nil without one.
        package var makeStore: (@Sendable (LeadershipBeginning, Replicator) throws -> any LeaderStore)?
        /// Called when writes are taken, and when they no more are.
        package var onServe: @Sendable () -> Void = {}
        package var onEnd: @Sendable () -> Void = {}

        /// Puts the parts together.
        package init(
            engine: any LocalEngine, log: ClusterLog, queue: ProposalQueue, stage: ApplyStage,
            observer: any CommitObserver, clock: Clock = .system, limits: CommitThread.Limits = CommitThread.Limits()
        ) {
            self.engine = engine
            self.log = log
            self.queue = queue
            self.stage = stage
            self.observer = observer
            self.clock = clock
            self.limits = limits
        }
    }

    private struct Serving: Sendable {
        var gate: LeadershipGate
        var thread: SystemThread
    }

    private let parts: Parts
    private let replicator: Replicator
    private let store: (any LeaderStore)?
    private let serving = Monitor<Serving?>(nil)
    /// Bytes of entries that are uploaded together, of those that were there at the take-over.
    private static let tailBytesMax = 1 << 20

    /// Begins to upload. Proposals wait until `serve`.
    package init(_ beginning: LeadershipBeginning, _ replicator: Replicator, _ parts: Parts) throws {
        self.parts = parts
        self.replicator = replicator
        store = try parts.makeStore.map { try $0(beginning, replicator) }
        guard let uploader = store?.uploader else { return }
        do {
            // The entry that begins the term may not be written yet.
            parts.log.waitUntilDone()
            try LeaderDuties.addTail(
                behind: beginning.fenced.index, through: beginning.last, parts.log.entries, uploader)
        } catch {
            store?.stop()
            throw error
        }
        uploader.flush()
    }

    /// Has what was found uploaded. It may be gone again, if this leadership is over.
    private static func addTail(
        behind index: UInt64, through last: LogPosition, _ entries: LogEntries, _ uploader: LogUploader
    ) throws {
        var next = index + 1
        while next <= last.index {
            guard
                case .entries(let found) = try entries.entries(
                    from: next, through: last.index, maxBytes: tailBytesMax),
                let end = found.last, end.position.term <= last.term
            else { return }
            uploader.add(
                LogUploader.Batch(
                    first: next, last: end.position, size: found.reduce(0) { $0 + LogFormat.frameSize($1) }))
            next = end.position.index + 1
        }
    }

    package func serve(behind last: LogPosition, time: UInt64, group: UInt64) throws {
        let gate = LeadershipGate(
            uploader: store?.uploader, stage: parts.stage, after: group,
            hurries: { [replicator] in replicator.needsChain }
        ) { [replicator] answer in
            if replicator.hasLeadershipTime(in: last.term) { return answer(true) }
            replicator.read { answer($0 != nil && replicator.term == last.term) }
        }
        let commit = try CommitThread(
            engine: parts.engine, log: LeaderLog(replicator, parts.log), queue: parts.queue, stage: parts.stage,
            gate: gate, observer: parts.observer, position: last, time: time, group: group, clock: parts.clock,
            limits: parts.limits, quota: parts.makeQuota())
        store?.serve()
        parts.queue.hold(false)
        parts.queue.resume(.leader)
        serving.withLock { $0 = Serving(gate: gate, thread: SystemThread(name: "t4-commit") { commit.run() }) }
        parts.onServe()
    }

    package static let noLeader = DatabaseError(.noLeader, "this node does not lead the cluster")

    package func committed(through index: UInt64) { serving.withLock { $0 }?.gate.committed(through: index) }

    package func flush() { store?.uploader.flush() }

    package func end() -> UInt64? {
        parts.onEnd()
        parts.queue.pause(LeaderDuties.noLeader, by: .leader)
        parts.queue.hold(true)
        let serving = serving.withLock { $0 }
        serving?.gate.end()
        serving?.thread.join()
        if let returned = serving?.gate.takeReturned(), !returned.isEmpty { parts.queue.putBack(returned) }
        store?.stop()
        return serving?.gate.number
    }
}
