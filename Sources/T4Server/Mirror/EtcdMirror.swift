import EtcdAPI
package import Logging
import RPC
import Synchronization
package import T4Core
package import T4Protocols

/// Follows an etcd: does in a node of its own, revision by revision, what was done there.
package final class EtcdMirror: Sendable {
    /// When to end.
    package enum Goal: Hashable, Sendable {
        /// Never.
        case none
        /// Once everything is here that the source had when the mirror first reached it.
        case caughtUp
        /// Once that revision is here; none behind it is taken.
        case revision(Revision)
    }

    /// Why a mirror cannot go on.
    package struct Failure: Error, CustomStringConvertible {
        package var description: String
    }

    /// The source went on while the node did not, or the other way round: to be begun again where the node stands.
    private struct Retry: Error, CustomStringConvertible {
        var description: String
    }

    private struct State {
        var goal: Revision?
        /// Users and roles of that revision were reported to differ.
        var authRevision: UInt64?
        var reported: Revision?
    }

    /// Revisions under way at once, and bytes in them: less than the node's queue has room for.
    private static let revisionsMax = 1024
    private static let bytesMax = 1 << 20
    private static let pauseMin = Duration.milliseconds(200)
    private static let pauseMax = Duration.seconds(10)

    private let source: EtcdSource
    private let node: Node
    private let cluster: UInt64
    private let interval: Duration
    private let logger: Logger
    private let timer: BackoffTimer
    private let wish: Goal
    private let state = Mutex(State())

    /// - Parameters:
    ///   - node: Opened in a directory that mirrors `cluster`, with that in its configuration.
    ///   - interval: How often leases and the compacted revision of the source are looked at.
    package init(
        _ source: EtcdSource, of cluster: UInt64, to node: Node, until goal: Goal, interval: Duration, logger: Logger,
        timer: BackoffTimer = .system
    ) {
        self.source = source
        self.node = node
        self.cluster = cluster
        self.interval = interval
        self.logger = logger
        self.timer = timer
        wish = goal
    }

    /// Makes a directory that follows the source, from a snapshot of it. As `EtcdImport.run`, and whole or not at all too.
    package static func makeDirectory(
        of source: EtcdSource, _ cluster: UInt64, _ destination: RestoreDestination, registry: BackendRegistry,
        logger: Logger
    ) async throws -> EtcdImport.Report {
        // What is wrong with the place is said before anything is fetched.
        _ = try ForeignDatabase(destination, registry: registry, logger: logger)
        let snapshot = try await source.snapshot()
        return try await SystemThread.run("t4-import") {
            try EtcdImport(mirroring: cluster) { try snapshot.save(in: $0) }
                .run(into: destination, registry: registry, logger: logger)
        }
    }

    /// Follows until the goal is reached or the task is cancelled. Where the source cannot be reached, it is tried again
    /// without end.
    /// - Throws: `Failure`; what the source refuses for good.
    package func run() async throws {
        var pause = EtcdMirror.pauseMin
        while !Task.isCancelled {
            let before = node.published.revision
            do {
                try await follow()
                return
            } catch {
                if Task.isCancelled { return }
                guard error is Retry || EtcdSource.isPassing(error) else { throw error }
                if node.published.revision > before { pause = EtcdMirror.pauseMin }
                logger.warning("the source is tried again: \(error)", metadata: ["pause": "\(pause)"])
            }
            await timer.pause(pause)
            pause = min(pause * 2, EtcdMirror.pauseMax)
        }
    }

    private var hasArrived: Bool { state.withLock { $0.goal }.map { node.published.revision >= $0 } ?? false }

    private func follow() async throws {
        let start = node.published.revision
        try await compare(start)
        if !hasArrived {
            try await requireHistory(behind: start)
            let watch = try await source.watch(from: start.next)
            try await withTaskCancellationHandler {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await self.take(watch, behind: start) }
                    group.addTask { try await self.lookRegularly() }
                    // The first one to end ends the other.
                    defer {
                        group.cancelAll()
                        watch.cancel()
                    }
                    try await group.next()
                }
            } onCancel: {
                watch.cancel()
            }
        }
        if hasArrived {
            try await look()
            try await warnOfKeysWithoutLease()
        }
    }

    // MARK: Is it the same database?

    /// Compares what both have, and decides where to end.
    private func compare(_ here: Revision) async throws {
        let status = try await source.status()
        guard status.cluster == cluster else {
            throw Failure(
                description: "the source is of the cluster \(String(status.cluster, radix: 16)) now, and was of "
                    + "\(String(cluster, radix: 16))")
        }
        guard status.revision >= here else {
            throw Failure(
                description:
                    "the source stands at revision \(status.revision), this mirror at \(here) already: the source "
                    + "was restored from a backup, or another cluster; start again with an empty directory")
        }
        try await compareNewest(here)
        state.withLock { state in
            switch wish {
            case .none: break
            case .caughtUp: state.goal = state.goal ?? status.revision
            case .revision(let revision): state.goal = revision
            }
        }
        if case .revision(let revision) = wish, revision < here {
            throw Failure(description: "the mirror stands at revision \(here), behind revision \(revision) already")
        }
    }

    /// The revision behind a given one must be above the compacted one. That one itself can still be watched, but etcd
    /// before 3.5.16 leaves out what it deleted.
    private func requireHistory(behind revision: Revision) async throws {
        guard try await !source.hasHistory(of: revision) else { return }
        throw lost(upTo: try await oldest(above: revision, upTo: source.status().revision), behind: revision)
    }

    private func lost(upTo compacted: Revision, behind revision: Revision) -> Failure {
        Failure(
            description: "the source has compacted its history up to revision \(compacted), and this mirror stands at "
                + "\(revision): what lies between is nowhere any more; start again with an empty directory")
    }

    /// The newest revision must be what the source has there, if it still has it.
    private func compareNewest(_ revision: Revision) async throws {
        guard revision > .initial, revision > node.published.compactedRevision else { return }
        let events = try node.published.changes(
            from: revision, through: revision, includePrevious: false, byteLimit: .max)
        guard let event = events.first?.events.first, try await source.hasHistory(of: revision) else { return }
        let there = try await source.version(of: event.current.key, at: revision)
        let isSame =
            switch event.kind {
            case .put: there.map { event.current.isEqual(to: $0) } ?? false
            case .delete: there == nil
            }
        guard isSame else {
            throw Failure(
                description:
                    "revision \(revision) is another one in the source than in this mirror: the source was restored "
                    + "from a backup; start again with an empty directory")
        }
    }

    // MARK: Keys

    private func take(_ watch: SourceWatch, behind start: Revision) async throws {
        var last = start
        while !hasArrived {
            var entries: [MirrorEntry] = []
            for response in try await watch.next() {
                try check(response)
                // The source may have compacted between the first look and the beginning of the watch.
                if response.created { try await requireHistory(behind: start) }
                for entry in try await self.entries(of: response, after: &last) { entries.append(entry) }
            }
            var rest = entries[...]
            while !rest.isEmpty {
                let chunk = rest.prefix(EtcdMirror.chunkCount(rest))
                try await commit(Array(chunk))
                rest = rest[chunk.endIndex...]
            }
        }
    }

    /// How many entries go to the node at once: one at least.
    private static func chunkCount(_ entries: ArraySlice<MirrorEntry>) -> Int {
        var byteCount = 0
        for (count, entry) in entries.prefix(revisionsMax).enumerated() {
            byteCount += entry.byteCount
            if count > 0, byteCount > bytesMax { return count }
        }
        return min(entries.count, revisionsMax)
    }

    private func check(_ response: EtcdWatchResponse) throws {
        guard response.canceled else { return }
        if response.compactRevision > 0 {
            throw lost(upTo: Revision(response.compactRevision), behind: node.published.revision)
        }
        throw Retry(description: "the source ended the watch: \(response.cancelReason)")
    }

    /// The revisions of an answer; one that lies behind the goal ends them.
    private func entries(
        of response: EtcdWatchResponse, after last: inout Revision
    ) async throws -> [MirrorEntry] {
        let goal = state.withLock { $0.goal }
        var entries: [MirrorEntry] = []
        var sub: UInt32 = 0
        var leases: Set<Int64> = []
        for event in response.events {
            let revision = Revision(event.kv.modRevision)
            if let goal, revision > goal { break }
            if entries.last?.revision != revision {
                guard revision > last else {
                    throw Retry(description: "the source sent revision \(revision) behind \(last)")
                }
                guard revision == last.next else {
                    throw Failure(
                        description:
                            "the source sent revision \(revision) behind \(last), and nothing of those between: "
                            + "this mirror cannot hold what the source holds; start again with an empty directory")
                }
                entries.append(MirrorEntry(revision: revision, []))
                last = revision
                sub = 0
            }
            let place = entries.count - 1
            defer { sub += 1 }
            if event.type == .delete {
                entries[place].mutations.append(.delete(key: Array(event.kv.key), sub: sub))
                continue
            }
            entries[place].mutations.append(.put(key: Array(event.kv.key), record: StoredRecord(event.kv, sub: sub)))
            guard event.kv.lease != 0, leases.insert(event.kv.lease).inserted else { continue }
            if let lease = try await missingLease(event.kv.lease) {
                entries[place].mutations.append(.grant(lease))
            }
        }
        return entries
    }

    /// The lease of a key, where it is not here yet. One that is gone at the source has taken its keys with it, by a
    /// revision that is still to come; nothing is made up for it, lest a key be deleted that the source keeps.
    private func missingLease(_ id: Int64) async throws -> LeaseRecord? {
        node.leases.timeToLive(id) == nil ? try await source.lease(id) : nil
    }

    /// What a later revision of the source deletes may be here at the end without the lease that would delete it.
    private func warnOfKeysWithoutLease() async throws {
        let held = Set(node.leases.ids)
        let count = try await SystemThread.run("t4-mirror") {
            var count = 0
            try self.node.read().forEachLatest(in: .all) { _, row in
                let lease = RecordHeader(row).lease
                if lease != 0, !held.contains(lease) { count += 1 }
                return .next
            }
            return count
        }
        guard count > 0 else { return }
        logger.warning(
            "keys name a lease that is gone at the source: nothing will delete them here",
            metadata: ["keys": "\(count)"])
    }

    // MARK: Leases and compaction

    private func lookRegularly() async throws {
        while !Task.isCancelled {
            do {
                try await look()
            } catch let error where EtcdSource.isPassing(error) {
                // The watch hears of it too, and waits for the source.
                logger.debug("leases of the source could not be looked at: \(error)")
            }
            await timer.pause(interval)
        }
    }

    /// Brings leases and the compacted revision up to those of the source.
    private func look() async throws {
        let there = try await source.leases()
        // Asked for later: what took away a lease that is not in the list is in a revision up to this one.
        let status = try await source.status()
        report(status.revision)
        let here = Set(node.leases.ids)
        var mutations: [Mutation] = []
        for id in there where !here.contains(id) {
            if let lease = try await source.lease(id) { mutations.append(.grant(lease)) }
        }
        if node.published.revision >= status.revision {
            for id in here.subtracting(there) { mutations.append(.revoke(LeaseRecord(id: id, ttl: 0))) }
        }
        if let compacted = try await compactedRevision() { mutations.append(.compact(compacted)) }
        if !mutations.isEmpty { try await commit([MirrorEntry(mutations)]) }
        try await compareAccounts()
    }

    /// Where the source's history begins, if that is later than here; found by asking what can still be read.
    private func compactedRevision() async throws -> Revision? {
        let (gone, kept) = (max(node.published.compactedRevision, .initial), node.published.revision)
        guard gone < kept, try await !source.hasHistory(of: gone), try await source.hasHistory(of: kept) else {
            return nil
        }
        return try await oldest(above: gone, upTo: kept)
    }

    /// The first revision that can be read, between one that cannot and one that can.
    private func oldest(above gone: Revision, upTo kept: Revision) async throws -> Revision {
        var (gone, kept) = (gone, kept)
        while gone.next < kept {
            let middle = Revision((gone.rawValue + kept.rawValue) / 2)
            if try await source.hasHistory(of: middle) { kept = middle } else { gone = middle }
        }
        return kept
    }

    /// Hashes of passwords can be had with a snapshot only.
    private func compareAccounts() async throws {
        let there: UInt64
        do {
            there = try await source.authRevision()
        } catch let status as RPCStatus where status.code == .unimplemented {
            return
        }
        let here = node.auth.view.accounts.revision
        let isNews = state.withLock { state in
            defer { state.authRevision = there }
            return state.authRevision != there && max(there, 1) != here
        }
        guard isNews else { return }
        logger.warning(
            """
            users, roles or authentication were changed at the source since the mirror began; they are not followed: \
            change them here too after the cut-over, or start again with an empty directory
            """,
            metadata: ["source": "\(there)", "mirror": "\(here)"])
    }

    private func report(_ newest: Revision) {
        let applied = node.published.revision
        let isNews = state.withLock { state in
            defer { state.reported = applied }
            return state.reported != applied || applied < newest
        }
        guard isNews else { return }
        logger.info(
            "following",
            metadata: [
                "revision": "\(applied)", "source": "\(newest)", "lag": "\(max(0, newest.rawValue - applied.rawValue))",
                "leases": "\(node.leases.count)",
            ])
    }

    // MARK: The node

    /// Has the node do entries, in order, and waits for all.
    private func commit(_ entries: [MirrorEntry]) async throws {
        let outcomes = Outcomes(count: entries.count)
        for (place, entry) in entries.enumerated() {
            node.submit(.mirror(entry)) { outcomes.set($0, at: place) }
        }
        for outcome in await outcomes.wait() {
            switch outcome {
            case .success(.mirror(.applied)): break
            case .success(.mirror(.diverged(let reason))):
                throw Failure(
                    description: "the mirror does not hold what the source held: \(reason); start again with an empty "
                        + "directory")
            case .success(.mirror(.unsupported(let reason))):
                throw Failure(description: "the source cannot be mirrored: \(reason)")
            case .success: throw Retry(description: "what was written before is still on its way")
            case .failure(let error):
                switch error.code {
                case .tooManyRequests, .storeUnavailable, .noSpace, .outcomeUnknown:
                    throw Retry(description: "the mirror cannot be written: \(error)")
                default: throw Failure(description: "the mirror cannot be written: \(error)")
                }
            }
        }
    }
}

/// Answers to several proposals.
private final class Outcomes: Sendable {
    private struct State {
        var results: [Result<ProposalResponse, DatabaseError>?]
        var missing: Int
    }

    private let state: Mutex<State>
    private let all = FirstValue<Void>()

    init(count: Int) {
        state = Mutex(State(results: Array(repeating: nil, count: count), missing: count))
        if count == 0 { all.give(()) }
    }

    func set(_ result: Result<ProposalResponse, DatabaseError>, at place: Int) {
        let isLast = state.withLock { state in
            state.results[place] = result
            state.missing -= 1
            return state.missing == 0
        }
        if isLast { all.give(()) }
    }

    func wait() async -> [Result<ProposalResponse, DatabaseError>] {
        await all.wait()
        return state.withLock { $0.results.compactMap { $0 } }
    }
}

extension StoredRecord {
    /// What the source wrote.
    fileprivate init(_ message: EtcdKeyValue, sub: UInt32) {
        self.init(
            create: Revision(message.createRevision), mod: Revision(message.modRevision), version: message.version,
            lease: message.lease, sub: sub, value: Array(message.value))
    }
}

extension KeyValue {
    fileprivate func isEqual(to message: EtcdKeyValue) -> Bool {
        key == Array(message.key) && value == Array(message.value)
            && modRevision.rawValue == message.modRevision && createRevision.rawValue == message.createRevision
            && version == message.version && lease == message.lease
    }
}
