import T4Protocols

/// Where groups that are on disk pass on their way to be applied, in order.
package protocol GroupGate: AnyObject, Sendable {
    /// Takes a group whose entries are on disk. Only the commit thread calls it.
    /// - Parameter inline: The calling thread may apply it.
    func pass(_ group: CommittedGroup, _ entries: [LogEntry], inline: Bool)
    /// Waits until another group may be held back. False when none will ever pass again.
    func waitForRoom() -> Bool
    /// Another node decides from now on.
    var isOver: Bool { get }
}

/// Hands groups that are on disk to the uploader of the log, and holds them back, where writes wait for the object store,
/// until they are there. Groups pass in order.
package final class CommitGate: GroupGate {
    private struct Held {
        var group: CommittedGroup
        /// Bytes of its entries; 0 when it has none.
        var size: Int
    }

    private struct State {
        var held: [Held] = []
        var heldSize = 0
        /// The newest group that is in the store with all before it.
        var released: UInt64 = 0
        var hasFailed = false
        /// Why nobody waits for the store just now.
        var outage: String?
        /// Somebody is passing groups on; the order would be lost if two did.
        var isPassing = false
    }

    /// Groups and bytes of entries that are held back at most.
    private static let countMax = 4096
    private static let sizeMax = 64 << 20

    private let uploader: LogUploader
    private let stage: ApplyStage
    private let waits: Bool
    private let onFailure: @Sendable (any Error) -> Void
    private let state = Monitor(State())

    /// - Parameters:
    ///   - waits: Groups are held back until they are in the store; otherwise they pass at once.
    ///   - onFailure: Called when the uploader can never go on.
    package init(
        uploader: LogUploader, stage: ApplyStage, waits: Bool, onFailure: @escaping @Sendable (any Error) -> Void
    ) {
        self.uploader = uploader
        self.stage = stage
        self.waits = waits
        self.onFailure = onFailure
    }

    /// Nobody else decides: where this node can go on no more, it has failed.
    package var isOver: Bool { false }

    package func pass(_ group: CommittedGroup, _ entries: [LogEntry], inline: Bool) {
        guard waits else {
            if !entries.isEmpty { uploader.add(entries) }
            return stage.pass(group, inline: inline)
        }
        let size = entries.reduce(0) { $0 + LogFormat.frameSize($1) }
        let (passesAtOnce, outage) = state.withLock { state in
            if entries.isEmpty, state.held.isEmpty, !state.isPassing { return (true, nil as String?) }
            state.held.append(Held(group: group, size: size))
            state.heldSize += size
            return (false, state.outage)
        }
        if passesAtOnce { return stage.pass(group, inline: inline) }
        if let outage { answerUnknown([group], outage) }
        guard !entries.isEmpty else { return passFree() }
        uploader.add(entries) { failure in
            if let failure { self.fail(failure) } else { self.release(group.number) }
        }
    }

    /// Waits until another group may be held back. False after a failure.
    package func waitForRoom() -> Bool {
        state.wait { state in
            if state.hasFailed { return false }
            return state.held.count < CommitGate.countMax && state.heldSize < CommitGate.sizeMax ? true : nil
        }
    }

    /// Waits until nothing is held back any more. False after a failure.
    package func waitUntilEmpty() -> Bool {
        state.wait { state in
            if state.hasFailed { return false }
            return state.held.isEmpty && !state.isPassing ? true : nil
        }
    }

    /// Answers everything that is held back as unknown, and what comes until `endOutage`. The groups themselves go on
    /// waiting, and may yet pass.
    package func beginOutage(_ reason: String) {
        let held = state.withLock { state in
            state.outage = reason
            return state.held.map(\.group)
        }
        answerUnknown(held, reason)
    }

    /// Groups are waited for again.
    package func endOutage() { state.withLock { $0.outage = nil } }

    private func answerUnknown(_ groups: [CommittedGroup], _ reason: String) {
        let error = DatabaseError(.outcomeUnknown, reason)
        for group in groups { group.complete(error) }
    }

    /// A group and all before it are in the store.
    private func release(_ number: UInt64) {
        state.withLock { $0.released = max($0.released, number) }
        passFree()
    }

    private func passFree() {
        while true {
            let group: CommittedGroup? = state.withLock { state in
                guard !state.isPassing, !state.hasFailed, let first = state.held.first,
                    first.size == 0 || first.group.number <= state.released
                else { return nil }
                state.held.removeFirst()
                state.heldSize -= first.size
                state.isPassing = true
                return first.group
            }
            guard let group else { return }
            stage.pass(group, inline: false)
            state.withLock { $0.isPassing = false }
            state.broadcast()
        }
    }

    /// Nobody waits for the store any more: what is held back is answered as unknown, and never passes.
    package func abandon(_ reason: String) { _ = end(reason) }

    private func fail(_ failure: LogUploader.Failure) {
        if end("the log in the object store cannot be continued: \(failure)") { onFailure(failure) }
    }

    /// What is held back was written here and may be in the store: nobody can say any more.
    /// - Returns: False when this was the case before.
    private func end(_ reason: String) -> Bool {
        let isFirst = state.withLock { state in
            defer { state.hasFailed = true }
            return !state.hasFailed
        }
        guard isFirst else { return false }
        beginOutage(reason)
        stage.fail()
        state.broadcast()
        return true
    }
}
