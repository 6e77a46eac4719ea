import Logging
import T4Protocols

extension Recovery {
    /// Entries that are uploaded after a restart make batches of about this many bytes.
    private static let tailBytesMax = 1 << 20

    func run(with store: Store) throws -> Recovered {
        var head = try newestHead(store)
        if head == nil, let branch = try store.branch() {
            try begin(branch)
            head = try newestHead(store)
        }
        var base = head?.position ?? .zero
        let isLeftBehind = try isLeftBehind(by: base, store)
        if let head, try engine.appliedPosition.index < base.index, try !replayLog(upTo: base) {
            base = try restore(store, head)
        }
        if let head, base == head.position, isLogEmpty, time == 0 {
            time = try store.checkpoints.manifest(of: head).envelope.commitTime
        }
        let (chain, isContradicted) = try replayChain(store, after: base)
        if let head, chain.position.index < head.index {
            throw Failure(
                description: "the log in the store leads from entry \(base.index) to \(chain.position.index) only, and "
                    + "not to \(head.checkpoint) at entry \(head.index), which is damaged: there is no "
                    + "\(StoreLayout.log(firstIndex: chain.position.index + 1)) that goes on; t4 restore list shows what "
                    + "can be restored" + text(damage))
        }
        let isSuperseded = isLeftBehind || isContradicted
        time = max(time, chain.time)
        if head == nil, chain.objectCount == 0, log.start.index > 0 || isLogEmpty {
            return try runOnNewStore(chain)
        }
        let applied = try engine.appliedPosition
        let end = chain.position
        if isSuperseded || log.end.index < end.index || isLogEmpty {
            guard applied.index <= end.index else { throw missing(applied) }
            if end.index > 0 { try beginLog(behind: end, keep: isSuperseded) }
        }
        guard log.start.index <= end.index else {
            throw Failure(
                description: "the log in the store ends with entry \(end.index), and the local one in \(directory.wal) "
                    + "begins with \(log.start.index + 1): objects below \(StoreLayout.log) are missing")
        }
        let tail = try replayTail(behind: end, store)
        var result = recovered()
        result.chain = chain
        result.tail = tail
        result.checkpoint = head?.position
        result.hasPassedOver = hasPassedOver
        result.term = max(result.term, chain.term, head?.term ?? 0)
        return result
    }

    /// Fills the engine from the newest checkpoint where the local log does not lead there; the log begins behind it then.
    func reachCheckpoint(_ store: Store) throws -> LogPosition {
        var head = try newestHead(store)
        if head == nil, let branch = try store.branch() {
            try begin(branch)
            head = try newestHead(store)
        }
        try beginBehindRestore()
        guard let head else { return .zero }
        let applied = try engine.appliedPosition
        guard applied.index < head.index else {
            // A log of which nothing is left has no file, and a start may have died before it began one.
            if applied == head.position, try term(of: applied.index) != applied.term {
                try beginLog(behind: applied, keep: log.end.index > applied.index)
            }
            return head.position
        }
        if try replayLog(upTo: head.position) { return head.position }
        let base = try restore(store, head)
        // What the log has before is not needed; if it ends behind the checkpoint, it is another history.
        if try term(of: base.index) != base.term { try beginLog(behind: base, keep: log.end.index > base.index) }
        return head.position
    }

    /// The head, or one that stands in for a damaged one.
    private func newestHead(_ store: Store) throws -> Head? {
        guard let found = try store.checkpoints.headOrStandIn() else { return nil }
        if let damage = found.damage {
            logger.error("\(found.head.checkpoint) counts as the newest checkpoint: \(damage)")
            self.damage.append("\(damage)")
        }
        return found.head
    }

    /// What was passed over on the way to an error.
    private func text(_ damage: [String]) -> String {
        damage.isEmpty ? "" : " (" + damage.joined(separator: "; ") + ")"
    }

    /// Nothing of the log is in the store yet, and the local log does not reach back to its beginning.
    private func runOnNewStore(_ chain: LogChain.End) throws -> Recovered {
        try beginBehindRestore()
        try checkReach()
        try replayLog(through: .max)
        var result = recovered()
        result.chain = chain
        let applied = try engine.appliedPosition
        guard applied != .zero else { return result }
        result.chain?.position = applied
        result.chain?.term = applied.term
        result.needsSeed = true
        return result
    }

    private func missing(_ applied: LogPosition) -> Failure {
        Failure(
            description: "the engine in \(directory.path) stands at entry \(applied.index), which is neither in the "
                + "local log nor in the store: files of the log are missing")
    }

    /// Writes the first checkpoint of a branch. A start that dies before repeats it.
    private func begin(_ branch: BranchBeginning) throws {
        var mark = branch.mark
        if mark == nil {
            // Only the state itself says what it adds up to.
            engine = try home.replaceEngine(engine) { mark = try branch.fill($0) }
        }
        guard let mark else { preconditionFailure("the engine was filled") }
        try branch.write(mark)
    }

    // MARK: - Up to the checkpoint

    /// Applies entries of the local log up to a checkpoint that the engine does not reach.
    /// - Returns: False when the log does not lead there: the engine is then to be filled from the checkpoint.
    private func replayLog(upTo base: LogPosition) throws -> Bool {
        guard log.start.index <= (try engine.appliedPosition.index), log.end.index >= base.index,
            try term(of: base.index) == base.term
        else { return false }
        try replayLog(through: base.index)
        return true
    }

    /// Whether the local log ends before the newest checkpoint, and with entries that are not in the chain for certain.
    /// - Throws: `Failure` when somebody may have been promised those.
    private func isLeftBehind(by base: LogPosition, _ store: Store) throws -> Bool {
        guard !isLogEmpty, log.end.index < base.index else { return false }
        if try directory.uploadedMark() == log.end { return false }
        if try chainHolds(log.end, store) { return false }
        guard store.promisesWithChainOnly else { throw contradiction(log.end.index) }
        return true
    }

    /// Whether an entry before the newest checkpoint is in the chain; false also where the chain does not reach back so
    /// far any more.
    private func chainHolds(_ position: LogPosition, _ store: Store) throws -> Bool {
        var start = LogPosition.zero
        for key in try store.checkpoints.checkpoints().reversed() {
            // A checkpoint that cannot be read is no place to start from; there may be an older one.
            guard let file = try readable(key, store), file.checkpoint.index <= position.index else { continue }
            start = file.checkpoint.position
            break
        }
        if start.index == position.index { return start == position }
        var holds = false
        _ = try store.chain.read(after: start) { entry in
            if entry.position.index == position.index { holds = entry.position == position }
            return entry.position.index >= position.index ? .stop : .next
        }
        return holds
    }

    private func readable(_ key: ObjectKey, _ store: Store) throws -> ManifestFile? {
        do {
            return try store.checkpoints.manifest(key)
        } catch let error as CheckpointError where error.code == .corrupted {
            return nil
        } catch let error as ObjectStoreError where error.code == .notFound {
            return nil
        }
    }

    /// Fills a new generation of the engine from the newest checkpoint that can be read. Where there is none and the log
    /// was never cut it is left empty, for the log.
    /// - Returns: Where that ends.
    private func restore(_ store: Store, _ head: Head) throws -> LogPosition {
        var keys = [ObjectKey(head.checkpoint)]
        var isFirst = true
        while let key = keys.popLast() {
            do {
                let file = try isFirst ? store.checkpoints.manifest(of: head) : store.checkpoints.manifest(key)
                if file.checkpoint.index <= head.index {
                    let loader = CheckpointLoader(store.checkpoints, file, key: key)
                    engine = try home.replaceEngine(engine) { try loader.load(into: $0) }
                    time = file.envelope.commitTime
                    logger.notice(
                        "the engine was filled from a checkpoint",
                        metadata: ["checkpoint": "\(key)", "revision": "\(file.checkpoint.revision)"])
                    return file.checkpoint.position
                }
            } catch let error as CheckpointError where error.code == .corrupted {
                passOver(key, error)
            } catch let error as ObjectStoreError where error.code == .notFound || error.code == .corrupted {
                passOver(key, error)
            }
            if isFirst { keys = try store.checkpoints.checkpoints().filter { $0 != key } }
            isFirst = false
        }
        guard try store.checkpoints.collectionState()?.object.floor.logIndex ?? 0 == 0 else {
            throw Failure(
                description: "no checkpoint in the store can be read, and the log before them was collected"
                    + text(damage))
        }
        logger.error("no checkpoint can be read; the log is replayed from its first entry")
        engine = try home.replaceEngine(engine) { _ in }
        return .zero
    }

    private func passOver(_ key: ObjectKey, _ error: any Error) {
        logger.error("the checkpoint \(key) cannot be used, the one before it is tried: \(error)")
        damage.append("\(key): \(error)")
        hasPassedOver = true
    }

    // MARK: - The chain

    /// Applies what the chain has and the engine lacks. Each end of an object is a place where a checkpoint may end.
    /// - Returns: The end of the chain, and whether the local log went on for itself where another node continued it.
    private func replayChain(
        _ store: Store, after base: LogPosition
    ) throws -> (end: LogChain.End, isSuperseded: Bool) {
        let applied = try engine.appliedPosition
        if applied.index == base.index, applied.term != base.term { throw contradiction(applied.index) }
        var replay = try EngineReplay(on: engine)
        var chainTerm = log.end.index == base.index && !isLogEmpty ? base.term : nil
        let end = try store.chain.read(
            after: base,
            objectDone: { end in
                guard end.position.index >= applied.index else { return }
                try replay.apply()
                let meta = try StateReader(engine.snapshot()).meta
                store.trail.applied(StateTrail.Mark(position: end.position, meta: meta, time: end.time))
                store.trail.uploaded(to: end.position)
            },
            visit: { entry in
                if entry.position.index == log.end.index { chainTerm = entry.position.term }
                if entry.position.index == applied.index, entry.position.term != applied.term {
                    throw contradiction(applied.index)
                }
                guard entry.position.index > applied.index else { return .next }
                try replay.add(entry)
                replayed += 1
                return .next
            })
        return (end, try isSuperseded(by: end, chainTerm: chainTerm, store))
    }

    /// - Parameter chainTerm: Of the entry of the chain that has the index of the local log's last one.
    /// - Throws: `Failure` when somebody may have been promised what only the local log has.
    private func isSuperseded(by end: LogChain.End, chainTerm: UInt64?, _ store: Store) throws -> Bool {
        let common: UInt64
        if let chainTerm {
            if chainTerm == log.end.term { return false }
            common = log.end.index
        } else {
            // The local log ends behind the chain, or before what was read of it.
            guard end.position.index >= log.start.index, end.position.index > 0,
                let term = try term(of: end.position.index), term != end.position.term
            else { return false }
            common = end.position.index
        }
        guard store.promisesWithChainOnly, try engine.appliedPosition.index <= end.position.index else {
            throw contradiction(common)
        }
        logger.warning(
            "another node continued the log; what this one has for itself was promised to nobody and is set aside",
            metadata: ["wal.end": "\(log.end)", "chain.end": "\(end.position)"])
        return true
    }

    private func contradiction(_ index: UInt64) -> Failure {
        Failure(
            description:
                "\(directory.path) and the store have different entries with index \(index): another node went on "
                + "with this database while this one was away. Writes that only this directory has would be lost by "
                + "going on: move the directory away and start with an empty one, which is filled from the store")
    }

    // MARK: - Behind the chain

    /// Applies entries of the local log that the chain lacks.
    /// - Returns: Them, in batches to upload. Where the engine lacked them a checkpoint may end with each batch.
    private func replayTail(behind end: LogPosition, _ store: Store) throws -> [LogUploader.Batch] {
        guard log.end.index > end.index else { return [] }
        let applied = try engine.appliedPosition
        var replay = try EngineReplay(on: engine)
        var batches: [LogUploader.Batch] = []
        var batch: LogUploader.Batch?
        func endBatch(_ time: UInt64) throws {
            guard let done = batch else { return }
            batches.append(done)
            batch = nil
            guard done.last.index >= applied.index else { return }
            try replay.apply()
            let meta = try StateReader(engine.snapshot()).meta
            store.trail.applied(StateTrail.Mark(position: done.last, meta: meta, time: time))
        }
        var lastTime: UInt64 = 0
        try readLog(from: end.index + 1) { entry in
            if entry.position.index > applied.index {
                try replay.add(entry)
                replayed += 1
            }
            let size = LogFormat.frameSize(entry)
            if batch == nil { batch = LogUploader.Batch(first: entry.position.index, last: entry.position, size: 0) }
            batch?.last = entry.position
            batch?.size += size
            lastTime = entry.time
            // The engine's own position is the first place whose state is known.
            if batch!.size >= Recovery.tailBytesMax || entry.position.index == applied.index { try endBatch(lastTime) }
            return .next
        }
        try endBatch(lastTime)
        time = max(time, lastTime)
        return batches
    }
}
