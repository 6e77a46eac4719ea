import Synchronization

/// Hands committed changes to watches.
///
/// `publish` only queues references and never waits for a consumer or for the engine. A watch whose stream is full,
/// or that starts in the past, is served by the hub's own thread from a ring of recent events or from the source, in
/// bounded portions, until it has caught up. Every watch gets each change that it asked for exactly once, in revision
/// order, all of one revision together, or is told that it ended.
///
/// Reading from the source takes processor time, and so does sending what was read, much more than what is published at the
/// same time. So while something is published the thread reads nothing for a while after each portion, unless watches would
/// fall further behind.
package final class WatchHub: Sendable {
    /// Readings of history.
    package let statistics = WatchStatistics()
    private weak let source: (any WatchSource)?
    private let clock: any ElapsedClock
    private let state: Mutex<WatchHubState>
    private let worker: Mutex<SignalledThread?>

    /// Makes a hub that continues from the source's revision; changes at or below it count as published.
    ///
    /// The hub does not keep the source alive; without it watches are refused and catching up ends.
    package init(
        source: any WatchSource, settings: WatchSettings = WatchSettings(), clock: any ElapsedClock = BootClock()
    ) {
        self.source = source
        self.clock = clock
        state = Mutex(
            WatchHubState(
                settings: settings, published: source.revision.rawValue,
                compacted: source.compactedRevision.rawValue))
        worker = Mutex(nil)
    }

    /// Starts the thread for catching up and progress notices; it holds the hub until `stop`.
    package func start() {
        worker.withLock { worker in
            guard worker == nil else { return }
            let thread = SignalledThread(name: "t4-watch") { self.step() }
            worker = thread
            thread.start()
        }
    }

    /// Ends the thread; waits for a read that is under way. Watches are not cancelled, see `close`.
    package func stop() {
        let thread = worker.withLock { $0 }
        thread?.stop()
    }

    /// Cancels all watches with `.stopped` and refuses new ones; streams can still be drained.
    package func close() { perform(state.withLock { $0.close() }) }

    /// Numbers for metrics.
    package var counts: WatchCounts { state.withLock { $0.counts } }

    /// Watches of more than one key, and changes that were queued for watches since the start, once for each.
    package var totals: (ranges: Int, changes: Int) { state.withLock { ($0.rangeCount, $0.eventCount) } }

    /// Delivers changes that have become visible, in revision order, all with the version before loaded.
    ///
    /// Called from one thread at a time, after the source's revision has reached the changes. Revisions that were
    /// published before are ignored.
    package func publish(_ batch: [RevisionEvents]) { perform(state.withLock { $0.publish(batch) }) }

    /// Tells that history below `revision` is gone; watches that still need it are cancelled.
    package func compacted(to revision: Revision) { perform(state.withLock { $0.compact(to: revision.rawValue) }) }

    /// Opens a group of watches whose messages share one queue.
    ///
    /// `sink` is called without a lock held, from any thread, when the queue has become non-empty; it should arrange
    /// for `drain` to be called until that returns nothing. It may come once too often, never too seldom.
    /// - Returns: Nil when the hub is closed.
    package func openStream(sink: @escaping @Sendable () -> Void) -> WatchStream? {
        let now = clock.now
        let id = state.withLock { $0.openStream(now: now, sink: sink) }
        return id.map { WatchStream(hub: self, id: $0) }
    }

    // MARK: For streams

    func create(_ spec: WatchSpec, on stream: Int) -> WatchCreation {
        // Read before locking: the source has locks of its own. What it shows and is not yet published here counts as
        // before the watch.
        guard let source else { return .closed }
        let visible = source.revision.rawValue
        let visibleCompacted = source.compactedRevision.rawValue
        let now = clock.now
        let (creation, effects) = state.withLock {
            $0.create(spec, on: stream, visible: visible, visibleCompacted: visibleCompacted, now: now)
        }
        perform(effects)
        return creation
    }

    func refuse(_ reason: WatchEnd, on stream: Int) {
        let visible = source?.revision.rawValue ?? 0
        perform(state.withLock { $0.refuse(reason, on: stream, visible: visible) })
    }

    func cancel(_ id: Int64, on stream: Int) {
        let visible = source?.revision.rawValue ?? 0
        perform(state.withLock { $0.cancel(id, on: stream, visible: visible) })
    }

    func requestProgress(on stream: Int) { perform(state.withLock { $0.requestProgress(on: stream) }) }

    func drain(_ stream: Int, maxBytes: Int) -> [WatchDelivery] {
        let (deliveries, effects) = state.withLock { $0.drain(stream, maxBytes: maxBytes) }
        perform(effects)
        return deliveries
    }

    func backlog(_ stream: Int) -> (messages: Int, bytes: Int) { state.withLock { $0.backlog(stream) } }

    func close(_ stream: Int) { perform(state.withLock { $0.closeStream(stream) }) }

    // MARK: The worker's work

    /// Sends the progress notices that are due at `now`.
    func tick(now: Duration) { perform(state.withLock { $0.tick(now: now) }) }

    /// Brings some lagging watches forward by one bounded portion of history.
    /// - Returns: False when no watch waits for the worker that may be served now: those that need the source wait while
    ///   reading rests.
    func replayRound() -> Bool {
        let begin = clock.now
        enum Stage {
            case idle
            case done
            case toRead(Replay)
        }
        var (stage, effects) = state.withLock { state -> (Stage, WatchHubState.Effects) in
            var effects = WatchHubState.Effects()
            let mayRead = begin >= state.readsAgainAt
            guard let replay = state.beginReplay(&effects, mayRead: mayRead) else {
                return (mayRead && state.hasReady ? .done : .idle, effects)
            }
            if replay.needsSource { state.beginReading(now: begin) }
            guard replay.isSmall else { return (.toRead(replay), effects) }
            effects.add(state.finishReplay(replay.match()))
            return (.done, effects)
        }
        if case .toRead(var replay) = stage {
            let source = source
            do throws(DatabaseError) {
                let hasRead = replay.needsSource
                let stopwatch = Stopwatch()
                if hasRead {
                    guard let source else { throw DatabaseError(.stopped) }
                    try replay.read(from: source)
                }
                let found = replay.match()
                if hasRead { statistics.read(replay, found, stopwatch) }
                let end = clock.now
                effects.add(
                    state.withLock { state in
                        if hasRead { state.endReading(now: end, revisions: found.through - replay.first + 1) }
                        return state.finishReplay(found)
                    })
            } catch {
                let visible = source?.compactedRevision.rawValue ?? 0
                let failed = replay
                effects.add(state.withLock { $0.failReplay(failed, error, visibleCompacted: visible) })
            }
            stage = .done
        }
        effects.wakesWorker = false
        perform(effects)
        if case .idle = stage { return false }
        return true
    }

    private func step() -> SignalledThread.Next {
        let now = clock.now
        tick(now: now)
        if replayRound() { return .again }
        guard let next = state.withLock({ $0.nextDeadline(after: now) }) else { return .whenWoken }
        return .after(next - now)
    }

    private func perform(_ effects: WatchHubState.Effects) {
        if effects.wakesWorker { worker.withLock { $0 }?.wake() }
        for sink in effects.sinks { sink() }
    }
}
