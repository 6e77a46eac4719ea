package import Logging
package import T4Protocols

/// Brings the log into the object store, as a chain of objects without a gap.
///
/// Entries come in batches, each of which ends where a group was synced to disk. In the background batches are gathered
/// until they are old or many; where writes wait for the store each upload takes what has come since the one before, and
/// a few are under way at once (`UploadPacing`). Batches are released strictly in order, whichever upload ends first.
package final class LogUploader: Sendable {
    /// Entries that were added together. An object never ends inside of one.
    package struct Batch: Sendable {
        /// The first index and the last entry.
        package var first: UInt64
        package var last: LogPosition
        /// Bytes of its frames.
        package var size: Int
        /// Nil where they are to be read again.
        var entries: [LogEntry]?
        /// When it was added, by the uploader's clock.
        fileprivate var addedAt = Duration.zero
        fileprivate var release: (@Sendable (Failure?) -> Void)?

        /// A batch of entries that lie in the local log.
        package init(first: UInt64, last: LogPosition, size: Int) {
            self.first = first
            self.last = last
            self.size = size
        }

        fileprivate var count: UInt64 { last.index - first + 1 }
    }

    /// Reads entries of the local log, all of that range of indexes.
    package typealias ReadBack = @Sendable (ClosedRange<UInt64>) throws -> [LogEntry]

    /// An object that this run put into the store.
    package struct Object: Hashable, Sendable {
        /// The entry before its first one, and its last one.
        package var previous: LogPosition
        package var end: LogPosition
        /// Bytes of its frames.
        package var size: Int
        package var version: ObjectVersion
    }

    private struct Flight: Sendable {
        var number: UInt64
        var end: LogPosition
        var batches: [Batch]
        var begin: Duration
        /// What became of it, once it is in the store.
        var outcome: Outcome?
    }

    private struct Outcome: Sendable {
        /// In the header of the object that ends the flight.
        var term: UInt64
        /// Version of the object; nil unless the whole flight is one that this run put there.
        var version: ObjectVersion?
    }

    private struct State {
        var end: LogPosition
        /// In the header of the object that ends there.
        var endTerm: UInt64
        /// The last entry that was added.
        var last: LogPosition
        var waiting: [Batch] = []
        var waitingSize = 0
        var flights: [Flight] = []
        /// In the store, and not asked for yet.
        var objects: [Object] = []
        /// In the store, to be told so by the uploader's thread.
        var released = FIFO<Batch>()
        /// Not to get there after the failure, to be told so by the uploader's thread.
        var dropped = FIFO<Batch>()
        var flightNumber: UInt64 = 0
        /// Waiting batches are to be uploaded without waiting for age, size or number.
        var isDue = false
        var pacing = UploadPacing()
        /// Rises whenever the waiting batches are taken, so that an old timer means nothing.
        var generation: UInt64 = 0
        var outage: String?
        var failure: Failure?
        var isStopping = false
    }

    private let store: any ObjectStore
    private let databaseID: DatabaseID
    private let term: UInt64
    private let settings: Settings
    private let timer: BackoffTimer
    private let logger: Logger
    private let trail: StateTrail?
    private let statistics: StoreStatistics?
    let readBack: ReadBack
    private let onOutage: @Sendable (_ isOut: Bool) -> Void
    private let onStored: @Sendable (LogPosition) -> Void
    private let onFailure: @Sendable (Failure) -> Void
    private let state: Monitor<State>

    /// - Parameters:
    ///   - term: Of this run; stands in the headers.
    ///   - end: The last entry of the chain.
    ///   - endTerm: Term in the header of the chain's last object, `LogChain.End.term`. Where it is not known the term of
    ///     `end` stands in: an orphan of a term in between is then taken for a part of the chain, which is a failure.
    ///   - trail: Hears where objects end.
    ///   - readBack: For entries that were not kept in memory; called on the thread of `run`.
    ///   - onOutage: Called when uploads begin to fail, and when one succeeds again.
    ///   - onStored: Called with the last entry that is in the store with everything before it; perhaps not in order.
    ///   - onFailure: Called once when somebody else has continued the chain, or when `readBack` threw.
    package init(
        store: any ObjectStore, databaseID: DatabaseID, term: UInt64, end: LogPosition, endTerm: UInt64? = nil,
        settings: Settings = Settings(), timer: BackoffTimer = .system, logger: Logger, trail: StateTrail? = nil,
        statistics: StoreStatistics? = nil, readBack: @escaping ReadBack,
        onOutage: @escaping @Sendable (_ isOut: Bool) -> Void = { _ in },
        onStored: @escaping @Sendable (LogPosition) -> Void = { _ in },
        onFailure: @escaping @Sendable (Failure) -> Void
    ) {
        self.store = store
        self.databaseID = databaseID
        self.term = term
        self.settings = settings
        self.timer = timer
        self.logger = logger
        self.trail = trail
        self.statistics = statistics
        self.readBack = readBack
        self.onOutage = onOutage
        self.onStored = onStored
        self.onFailure = onFailure
        state = Monitor(State(end: end, endTerm: endTerm ?? end.term, last: end))
    }

    package var status: Status {
        let now = timer.clock.now
        return state.withLock { state in
            let batches = state.flights.flatMap(\.batches) + state.waiting
            return Status(
                end: state.end, last: state.last, backlogCount: batches.reduce(0) { $0 + $1.count },
                backlogSize: batches.reduce(0) { $0 + $1.size }, backlogAge: batches.first.map { now - $0.addedAt },
                outage: state.outage)
        }
    }

    /// Number of objects that `takeObjects` would give for the end of the chain.
    package var objectCount: Int { state.withLock { $0.objects.count } }

    /// The objects that this run put into the store, up to that entry, in order and each once: those of which it is known
    /// for certain that they are a part of the chain as they were put.
    package func takeObjects(through index: UInt64) -> [Object] {
        state.withLock { state in
            let count = state.objects.prefix { $0.end.index <= index }.count
            defer { state.objects.removeFirst(count) }
            return Array(state.objects[..<count])
        }
    }

    /// Takes entries that are on disk, in order: at least one, and the first follows the last one of the call before.
    /// - Parameter release: Called once they are in the store and everything before them was released, or with what
    ///   prevents it for good.
    package func add(_ entries: [LogEntry], release: (@Sendable (Failure?) -> Void)? = nil) {
        guard let first = entries.first, let last = entries.last else { preconditionFailure("a batch has entries") }
        let size = entries.reduce(0) { $0 + LogFormat.frameSize($1) }
        var batch = Batch(first: first.position.index, last: last.position, size: size)
        batch.entries = entries
        batch.release = release
        add(batch)
    }

    /// Takes a batch in order, as the other `add`.
    package func add(_ batch: Batch) {
        var batch = batch
        batch.addedAt = timer.clock.now
        let (failure, startTimer, isWork): (Failure?, (generation: UInt64, age: Duration)?, Bool) = state.withLock {
            state in
            if let failure = state.failure { return (failure, nil, false) }
            precondition(batch.first == state.last.index + 1, "entries are added in order")
            state.last = batch.last
            let isFirst = state.waiting.isEmpty
            state.waiting.append(batch)
            state.waitingSize += batch.size
            if state.waitingSize > settings.memoryMax { state.waiting[state.waiting.count - 1].entries = nil }
            // In the background the thread is not woken for every group: that would cost each write.
            let isWork = settings.isSynchronous || state.isDue || state.waitingSize >= settings.sizeMax
            guard isFirst else { return (nil, nil, isWork) }
            guard settings.isSynchronous else { return (nil, (state.generation, settings.ageMax), isWork) }
            let hold = state.pacing.hold
            if state.flights.isEmpty || hold == .zero {
                state.isDue = true
                return (nil, nil, isWork)
            }
            return (nil, (state.generation, hold), isWork)
        }
        if let failure {
            batch.release?(failure)
            return
        }
        if let startTimer { wakeLater(startTimer.generation, after: startTimer.age) }
        if isWork { state.broadcast() }
    }

    /// Uploads what waits now, without waiting for age or size.
    package func flush() {
        state.withLock { $0.isDue = !$0.waiting.isEmpty || $0.isDue }
        state.broadcast()
    }

    /// Waits until the entry of that index is in the store. False when that will not happen any more, or has not within
    /// `limit`.
    package func wait(for index: UInt64, atMost limit: Duration? = nil) -> Bool {
        let isOver = Monitor(false)
        if let limit {
            let (timer, state) = (timer, state)
            Task {
                await timer.pause(limit)
                isOver.withLock { $0 = true }
                // Under the lock, so that a waiter is either before its look at `isOver` or already waiting.
                state.withLock { _ in }
                state.broadcast()
            }
        }
        return state.wait { state in
            if state.end.index >= index { return true }
            return state.failure != nil || state.isStopping || isOver.withLock { $0 } ? false : nil
        }
    }

    /// The uploader's thread, until `stop` or a failure. It alone releases batches that were taken before the failure, so
    /// that their order is kept.
    package func run() {
        while let work = nextWork() {
            switch work {
            case .release(let batch, let failure): batch.release?(failure)
            case .upload(let flight, let previous):
                do {
                    upload(flight, try entries(of: flight.batches), previous: previous)
                } catch {
                    fail(Failure(description: "entries of the local log cannot be read again: \(error)"))
                }
            }
        }
    }

    /// Lets `run` return. Uploads under way may or may not happen; but for a release that is being called right now
    /// nothing more is released.
    package func stop() {
        state.withLock { $0.isStopping = true }
        state.broadcast()
    }

    // MARK: - One upload

    private func wakeLater(_ generation: UInt64, after age: Duration) {
        let timer = timer
        Task {
            await timer.pause(age)
            state.withLock { state in
                if state.generation == generation { state.isDue = true }
            }
            state.broadcast()
        }
    }

    private enum Work: Sendable {
        case release(Batch, Failure?)
        case upload(Flight, previous: LogPosition)
    }

    /// Waits for batches that are in the store, or that are to be uploaded and then takes as many as make an object.
    private func nextWork() -> Work? {
        state.wait { state in
            if state.isStopping { return .some(nil) }
            if let batch = state.released.popFirst() { return .some(.release(batch, nil)) }
            if let failure = state.failure {
                return .some(state.dropped.popFirst().map { .release($0, failure) })
            }
            guard !state.waiting.isEmpty, state.flights.count < (settings.isSynchronous ? settings.inFlightMax : 1),
                state.isDue || state.waitingSize >= settings.sizeMax || settings.isSynchronous && hasGathered(state)
            else { return nil }
            var count = 0
            var size = 0
            while count < state.waiting.count, count == 0 || size + state.waiting[count].size <= settings.sizeMax {
                size += state.waiting[count].size
                count += 1
            }
            let batches = Array(state.waiting[..<count])
            state.waiting.removeFirst(count)
            state.waitingSize -= size
            state.generation += 1
            // What is left is younger than what was taken, but has no timer of its own.
            state.isDue = !state.waiting.isEmpty
            state.pacing.began()
            state.flightNumber += 1
            let previous = state.flights.last?.end ?? state.end
            let flight = Flight(
                number: state.flightNumber, end: batches.last!.last, batches: batches, begin: timer.clock.now)
            state.flights.append(flight)
            return .some(.upload(flight, previous: previous))
        }
    }

    /// Whether what waits for an upload is all that is expected soon.
    private func hasGathered(_ state: State) -> Bool {
        guard !state.flights.isEmpty, let first = state.waiting.first else { return true }
        return state.last.index - first.first + 1 >= state.pacing.answered
    }

    private func upload(_ flight: Flight, _ entries: [LogEntry], previous: LogPosition) {
        Task {
            do throws(Failure) {
                if let outcome = try await put(entries, previous: previous, flight: flight.number) {
                    finish(flight.number, outcome)
                }
            } catch {
                fail(error)
            }
        }
    }

    /// Uploads an object until it is there.
    /// - Parameter previousTerm: In the header of the object that ends at `previous`, where another node's object is that;
    ///   nil for the end of the flight before.
    /// - Returns: Nil when the uploader was stopped before.
    private func put(
        _ entries: [LogEntry], previous: LogPosition, flight: UInt64, previousTerm: UInt64? = nil
    ) async throws(Failure) -> Outcome? {
        let key = StoreLayout.log(firstIndex: previous.index + 1)
        let bytes = LogObject.encode(entries, databaseID: databaseID, term: term, previous: previous)
        var condition = PutCondition.absent
        var range = Duration.milliseconds(100)
        while !state.withLock({ $0.isStopping || $0.failure != nil }) {
            do throws(ObjectStoreError) {
                let version = try await store.put(key, .bytes(bytes), when: condition)
                note(outage: nil)
                return Outcome(term: term, version: previousTerm == nil ? version : nil)
            } catch {
                let isTaken = error.code == .alreadyExists || error.code == .conditionFailed
                if !isTaken { statistics?.uploadFailed() }
                if isTaken || error.code == .outcomeUnknown {
                    let chainTerm = previousTerm ?? endTerm(before: flight)
                    switch try await settle(key, bytes, entries, previous, chainTerm: chainTerm) {
                    case .done: return Outcome(term: term)
                    case .partly(let end, let endTerm):
                        let rest = entries.filter { $0.position.index > end.index }
                        if rest.isEmpty { return Outcome(term: endTerm) }
                        return try await put(rest, previous: end, flight: flight, previousTerm: endTerm)
                    case .replace(let version): condition = .unchanged(since: version)
                    case .absent:
                        condition = .absent
                        note(outage: "\(error)")
                    case .later: break
                    case .unknown(let what): note(outage: what)
                    }
                } else {
                    note(outage: "\(error)")
                }
                await timer.pause(range * Double.random(in: 0.5...1))
                range = min(range * 2, .seconds(5))
            }
        }
        return nil
    }

    /// Term in the header of the chain's last object, when that is what the flight continues; nil as long as others are
    /// under way before it.
    private func endTerm(before flight: UInt64) -> UInt64? {
        state.withLock { $0.flights.first?.number == flight ? $0.endTerm : nil }
    }

    private enum Settlement {
        /// The very bytes are there.
        case done
        /// An object of an earlier run of this node is there, which ends with that entry and has that header term.
        case partly(LogPosition, UInt64)
        /// An orphan is there.
        case replace(ObjectVersion)
        /// Nothing is there yet.
        case absent
        /// What is there is a part of the chain or not, depending on uploads before this one.
        case later
        /// It cannot be read now.
        case unknown(String)
    }

    /// Looks what is under a name that a put did not get for certain (Rule L2).
    ///
    /// Only an orphan may be replaced: whoever uploaded a part of the chain may have promised it to somebody.
    /// - Parameter chainTerm: In the header of the chain's last object; nil as long as `previous` is not its end.
    private func settle(
        _ key: ObjectKey, _ bytes: [UInt8], _ entries: [LogEntry], _ previous: LogPosition, chainTerm: UInt64?
    ) async throws(Failure) -> Settlement {
        let there: StoredBytes
        do throws(ObjectStoreError) {
            there = try await store.get(key, bytes: nil)
        } catch {
            return error.code == .notFound ? .absent : .unknown("\(error)")
        }
        if there.bytes == bytes {
            note(outage: nil)
            return .done
        }
        let object: LogObject
        do throws(LogError) {
            object = try LogObject(there.bytes, key: key, databaseID: databaseID)
        } catch {
            throw Failure(description: "\(key) is not what this node wrote: \(error)")
        }
        if object.header.term > term {
            throw Failure(
                description: "a node with term \(object.header.term) writes the log in the object store",
                deposedBy: object.header.term)
        }
        guard let chainTerm else { return .later }
        guard object.header.previous == previous, object.header.term >= chainTerm else {
            return .replace(there.info.version)
        }
        // From an upload of an earlier run that landed late: the same entries, perhaps fewer.
        guard entries.starts(with: object.entries) else {
            throw Failure(
                description: "\(key) holds entries \(object.header.firstIndex) to \(object.end.index) which this node "
                    + "does not have: another node writes to this prefix, or this one must be started again")
        }
        note(outage: nil)
        return .partly(object.end, object.header.term)
    }

    private func note(outage: String?) {
        let (before, changed): (String?, Bool) = state.withLock { state in
            defer { state.outage = outage }
            return (state.outage, (state.outage == nil) != (outage == nil))
        }
        guard changed else { return }
        if let outage {
            logger.warning("the log cannot be uploaded at the moment", metadata: ["error": "\(outage)"])
        } else {
            logger.notice("the log is uploaded again", metadata: ["error.before": "\(before ?? "")"])
        }
        onOutage(outage != nil)
    }

    private func finish(_ number: UInt64, _ outcome: Outcome) {
        let end = state.withLock { state in
            if let index = state.flights.firstIndex(where: { $0.number == number }) {
                state.flights[index].outcome = outcome
                let time = timer.clock.now - state.flights[index].begin
                state.pacing.ended(after: time)
                statistics?.uploaded(state.flights[index].batches.reduce(0) { $0 + $1.size }, after: time)
            }
            while let first = state.flights.first, let outcome = first.outcome, state.failure == nil {
                for batch in first.batches { state.released.append(batch) }
                state.pacing.answered(first.end.index - state.end.index)
                if let version = outcome.version {
                    let size = first.batches.reduce(0) { $0 + $1.size }
                    state.objects.append(Object(previous: state.end, end: first.end, size: size, version: version))
                }
                state.end = first.end
                state.endTerm = outcome.term
                trail?.uploaded(to: first.end)
                state.flights.removeFirst()
            }
            return state.end
        }
        state.broadcast()
        onStored(end)
    }

    private func fail(_ failure: Failure) {
        let isFirst = state.withLock { state in
            guard state.failure == nil else { return false }
            state.failure = failure
            for batch in state.flights.flatMap(\.batches) + state.waiting { state.dropped.append(batch) }
            state.flights = []
            state.waiting = []
            state.waitingSize = 0
            return true
        }
        state.broadcast()
        if isFirst { onFailure(failure) }
    }
}
