package import Logging
import T4Protocols

/// Deletes what nobody needs any more from the store of one database.
///
/// The order makes it safe beside everybody else: raise the epoch, look what is in use, say what is condemned, look
/// again, write the list of what goes, announce the sweep, delete. Writers of checkpoints see the new epoch, whoever pins
/// a checkpoint sees that it is condemned, and another collector takes the epoch away before the sweep is announced.
///
/// Blocks; see `BlockingStore`.
package struct Collector {
    private let checkpoints: CheckpointStore
    private let policy: CollectionPolicy
    private let clock: Clock
    private let logger: Logger
    /// Tables on one list; with more, one collection follows the other.
    private let listSizeMax: Int
    private let isEnding: @Sendable () -> Bool
    private var store: BlockingStore { checkpoints.store }
    private var databaseID: DatabaseID { checkpoints.databaseID }
    /// Names of one call.
    private static let batchSize = 1000

    /// - Parameter isEnding: Asked now and then; with true the collection is given up.
    package init(
        _ checkpoints: CheckpointStore, policy: CollectionPolicy, clock: Clock, logger: Logger,
        listSizeMax: Int = 100_000, isEnding: @escaping @Sendable () -> Bool = { false }
    ) {
        self.checkpoints = checkpoints
        self.policy = policy
        self.clock = clock
        self.logger = logger
        self.listSizeMax = listSizeMax
        self.isEnding = isEnding
    }

    /// What a collection would delete now. Changes nothing.
    package func preview() throws -> CollectionReport {
        let state = try checkpoints.collectionState()?.object ?? CollectionState(databaseID)
        let roots = try look(state.floor)
        var log = try LogListing(store, databaseID: databaseID, floor: state.floor, cut: roots.logCut)
        var garbage = Garbage()
        try addTables(to: &garbage, roots, before: state.epoch + 1, doomed: [], limit: .max)
        return report(garbage, roots, log, try log.cut(roots.floor, at: roots.logCut))
    }

    /// Collects everything that can go now.
    /// - Throws: `.interrupted` when another collection began meanwhile, or when it is to end; whatever prevents it from
    ///   seeing all that is in use. Nothing that is needed was deleted then, and the next collection goes on.
    package func collect() throws -> CollectionReport {
        var total = CollectionReport()
        while true {
            let (report, isComplete) = try collectOnce()
            total.add(report)
            if isComplete { return total }
        }
    }

    private func collectOnce() throws -> (CollectionReport, isComplete: Bool) {
        var (state, version) = try begin()
        do {
            return try collect(&state, &version)
        } catch {
            // Another collection may have deleted what this one was reading.
            guard (error as? CheckpointError)?.code != .interrupted,
                try checkpoints.collectionState()?.version != version
            else { throw error }
            throw interruption
        }
    }

    private func collect(
        _ state: inout CollectionState, _ version: inout ObjectVersion
    ) throws -> (CollectionReport, isComplete: Bool) {
        var roots = try look(state.floor)
        var log = try LogListing(store, databaseID: databaseID, floor: state.floor, cut: roots.logCut)
        let doomed = try inherited(state)
        state.condemned = try log.cut(roots.floor, at: roots.logCut)
        version = try advance(&state, to: .condemned, from: version)

        try roots.lookAgain()
        let floor = try log.cut(roots.floor, at: roots.logCut)
        var garbage = Garbage()
        try addTables(to: &garbage, roots, before: state.epoch, doomed: doomed, limit: listSizeMax)
        let list = CondemnedList(
            database: databaseID.description, epoch: state.epoch, nonce: nonce(),
            checkpoints: roots.condemnedCheckpoints.map(\.rawValue), tables: garbage.tables.map(\.rawValue),
            logIndex: floor.logIndex, fences: floor.fences)
        try write(list)
        (state.floor, state.condemned, state.unswept) = (floor, nil, state.epoch)
        version = try advance(&state, to: .sweeping, from: version)

        try sweep(roots.condemnedCheckpoints)
        try sweep(garbage.tables)
        try sweep(log.garbage(under: floor).map(\.key))
        state.unswept = nil
        try finish(state, from: version)
        return (report(garbage, roots, log, floor), garbage.isComplete)
    }

    private var interruption: CheckpointError {
        CheckpointError(.interrupted, "another collection began; it will delete what this one did not")
    }

    // MARK: - State

    /// Takes a new epoch, so that whatever an earlier collection has not announced it cannot announce any more.
    private func begin() throws -> (CollectionState, ObjectVersion) {
        let found = try checkpoints.collectionState()
        var state = found?.object ?? CollectionState(databaseID)
        if state.phase != .idle {
            logger.notice(
                "an earlier collection did not come to its end",
                metadata: ["epoch": "\(state.epoch)", "phase": "\(state.phase.rawValue)"])
        }
        state.epoch += 1
        state.condemned = nil
        return (state, try advance(&state, to: .marking, from: found?.version))
    }

    private func advance(
        _ state: inout CollectionState, to phase: CollectionState.Phase, from version: ObjectVersion?
    ) throws -> ObjectVersion {
        try checkEnd()
        state.phase = phase
        state.sequence += 1
        state.nonce = nonce()
        switch try store.swap(StoreLayout.collectionState, to: state, from: version, of: databaseID) {
        case .won(let version): return version
        case .lost:
            throw interruption
        }
    }

    private func nonce() -> String {
        var random = SystemRandomNumberGenerator()
        return DatabaseID.random(using: &random).description
    }

    // MARK: - Lists

    /// Tables on the list of a collection that did not come to its end: whoever made it may still be deleting them.
    private func inherited(_ state: CollectionState) throws -> Set<String> {
        guard let epoch = state.unswept else { return [] }
        let key = StoreLayout.condemnedList(epoch: epoch)
        guard let list = try store.find(CondemnedList.self, key, of: databaseID)?.object else {
            throw CheckpointError(
                .corrupted, "\(StoreLayout.collectionState) says that \(key) is being swept, but it is not there")
        }
        return Set(list.tables)
    }

    private func write(_ list: CondemnedList) throws {
        let key = StoreLayout.condemnedList(epoch: list.epoch)
        if case .lost = try store.swap(key, to: list, from: nil, of: databaseID) {
            throw CheckpointError(.corrupted, "\(key) exists although its epoch has just begun")
        }
    }

    /// Says that everything was deleted, and removes the lists. Where another collection has begun that is its business.
    private func finish(_ state: CollectionState, from version: ObjectVersion) throws {
        var state = state
        do {
            _ = try advance(&state, to: .idle, from: version)
        } catch let error as CheckpointError where error.code == .interrupted {
            try checkEnd()
            return
        }
        var lists: [ObjectKey] = []
        try store.list(StoreLayout.condemnedLists) { object in
            if let epoch = StoreLayout.condemnedList(object.key), epoch <= state.epoch { lists.append(object.key) }
        }
        try sweep(lists)
    }

    // MARK: - Steps

    private func look(_ floor: CollectionFloor) throws -> CollectionRoots {
        let now = clock.wall()
        let span = min(now, UInt64(policy.retain.nanoseconds))
        return try CollectionRoots(checkpoints, before: floor, keep: policy.keep, windowStart: now - span)
    }

    private struct Garbage {
        var tables: [ObjectKey] = []
        var size: UInt64 = 0
        var isComplete = true
    }

    /// Tables of earlier epochs that nothing uses. Later ones belong to checkpoints that are being written.
    private func addTables(
        to garbage: inout Garbage, _ roots: CollectionRoots, before epoch: UInt64, doomed: Set<String>, limit: Int
    ) throws {
        try store.list(StoreLayout.tables) { object in
            let name = object.key.rawValue
            guard let table = StoreLayout.table(object.key), table.epoch < epoch,
                !roots.tables.contains(name) || doomed.contains(name)
            else { return }
            guard garbage.tables.count < limit else {
                garbage.isComplete = false
                return
            }
            garbage.tables.append(object.key)
            garbage.size += object.size
        }
    }

    private func sweep(_ keys: [ObjectKey]) throws {
        var rest = keys[...]
        while !rest.isEmpty {
            try checkEnd()
            try store.delete(Array(rest.prefix(Collector.batchSize)))
            rest = rest.dropFirst(Collector.batchSize)
        }
    }

    private func checkEnd() throws {
        if isEnding() { throw CheckpointError(.interrupted, "this process ends; the next collection goes on") }
    }

    private func report(
        _ garbage: Garbage, _ roots: CollectionRoots, _ log: LogListing, _ floor: CollectionFloor
    ) -> CollectionReport {
        let objects = log.garbage(under: floor)
        var report = CollectionReport()
        report.checkpointCount = roots.condemnedCheckpoints.count
        report.tableCount = garbage.tables.count
        report.logObjectCount = objects.count
        report.deletedSize = garbage.size + objects.reduce(0) { $0 + $1.size }
        report.keptCheckpointCount = roots.kept.count
        report.pins = roots.pins.sorted()
        report.lapsedPins = roots.lapsedPins.sorted()
        report.logCutIndex = floor.logIndex
        return report
    }
}

extension CollectionReport {
    /// Adds what a further collection did.
    fileprivate mutating func add(_ next: CollectionReport) {
        var sum = next
        sum.checkpointCount += checkpointCount
        sum.tableCount += tableCount
        sum.logObjectCount += logObjectCount
        sum.deletedSize += deletedSize
        self = sum
    }
}
