import Logging
import Synchronization
import T4Protocols

/// What a replica asks of election and object store. Each request is made again until it is answered, or over.
extension Replicator {
    /// Bytes of entries in the first object of a term.
    private static let fenceBytesMax = 1 << 20

    /// Makes a call that blocks until it succeeds.
    /// - Parameter isWanted: Asked before each attempt.
    /// - Returns: Nil when the answer is not wanted any more.
    private func insist<Answer: Sendable>(
        _ what: String, while isWanted: () -> Bool, _ call: @escaping @Sendable () throws -> Answer
    ) async -> Answer? {
        var pause = Duration.milliseconds(50)
        while !isStopping, isWanted() {
            do {
                return try await SystemThread.run("t4-chain", call)
            } catch {
                parts.logger.warning("\(what) failed, and is tried again: \(error)")
                await parts.timer.pause(pause)
                pause = min(pause * 2, .seconds(2))
            }
        }
        return nil
    }

    private func isCurrent(_ attempt: UInt64) -> Bool {
        state.withLock { !$0.hasEnded && $0.replica.attempt == attempt }
    }

    func readChain(_ attempt: UInt64, keepingBehind index: UInt64) async {
        let chain = parts.chain
        let reading = await insist("reading the log in the store", while: { isCurrent(attempt) }) {
            try chain.read(keepingBehind: index)
        }
        guard let reading else { return }
        carryOut(
            state.withLock { state in
                guard state.replica.attempt == attempt else { return Effects() }
                state.reading = reading
                let effects = step(&state, .chain(reading.view, attempt: attempt))
                // Taken by now, if they were wanted.
                state.reading?.entries = nil
                return effects
            })
    }

    func readHead(_ attempt: UInt64) async {
        let chain = parts.chain
        let covered = await insist("reading the newest checkpoint", while: { isCurrent(attempt) }) {
            try chain.covered()
        }
        if let covered { handle(.head(covered: covered, attempt: attempt)) }
    }

    func fence(
        _ attempt: UInt64, _ term: UInt64, behind reading: ChainReading, _ terms: [TermRun], with beginning: LogEntry?
    ) async {
        let (chain, log) = (parts.chain, parts.log)
        let first = reading.view.log.last.index + 1
        let last = first + terms.reduce(0) { $0 + $1.count } - 1
        let outcome = await insist("putting the first object of term \(term)", while: { isCurrent(attempt) }) {
            var entries: [LogEntry] = []
            if let beginning {
                entries = [beginning]
            } else {
                // What was cut off and written may be on its way still.
                log.waitUntilDone()
                switch try log.entries.entries(from: first, through: last, maxBytes: Replicator.fenceBytesMax) {
                case .entries(let found): entries = found
                // A checkpoint has covered it meanwhile, so that the chain goes on behind it.
                case .begins: return ReplicaEvent.FenceOutcome.taken
                }
            }
            let isRight = beginning != nil || EntryRun.terms(entries) == terms.prefix(entries: entries.count)
            guard !entries.isEmpty, isRight else {
                throw LogError(.corrupted, "the log does not have entry \(first) as it should be")
            }
            return try chain.fence(entries, term: term, behind: reading)
        }
        guard let outcome else { return }
        carryOut(
            state.withLock { state in
                if case .stored(let through) = outcome, state.replica.attempt == attempt {
                    let term = beginning?.position.term ?? state.replica.log.term(at: through) ?? 0
                    state.fenced = LogPosition(term: term, index: through)
                }
                return step(&state, .fenced(outcome, attempt: attempt))
            })
    }

    // MARK: Election

    func readRecord() async {
        do throws(ElectionError) {
            post(.record(try await parts.election.current()))
        } catch {
            parts.logger.warning("the election cannot be asked: \(error)")
            post(.recordUnavailable)
        }
    }

    /// - Parameter held: What the last swap gave.
    func swap(_ record: LeaderRecord, replacing old: LeaderRecord?, _ held: Leadership?) async {
        let outcome: ReplicaEvent.SwapOutcome
        do throws(ElectionError) {
            if let held, held.record == old, held.record.term == record.term {
                outcome = won(try await parts.election.update(held, to: record))
            } else {
                switch try await parts.election.campaign(with: record, replacing: old) {
                case .won(let leadership): outcome = won(leadership)
                case .lost(let other): outcome = .refused(other)
                }
            }
        } catch {
            switch error.code {
            case .fenced: outcome = .refused(nil)
            case .outcomeUnknown: outcome = .unknown
            default: outcome = .failed
            }
            parts.logger.warning("a swap of the election record: \(error)")
        }
        post(.swapped(nonce: record.nonce, outcome))
    }

    private func won(_ leadership: Leadership) -> ReplicaEvent.SwapOutcome {
        state.withLock { $0.held = leadership }
        return .won
    }
}
