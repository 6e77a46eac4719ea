import Logging
import T4Protocols

extension Replicator {
    /// Carries an action out, or puts it where that happens in order.
    /// - Parameters:
    ///   - entries: Of the message that is being handled.
    ///   - held: What is to be let go of once they are on disk.
    func perform(
        _ action: ReplicaAction, _ state: inout State, _ effects: inout Effects, _ entries: [LogEntry],
        _ held: (any Sendable)?
    ) {
        let cuts = state.replica.cuts
        parts.statistics.carriesOut(action)
        switch action {
        case .send(let instance, let message): outbox.send(message, to: instance)
        case .greet(let address, let message): outbox.greet(address, message)
        case .truncate(let index): parts.log.add(ClusterLog.Order(.truncate(after: index), cuts: cuts))
        case .store(let first, let last):
            let new = entries.filter { $0.position.index >= first && $0.position.index <= last }
            state.lastTime = max(state.lastTime, new.last?.time ?? 0)
            parts.log.add(ClusterLog.Order(.append(new), cuts: cuts, held: held))
        case .appendTerm(let position):
            let entry = termEntry(at: position, &state)
            parts.log.add(ClusterLog.Order(.append([entry]), cuts: cuts))
        // Was written before the replica was asked.
        case .append: break
        case .adopt(let index, let last): adopt(after: index, through: last, cuts, &state)
        case .restore(let position): end(.restore(position), &state, &effects)
        case .commit(let index):
            if let leading = roles.add(.commit(index)) { effects.works.append { leading.committed(through: index) } }
        case .swap(let record, let old):
            let held = state.held
            effects.tasks.append { await self.swap(record, replacing: old, held) }
        case .readRecord: effects.tasks.append { await self.readRecord() }
        case .readChain(let attempt):
            let committed = state.replica.committed
            effects.tasks.append { await self.readChain(attempt, keepingBehind: committed) }
        case .fence(let previous, let last, let attempt):
            fence(behind: previous, through: last, attempt, &state, &effects)
        case .readHead(let attempt): effects.tasks.append { await self.readHead(attempt) }
        case .upload:
            guard let beginning = state.beginning else { preconditionFailure("uploads without a leadership") }
            _ = roles.add(.lead(beginning))
        case .flush: effects.works.append { [roles] in roles.flush() }
        case .answerRead(let id, let index):
            if let answer = state.reads.removeValue(forKey: id) { effects.works.append { answer(index) } }
        case .refuseRead(let id):
            if let answer = state.reads.removeValue(forKey: id) { effects.works.append { answer(nil) } }
        case .lead(let term):
            state.beginning = LeadershipBeginning(term: term, last: state.replica.log.last, fenced: state.fenced)
            parts.logger.notice(
                "this node leads", metadata: ["term": "\(term)", "wal.end": "\(state.replica.log.last)"])
        case .stepDown:
            state.beginning = nil
            parts.logger.notice("this node leads no more", metadata: ["term": "\(state.replica.term)"])
            roles.stepDown()
        case .conflict(let index): end(.conflict(at: index), &state, &effects)
        case .stopped: end(nil, &state, &effects)
        }
    }

    private func end(_ end: End?, _ state: inout State, _ effects: inout Effects) {
        guard !state.hasEnded else { return }
        state.end = state.end ?? end
        state.hasEnded = true
        let (reason, onEnd) = (state.end, parts.onEnd)
        if state.beginning != nil { roles.stepDown() }
        state.beginning = nil
        let reads = state.reads.values
        state.reads = [:]
        effects.works.append {
            for read in reads { read(nil) }
            onEnd(reason)
        }
    }

    /// The entry that begins the own term: the one that is in the store, where it is the term's first object.
    private func termEntry(at position: LogPosition, _ state: inout State) -> LogEntry {
        if let made = state.termEntry, made.position == position { return made }
        let time = max(parts.wall.wall(), state.lastTime)
        let entry = LogEntry(position: position, time: time, revision: .none, kind: .term, body: [])
        state.termEntry = entry
        state.lastTime = time
        return entry
    }

    private func adopt(after index: UInt64, through last: UInt64, _ cuts: UInt64, _ state: inout State) {
        guard let reading = state.reading else { preconditionFailure("a chain that was not read") }
        state.lastTime = max(state.lastTime, reading.time)
        let adoption = ChainAdoption(chain: parts.chain, reading: reading, after: index, last: last)
        parts.log.add(ClusterLog.Order(.fill { append in try adoption.run(append) }, cuts: cuts))
    }

    /// Chooses what the first object of the term holds.
    private func fence(
        behind previous: LogPosition, through last: UInt64, _ attempt: UInt64, _ state: inout State,
        _ effects: inout Effects
    ) {
        guard let reading = state.reading else { preconditionFailure("a chain that was not read") }
        let term = state.replica.term
        let log = state.replica.log
        let isThere = last <= log.last.index
        let terms = isThere ? log.runs(from: previous.index + 1, through: last) : []
        let beginning = isThere ? nil : termEntry(at: LogPosition(term: term, index: previous.index + 1), &state)
        effects.tasks.append {
            await self.fence(attempt, term, behind: reading, terms, with: beginning)
        }
    }
}
