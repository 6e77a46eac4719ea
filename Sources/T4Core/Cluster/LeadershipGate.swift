import T4Protocols

/// Holds groups of a leader back until its replica says that they are committed.
///
/// A group without entries answers from what was decided: that counts once it is certain that no other node decided
/// meanwhile, and everything before it has passed.
final class LeadershipGate: GroupGate {
    private struct Held {
        var group: CommittedGroup
        /// Bytes of its entries; 0 when it has none.
        var size: Int
        /// Without entries: nobody else led when it was decided.
        var isConfirmed = false

        func passes(_ committed: UInt64) -> Bool {
            if let position = group.position { return position.index <= committed }
            return isConfirmed
        }
    }

    private struct State {
        var held: [Held] = []
        var heldSize = 0
        var committed: UInt64 = 0
        /// Somebody is passing groups on; the order would be lost if two did.
        var isPassing = false
        var isOver = false
        /// What was held back when it was over has passed, or was answered.
        var isDrained = false
        /// What was decided in vain and is not written anywhere.
        var returned: [Proposal] = []
        /// The last group that was passed on.
        var number: UInt64
    }

    /// Groups and bytes of entries that are held back at most.
    private static let countMax = 4096
    private static let sizeMax = 64 << 20

    private let uploader: LogUploader?
    private let stage: ApplyStage
    private let hurries: @Sendable () -> Bool
    private let confirm: @Sendable (@escaping @Sendable (Bool) -> Void) -> Void
    private let state: Monitor<State>

    /// - Parameters:
    ///   - uploader: Gets the entries; nil without an object store.
    ///   - number: The last group that was passed to `stage`.
    ///   - hurries: Whether what is uploaded is waited for.
    ///   - confirm: Finds out whether this node still leads, and answers once.
    init(
        uploader: LogUploader?, stage: ApplyStage, after number: UInt64,
        hurries: @escaping @Sendable () -> Bool,
        confirm: @escaping @Sendable (@escaping @Sendable (Bool) -> Void) -> Void
    ) {
        self.uploader = uploader
        self.stage = stage
        self.hurries = hurries
        self.confirm = confirm
        state = Monitor(State(number: number))
    }

    var isOver: Bool { state.withLock { $0.isOver } }

    func waitForRoom() -> Bool {
        state.wait { state in
            if state.isOver { return false }
            return state.held.count < LeadershipGate.countMax && state.heldSize < LeadershipGate.sizeMax ? true : nil
        }
    }

    func pass(_ group: CommittedGroup, _ entries: [LogEntry], inline: Bool) {
        let size = entries.reduce(0) { $0 + LogFormat.frameSize($1) }
        let isOver = state.withLock { state in
            guard !state.isOver else { return true }
            state.held.append(Held(group: group, size: size))
            state.heldSize += size
            return false
        }
        if isOver { return passLate(group, isEmpty: entries.isEmpty) }
        if entries.isEmpty {
            confirm { isConfirmed in self.confirmed(group, isConfirmed) }
        } else {
            if let uploader {
                uploader.add(entries)
                if hurries() { uploader.flush() }
            }
            passFree(inline: inline)
        }
    }

    /// A group that comes when the leadership is over: the event that has committed it may have ended that too.
    private func passLate(_ group: CommittedGroup, isEmpty: Bool) {
        let isCommitted: Bool? = state.wait { state in
            guard !isEmpty else {
                state.returned += group.answers.map(\.proposal)
                return .some(nil)
            }
            // Those before it first.
            guard state.isDrained else { return nil }
            guard let position = group.position, position.index <= state.committed else { return false }
            state.number = group.number
            return true
        }
        guard let isCommitted else { return }
        if isCommitted { stage.pass(group, inline: false) } else { group.complete(LeadershipGate.unknown) }
    }

    private static let unknown = DatabaseError(.outcomeUnknown, "the leader of the cluster has changed")

    private func confirmed(_ group: CommittedGroup, _ isConfirmed: Bool) {
        if !isConfirmed { group.complete(DatabaseError(.noLeader, "this node leads no more")) }
        state.withLock { state in
            guard let index = state.held.firstIndex(where: { $0.group.number == group.number }) else { return }
            state.held[index].isConfirmed = true
        }
        passFree(inline: false)
    }

    /// The replica has committed up to that entry.
    func committed(through index: UInt64) {
        state.withLock { state in
            // What was not known to be committed by then was answered so.
            if !state.isOver { state.committed = max(state.committed, index) }
        }
        passFree(inline: false)
    }

    private func passFree(inline: Bool) {
        while true {
            let group: CommittedGroup? = state.withLock { state in
                guard !state.isPassing, !state.isOver, let first = state.held.first, first.passes(state.committed)
                else { return nil }
                state.held.removeFirst()
                state.heldSize -= first.size
                state.isPassing = true
                state.number = first.group.number
                return first.group
            }
            guard let group else { return }
            stage.pass(group, inline: inline)
            state.withLock { $0.isPassing = false }
            state.broadcast()
        }
    }

    /// Lets nothing pass any more but what is committed: the rest may be, by others, and is answered as unknown.
    ///
    /// Whoever waits until what is held back is applied waits no longer.
    func end() {
        let (held, committed): ([Held], UInt64) = state.wait { state in
            state.isOver = true
            if state.isPassing { return nil }
            defer { state.held = [] }
            state.heldSize = 0
            state.isPassing = true
            for held in state.held where held.size == 0 { state.returned += held.group.answers.map(\.proposal) }
            state.number = state.held.last?.group.number ?? state.number
            return (state.held, state.committed)
        }
        state.broadcast()
        // Also what has waited behind a group without entries, that of a read for instance.
        for held in held where held.size > 0 {
            if held.passes(committed) {
                stage.pass(held.group, inline: false)
            } else {
                held.group.complete(LeadershipGate.unknown)
            }
        }
        if let last = held.last, last.size == 0 || !last.passes(committed) {
            stage.pass(
                CommittedGroup(number: last.group.number, decided: [], position: nil, time: last.group.time),
                inline: false)
        }
        state.withLock { ($0.isPassing, $0.isDrained) = (false, true) }
        state.broadcast()
    }

    /// The last group that was passed on; after `end`, when the commit thread is gone.
    var number: UInt64 { state.withLock { $0.number } }

    /// What was decided in vain and is not written anywhere; after `end`, when the commit thread is gone.
    func takeReturned() -> [Proposal] {
        state.withLock { state in
            defer { state.returned = [] }
            return state.returned
        }
    }
}
