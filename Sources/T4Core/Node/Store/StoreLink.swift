import Logging
import T4Protocols

/// A running node's side of its object store: what reads it at start, uploads the log and makes checkpoints.
///
/// Everything blocks but what is built here.
final class StoreLink: Sendable {
    /// What makes a start impossible.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    let settings: NodeStore
    let waits: Bool
    /// With retries, for everything but the log.
    let blocking: BlockingStore
    let trail = StateTrail()
    let statistics = StoreStatistics()
    private let store: any ObjectStore
    private let root: any ObjectStore
    /// What `blocking` waits for.
    let retrying: any ObjectStore
    private let files: any LogFileSystem
    private let timer: BackoffTimer
    private let retries: EndableTimer
    private let logger: Logger

    /// - Parameters:
    ///   - root: The store without the prefix.
    ///   - files: Where the local log has its files.
    init(
        _ settings: NodeStore, root: any ObjectStore, waits: Bool, files: any LogFileSystem, timer: BackoffTimer,
        logger: Logger
    ) {
        self.settings = settings
        self.waits = waits
        self.files = files
        self.timer = timer
        self.logger = logger
        let metered = MeteredStore(root, clock: timer.clock) { [statistics] in statistics.saw($0) }
        self.root = metered
        store = PrefixedStore(metered, prefix: settings.prefix)
        retries = EndableTimer(timer)
        retrying = RetryingStore(store, policy: RetryPolicy(deadline: settings.startTimeout), timer: retries.timer)
        blocking = BlockingStore(retrying)
    }

    /// Calls `body` after a time.
    func after(_ time: Duration, _ body: @escaping @Sendable () -> Void) {
        let timer = timer
        Task {
            await timer.pause(time)
            body()
        }
    }

    /// Nothing is tried again from now on, so that whoever waits for the store hears soon.
    func endRetries() { retries.end() }

    /// Tries whether the store keeps the conditions that everything relies on (Rule S2).
    func probe() throws {
        // What our own code does in a directory of this node need not be tried at each start.
        if settings.isInside { return }
        let verdict = try blocking.start { (store) throws(ObjectStoreError) in
            try await ConditionalPutProbe.run(on: store)
        }.wait()
        guard verdict == .reliable else {
            throw Failure(description: "the object store cannot be used: \(verdict); t4 verify-store tells more")
        }
        if waits, !store.capabilities.isDurable {
            logger.warning("the object store does not outlive this process; its durability is that of the local disk")
        }
    }

    func chain(_ id: DatabaseID) -> LogChain { LogChain(blocking, databaseID: id) }
    func checkpoints(_ id: DatabaseID) -> CheckpointStore {
        CheckpointStore(blocking, databaseID: id, foreign: { self.other($0) })
    }

    /// The store under another prefix.
    func other(_ prefix: String) -> BlockingStore {
        BlockingStore(
            RetryingStore(
                PrefixedStore(root, prefix: prefix), policy: RetryPolicy(deadline: settings.startTimeout),
                timer: retries.timer))
    }

    /// The database that a branch begins in.
    func parent(_ prefix: String) throws -> BranchParent {
        let store = other(prefix)
        guard let object = try DatabaseObject.read(store) else {
            throw Failure(description: "there is no database under the prefix \"\(prefix)\" to begin a branch in")
        }
        return BranchParent(store, prefix: prefix, databaseID: object.id, foreign: { self.other($0) })
    }

    /// The uploader of a log that ends with the entry that this run began with.
    /// - Parameters:
    ///   - wal: Directory of the local log.
    ///   - chain: Where the chain ends before that.
    func uploader(
        _ id: DatabaseID, wal: String, term: UInt64, behind chain: LogChain.End, outage: OutageGuard?,
        onStored: @escaping @Sendable (LogPosition) -> Void = { _ in },
        onFailure: @escaping @Sendable (any Error) -> Void
    ) -> LogUploader {
        var uploads = LogUploader.Settings()
        uploads.isSynchronous = waits
        uploads.ageMax = settings.uploadAgeMax
        uploads.inFlightMax = min(settings.uploadsInFlight, LogUploader.Settings.inFlightLimit)
        return LogUploader(
            store: store, databaseID: id, term: term, end: chain.position, endTerm: chain.term, settings: uploads,
            timer: timer, logger: logger, trail: trail, statistics: statistics,
            readBack: readBack(wal, id),
            onOutage: { outage?.note(isOut: $0) }, onStored: onStored, onFailure: onFailure)
    }

    private func readBack(_ wal: String, _ id: DatabaseID) -> LogUploader.ReadBack {
        { [files] range in
            var entries: [LogEntry] = []
            _ = try LogReader(directory: wal, databaseID: id, fileSystem: files).read(from: range.lowerBound) { entry in
                if entry.position.index <= range.upperBound { entries.append(entry) }
                return entry.position.index >= range.upperBound ? .stop : .next
            }
            return entries
        }
    }

    /// What joins objects of this run's log.
    func merger(_ id: DatabaseID, wal: String, term: UInt64) -> LogMerger {
        LogMerger(blocking, databaseID: id, term: term, readBack: readBack(wal, id))
    }

    /// What collects garbage after checkpoints; nil where nothing is to be collected.
    func collection(_ id: DatabaseID, clock: Clock) -> CollectionSchedule? {
        guard let policy = settings.collection else { return nil }
        let (checkpoints, logger, clock) = (checkpoints(id), logger, clock.notAhead(of: timer.clock))
        return CollectionSchedule(clock: timer.clock, statistics: statistics, logger: logger) { isEnding in
            try Collector(checkpoints, policy: policy, clock: clock, logger: logger, isEnding: isEnding).collect()
        }
    }

    /// Uploads what the chain lacks and the first entry of this run: from then on no earlier leader can go on.
    func fence(_ uploader: LogUploader, _ tail: [LogUploader.Batch], _ first: LogEntry) throws {
        for batch in tail { uploader.add(batch) }
        uploader.add([first])
        uploader.flush()
        guard uploader.wait(for: first.position.index, atMost: settings.startTimeout) else {
            let reason = uploader.status.outage ?? "another node goes on with this database, or the store is too slow"
            throw Failure(description: "the object store has not taken the first entry of this run: \(reason)")
        }
    }

    /// What writes checkpoints.
    func writer(
        _ id: DatabaseID, lineage: Manifest.Lineage?, wal: String, author: CheckpointWriter.Author, clock: Clock
    ) -> CheckpointWriter {
        let (chain, files) = (chain(id), files)
        return CheckpointWriter(checkpoints(id), databaseID: id, lineage: lineage, author: author, clock: clock) {
            after, visit in
            if try StoreLink.readLocalLog(wal, files, id, after: after, visit) { return }
            _ = try chain.read(after: after, visit: visit)
        }
    }

    /// - Returns: False when the local log does not reach back to that position; nothing has been visited then.
    private static func readLocalLog(
        _ wal: String, _ files: any LogFileSystem, _ id: DatabaseID, after: LogPosition,
        _ visit: (LogEntry) throws -> LogStep
    ) throws -> Bool {
        var reachesBack: Bool?
        try LogReader(directory: wal, databaseID: id, fileSystem: files).visit(from: after.index + 1) { entry in
            if reachesBack == nil { reachesBack = entry.position.index == after.index + 1 }
            return reachesBack == true ? try visit(entry) : .stop
        }
        return reachesBack ?? false
    }
}
