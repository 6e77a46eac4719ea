package import T4Protocols

/// What a node does only while it leads.
package protocol Leading: AnyObject, Sendable {
    /// Everything that was found at the take-over is applied: writes are taken from now on.
    /// - Parameters:
    ///   - last: The last entry of the log, under whose term entries go on behind it.
    ///   - time: Of that entry or later.
    ///   - group: The last group that was passed to be applied.
    func serve(behind last: LogPosition, time: UInt64, group: UInt64) throws
    /// The replica has committed up to this entry; comes again and again, at any time, from any thread.
    func committed(through index: UInt64)
    /// Uploads what waits soon.
    func flush()
    /// It is over. Nothing is passed to be applied once this returns, and what is not committed is answered as unknown.
    /// - Returns: The last group that was passed to be applied; nil if none was.
    func end() -> UInt64?
}

/// Where a leadership begins.
package struct LeadershipBeginning: Hashable, Sendable {
    /// The term that was won.
    package var term: UInt64
    /// The last entry that was found, or the one that begins the term.
    package var last: LogPosition
    /// The last entry of the term's first object, which is in the store.
    package var fenced: LogPosition
}

/// Applies what is committed, and begins and ends leaderships, in the order in which a replica says so.
///
/// What was found at a take-over is applied as on any follower; what is decided here after that goes its own way.
final class RoleThread: Sendable {
    /// What the thread is told.
    enum Order: Sendable {
        case commit(UInt64)
        case lead(LeadershipBeginning)
        /// What was committed until then.
        case stepDown(committed: UInt64)

        var isCommit: Bool {
            if case .commit = self { return true }
            return false
        }

        var endsLeadership: Bool {
            if case .stepDown = self { return true }
            return false
        }
    }

    private struct State {
        var orders: [Order] = []
        /// The highest index of any order to commit, also where a leadership was told.
        var committed: UInt64
        /// Knows itself what is committed.
        var leading: (any Leading)?
        var isStopping = false
    }

    private let entries: LogEntries
    private let engine: any LocalEngine
    private let stage: ApplyStage
    private let state: Monitor<State>
    /// Bytes of entries that are applied as one group.
    private static let groupBytesMax = 1 << 20

    /// - Parameter stage: Stands where `engine` does, with no group passed yet.
    init(entries: LogEntries, engine: any LocalEngine, stage: ApplyStage) throws(EngineError) {
        self.entries = entries
        self.engine = engine
        self.stage = stage
        state = Monitor(State(committed: try engine.appliedPosition.index))
    }

    /// Tells what a replica has decided, in its order.
    /// - Returns: Who is to be told what is committed, once the caller holds no lock any more.
    func add(_ order: Order) -> (any Leading)? {
        let leading: (any Leading)? = state.withLock { state in
            switch order {
            case .commit(let index):
                state.committed = max(state.committed, index)
                if let leading = state.leading { return leading }
            case .lead, .stepDown: break
            }
            state.orders.append(order)
            return nil
        }
        if leading == nil { state.signal() }
        return leading
    }

    /// The leadership is over: it hears of what was told here to be committed, and of nothing after that.
    func stepDown() {
        state.withLock { state in
            state.leading = nil
            state.orders.append(.stepDown(committed: state.committed))
        }
        state.signal()
    }

    /// Hurries the uploads of a leadership.
    func flush() { state.withLock { $0.leading }?.flush() }

    /// Lets `run` return, and ends the leadership.
    func stop() {
        state.withLock { $0.isStopping = true }
        state.signal()
    }

    /// Does what it is told, until `stop` or a failure.
    /// - Parameters:
    ///   - time: Commit time of the last entry of the log, or later.
    ///   - makeLeading: Makes what a node does only while it leads; what it says is uploaded from then on.
    func run(time: () -> UInt64, makeLeading: (LeadershipBeginning) throws -> any Leading) throws {
        var role = Role(applier: try applier(after: 0))
        do {
            while let order = take() { try obey(order, &role, time, makeLeading) }
        } catch {
            end(role.leading)
            throw error
        }
        end(role.leading)
    }

    /// Ends a leadership that nobody has ended, or whose end was not obeyed any more.
    private func end(_ leading: (any Leading)?) {
        guard let leading else { return }
        let committed = state.withLock { state in
            for case .stepDown(let committed) in state.orders { return committed }
            return state.committed
        }
        leading.committed(through: committed)
        _ = leading.end()
    }

    private struct Role {
        var applier: Applying
        var leading: (any Leading)?
        /// Until everything that was found is applied.
        var beginning: LeadershipBeginning?
    }

    private func applier(after group: UInt64) throws -> Applying {
        Applying(
            entries: entries, applier: EntryApplier(engine: engine, stage: stage, after: group),
            index: try engine.appliedPosition.index)
    }

    /// Waits until a group is in the engine, also while that has no space.
    private func waitUntilApplied(_ group: UInt64) throws(EngineError) {
        while stage.applied < group {
            guard stage.waitForSpace(), stage.waitUntilApplied(group) else {
                throw EngineError(.closed, "the local engine has failed")
            }
        }
    }

    private func obey(
        _ order: Order, _ role: inout Role, _ time: () -> UInt64,
        _ makeLeading: (LeadershipBeginning) throws -> any Leading
    ) throws {
        switch order {
        case .commit(let index):
            // Who decides hears of it elsewhere.
            if role.leading == nil || role.beginning != nil { try role.applier.apply(through: index) }
        case .lead(let beginning):
            role.beginning = beginning
            role.leading = try makeLeading(beginning)
        case .stepDown(let committed):
            // The last of it may have been committed by the very event that ended the leadership: a leader that hands over waits
            // for just that.
            role.leading?.committed(through: committed)
            let group = role.leading?.end() ?? role.applier.applier.number
            role.leading = nil
            role.beginning = nil
            try waitUntilApplied(group)
            role.applier = try applier(after: group)
            // What was committed at the end was perhaps not passed on any more.
            try role.applier.apply(through: state.withLock { $0.committed })
        }
        guard let beginning = role.beginning, let leading = role.leading, role.applier.index >= beginning.last.index
        else { return }
        role.beginning = nil
        // Who decides from now on reads the engine once.
        try waitUntilApplied(role.applier.applier.number)
        try leading.serve(behind: beginning.last, time: time(), group: role.applier.applier.number)
        tell(leading)
    }

    /// From now on it hears itself what is committed.
    private func tell(_ leading: any Leading) {
        let index: UInt64? = state.withLock { state in
            // Ended meanwhile.
            if state.orders.contains(where: \.endsLeadership) { return nil }
            state.leading = leading
            state.orders.removeAll(where: \.isCommit)
            return state.committed
        }
        if let index { leading.committed(through: index) }
    }

    private func take() -> Order? {
        state.wait { state in
            if state.isStopping { return .some(nil) }
            if state.orders.isEmpty { return nil }
            return .some(state.orders.removeFirst())
        }
    }

    /// Entries of the log on their way into the engine.
    private struct Applying {
        let entries: LogEntries
        let applier: EntryApplier
        /// The last one passed.
        var index: UInt64

        mutating func apply(through last: UInt64) throws {
            while index < last {
                guard
                    case .entries(let found) = try entries.entries(
                        from: index + 1, through: last, maxBytes: RoleThread.groupBytesMax),
                    let end = found.last
                else {
                    throw LogError(
                        .corrupted, "entry \(index + 1) is committed, and the engine does not have it, nor does the log"
                    )
                }
                try applier.applyOnceThereIsSpace(found)
                index = end.position.index
            }
        }
    }
}
