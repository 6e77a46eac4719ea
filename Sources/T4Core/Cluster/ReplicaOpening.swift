package import T4Protocols

/// How a node of a cluster starts: log and engine take what the chain has, which wins over what the log has for itself, and the
/// record is read after that.
package struct ReplicaOpening {
    /// Why a node cannot take part as it is.
    package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
        /// The engine has applied what the cluster has not committed.
        case conflict(at: UInt64)
        /// The store has nothing of what was before the log.
        case notSeeded(LogPosition)
        /// Log and engine end before the chain begins.
        case tooFarBack(LogPosition)

        package var description: String {
            switch self {
            case .conflict(let index): Replicator.End.conflict(at: index).description
            case .notSeeded(let base):
                "the object store has nothing of this database, and the log of this node begins behind entry \(base.index): "
                    + "start it once alone, which makes the first checkpoint"
            case .tooFarBack(let base): Replicator.End.restore(base).description
            }
        }
    }

    private let configuration: ReplicaConfiguration
    private let engine: any LocalEngine
    private let chain: any ReplicaChain
    private let clock: any ElapsedClock

    package init(
        _ configuration: ReplicaConfiguration, engine: any LocalEngine, chain: any ReplicaChain,
        clock: any ElapsedClock = BootClock()
    ) {
        self.configuration = configuration
        self.engine = engine
        self.chain = chain
        self.clock = clock
    }

    /// Brings a log and the engine to where the node may begin. Blocks.
    /// - Parameter readRecord: Asked once everything else is on disk.
    /// - Returns: The replica, and the commit time of the log's last entry.
    /// - Throws: `Failure`, then log and engine are as they were; what log, engine, chain and election throw.
    package func run(
        _ opened: Log.Opened, readRecord: () throws -> LeaderRecord?
    ) throws -> (replica: Replica, time: UInt64) {
        let applied = try engine.appliedPosition.index
        let reading = try chain.read(keepingBehind: applied)
        var log = opened.terms
        guard reading.view.log.last.index >= log.base.index else { throw Failure.notSeeded(log.base) }
        switch reading.view.adoption(by: log, committed: applied) {
        case .nothing: break
        case .append(let index):
            let last = reading.view.log.last.index
            try opened.writer.truncate(after: index)
            try ChainAdoption(chain: chain, reading: reading, after: index, last: last).run {
                try opened.writer.append($0)
            }
            log.cut(after: index)
            log.append(from: reading.view.log, through: last)
        case .restore: throw Failure.tooFarBack(reading.view.log.base)
        case .conflict(let index): throw Failure.conflict(at: index)
        }
        try opened.writer.sync()
        let committed = max(applied, min(reading.view.log.last.index, log.last.index))
        try replay(opened.entries, from: applied, through: committed)
        let record = try readRecord()
        let replica = Replica(
            configuration, log: log, chain: reading.view, committed: committed, record: record, now: clock.now)
        return (replica, max(opened.lastTime, reading.time))
    }

    private func replay(_ entries: LogEntries, from applied: UInt64, through last: UInt64) throws {
        var next = applied + 1
        guard next <= last else { return }
        var replay = try EngineReplay(on: engine)
        while next <= last {
            guard case .entries(let found) = try entries.entries(from: next, through: last, maxBytes: 1 << 20),
                let end = found.last
            else {
                throw LogError(.corrupted, "the engine stands at entry \(applied), and the log has no entry \(next)")
            }
            for entry in found { try replay.add(entry) }
            next = end.position.index + 1
        }
        try replay.apply()
    }
}
