package import T4Protocols

/// What a replica needs of the log in the object store. Calls block, and throw where the store does not answer: then they are to
/// be made again.
package protocol ReplicaChain: Sendable {
    /// Reads the chain from the newest checkpoint on.
    /// - Parameter index: Entries behind it are kept, if they are not too many.
    func read(keepingBehind index: UInt64) throws -> ChainReading
    /// Visits the entries of the chain behind `index`, in order, until `visit` says that it is enough.
    /// - Throws: Also where the chain does not reach back so far any more.
    func visit(after index: UInt64, _ visit: (LogEntry) throws -> LogStep) throws
    /// Puts the first object of a term.
    /// - Parameters:
    ///   - entries: At least one, the first one behind the end of `chain`.
    ///   - chain: As it was read last.
    func fence(_ entries: [LogEntry], term: UInt64, behind chain: ChainReading) throws -> ReplicaEvent.FenceOutcome
    /// The last entry that a checkpoint covers; 0 without one.
    func covered() throws -> UInt64
}

/// The chain as it was read once.
package struct ChainReading: Sendable {
    /// Its terms.
    package var view: ChainView
    /// Commit time of its last entry, or of what a checkpoint covers, nanoseconds since 1970; 0 where there is nothing.
    package var time: UInt64
    /// Entries at its end; nil where they were too many.
    package var entries: [LogEntry]?

    /// Fills in a reading.
    package init(view: ChainView, time: UInt64, entries: [LogEntry]?) {
        self.view = view
        self.time = time
        self.entries = entries
    }
}

/// The chain in an object store.
package struct StoreChain: ReplicaChain {
    private let chain: LogChain
    private let checkpoints: CheckpointStore
    /// A checkpoint that could not be loaded, and the one before it from which the chain is read until there is another one.
    private let passedOver: PassedOver?
    /// Bytes of entries that are kept in memory at most.
    private static let keptBytesMax = 64 << 20

    /// Where a node begins that could not load the newest checkpoint.
    package struct PassedOver: Sendable {
        /// The end of the checkpoint that was the newest.
        package var newest: LogPosition
        /// The end of the one that was loaded.
        package var loaded: LogPosition

        package init(newest: LogPosition, loaded: LogPosition) {
            self.newest = newest
            self.loaded = loaded
        }
    }

    package init(_ chain: LogChain, _ checkpoints: CheckpointStore, passedOver: PassedOver? = nil) {
        self.chain = chain
        self.checkpoints = checkpoints
        self.passedOver = passedOver
    }

    package func read(keepingBehind index: UInt64) throws -> ChainReading {
        let head = try checkpoints.headOrStandIn()?.head
        let base = beginning(of: head)
        let reading = try read(from: base, head, keepingBehind: index)
        // Something of the log between the two checkpoints is gone: what is behind the newest one counts.
        guard let newest = head?.position, reading.view.log.last.index < newest.index else { return reading }
        return try read(from: newest, head, keepingBehind: index)
    }

    private func read(
        from base: LogPosition, _ head: Head?, keepingBehind index: UInt64
    ) throws -> ChainReading {
        var log = TermLog(base: base)
        var kept: [LogEntry]? = []
        var size = 0
        let end = try chain.read(after: base) { entry in
            log.append(term: entry.position.term)
            guard entry.position.index > index, kept != nil else { return .next }
            size += LogFormat.frameSize(entry)
            if size > StoreChain.keptBytesMax { kept = nil } else { kept?.append(entry) }
            return .next
        }
        var time = end.time
        // Later entries must not be older.
        if end.objectCount == 0, let head, base == head.position {
            time = try checkpoints.newest(of: head).file.envelope.commitTime
        }
        return ChainReading(view: ChainView(log: log, headerTerm: end.term), time: time, entries: kept)
    }

    package func visit(after index: UInt64, _ visit: (LogEntry) throws -> LogStep) throws {
        let base = try base()
        guard base.index <= index else {
            throw LogError(
                .invalidArgument, "a checkpoint covers the log up to entry \(base.index), and \(index) is before")
        }
        _ = try chain.read(after: base) { entry in entry.position.index > index ? try visit(entry) : .next }
    }

    package func covered() throws -> UInt64 { try checkpoints.headOrStandIn()?.head.position.index ?? 0 }

    private func base() throws -> LogPosition { beginning(of: try checkpoints.headOrStandIn()?.head) }

    private func beginning(of head: Head?) -> LogPosition {
        let newest = head?.position ?? .zero
        guard let passedOver, passedOver.newest == newest else { return newest }
        return passedOver.loaded
    }

    /// By the rule of the chain (L2): what is there and continues the chain stays, an orphan is replaced.
    package func fence(
        _ entries: [LogEntry], term: UInt64, behind reading: ChainReading
    ) throws -> ReplicaEvent.FenceOutcome {
        let previous = reading.view.log.last
        let key = StoreLayout.log(firstIndex: previous.index + 1)
        let bytes = LogObject.encode(entries, databaseID: chain.databaseID, term: term, previous: previous)
        var condition = PutCondition.absent
        while true {
            do throws(ObjectStoreError) {
                _ = try chain.store.put(key, bytes, when: condition)
                return .stored(through: previous.index + UInt64(entries.count))
            } catch {
                guard [.alreadyExists, .conditionFailed, .outcomeUnknown].contains(error.code) else { throw error }
                guard let there = try chain.store.find(key) else {
                    // What was sent may land yet: the same again is no harm.
                    if error.code == .outcomeUnknown { throw error }
                    condition = .absent
                    continue
                }
                let object = try LogObject(there.bytes, key: key, databaseID: chain.databaseID)
                if object.header.term > term { return .deposed(by: object.header.term) }
                if object.header.term == term {
                    guard object.header.previous == previous else { return .taken }
                    // An earlier attempt of this process. Or a node alone, which took the same term without an election: then
                    // neither may have it, and this one goes on with a later.
                    return there.bytes == bytes ? .stored(through: object.end.index) : .deposed(by: term + 1)
                }
                if object.header.previous == previous, object.header.term >= reading.view.headerTerm { return .taken }
                condition = .unchanged(since: there.info.version)
            }
        }
    }
}
