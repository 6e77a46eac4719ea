/// Everything a watch hub knows; used under the hub's lock only. Methods return what to do after the unlock.
struct WatchHubState {
    /// What is left to do without the lock.
    struct Effects: Sendable {
        /// Streams whose queue has become non-empty.
        var sinks: [StreamState.Sink] = []
        /// The worker has something to do, or its next deadline has changed.
        var wakesWorker = false
        /// Sinks of closed streams, kept so that what they hold is released without the lock.
        var released: [StreamState.Sink] = []

        mutating func add(_ other: Effects) {
            sinks += other.sinks
            released += other.released
            wakesWorker = wakesWorker || other.wakesWorker
        }
    }

    let settings: WatchSettings
    /// The newest revision that was published here; the source may be ahead by what is about to be published.
    var published: Int64
    var compacted: Int64
    var isClosed = false
    var ring: EventRing

    var streams: [Int: StreamState] = [:]
    var watchCount = 0
    /// Watches of more than one key.
    var rangeCount = 0
    /// Changes that were queued for watches, once for each.
    private(set) var eventCount = 0
    /// Bytes of the keys of all watches.
    var keyBytes = 0
    var lagging: [Int: Watch] = [:]
    /// Lagging watches for the worker, oldest request first; may hold gone ones.
    var ready = FIFO<Watch>()
    var index = WatchIndex()
    var progressPending: [Int: StreamState] = [:]
    /// Streams with watches that want progress notices.
    var progressStreams: [Int: StreamState] = [:]
    /// Until then nothing is read from the source.
    private(set) var readsAgainAt = Duration.zero
    private var readingPace: BackgroundPace
    /// `published` at the end of the last reading.
    private var publishedAtReading: Int64
    /// No tick is due before.
    var earliestTick: Duration?
    var lastToken = 0
    var lastStream = 0
    var matches: [Watch] = []
    var random = SystemRandomNumberGenerator()

    init(settings: WatchSettings, published: Int64, compacted: Int64) {
        self.settings = settings
        self.published = published
        self.compacted = compacted
        readingPace = BackgroundPace(restFactor: settings.replayRestFactor)
        publishedAtReading = published
        ring = EventRing(
            after: published, bytesMax: settings.ringBytesMax, revisionsMax: settings.ringRevisionsMax)
    }

    var counts: WatchCounts { WatchCounts(streams: streams.count, watches: watchCount, lagging: lagging.count) }

    // MARK: Publishing

    mutating func publish(_ batch: [RevisionEvents]) -> Effects {
        var effects = Effects()
        for revision in batch where revision.revision.rawValue > published {
            let shared = SharedEvents(revision.events)
            published = revision.revision.rawValue
            ring.append(shared)
            deliver(shared, &effects)
        }
        if !progressPending.isEmpty {
            for stream in Array(progressPending.values) { answerProgress(stream, &effects) }
        }
        return effects
    }

    private mutating func deliver(_ shared: SharedEvents, _ effects: inout Effects) {
        guard watchCount > lagging.count else { return }
        if shared.events.count == 1 {
            let event = shared.events[0]
            matches.removeAll(keepingCapacity: true)
            index.collect(event.current.key, into: &matches)
            for watch in matches where watch.filter.accepts(kind: event.kind) && watch.next <= published {
                offer(shared, to: watch, &effects)
            }
        } else {
            deliverParts(of: shared, &effects)
        }
        matches.removeAll(keepingCapacity: true)
    }

    /// A revision with several events: each watch gets its own choice of them, in one delivery.
    private mutating func deliverParts(of shared: SharedEvents, _ effects: inout Effects) {
        var concerned: [Watch] = []
        for (offset, event) in shared.events.enumerated() {
            matches.removeAll(keepingCapacity: true)
            index.collect(event.current.key, into: &matches)
            for watch in matches where watch.filter.accepts(kind: event.kind) && watch.next <= published {
                if watch.chosen.isEmpty { concerned.append(watch) }
                watch.chosen.append(Int32(offset))
            }
        }
        var parts: [[Int32]: SharedEvents] = [:]
        for watch in concerned {
            let chosen = watch.chosen
            watch.chosen = []
            if chosen.count == shared.events.count {
                offer(shared, to: watch, &effects)
            } else if let part = parts[chosen] {
                offer(part, to: watch, &effects)
            } else {
                let part = SharedEvents(chosen.map { shared.events[Int($0)] })
                parts[chosen] = part
                offer(part, to: watch, &effects)
            }
        }
    }

    /// Queues events of the revision just published, or lets the watch fall behind when the stream is full.
    private mutating func offer(_ shared: SharedEvents, to watch: Watch, _ effects: inout Effects) {
        guard hasRoom(watch.stream) else {
            index.remove(watch)
            watch.next = shared.firstRevision.rawValue
            watch.phase = .blocked
            watch.stream.blocked.append(watch)
            watch.stream.lagging += 1
            lagging[watch.token] = watch
            return
        }
        send(shared, through: published, to: watch, &effects)
    }

    /// A portion is read from the source.
    mutating func beginReading(now: Duration) { readingPace.begin(at: now, progress: published) }

    /// It was read and matched: so many revisions.
    ///
    /// The rest is shared by all that wait. There is none while more is published than read, so that watches catch up at
    /// any rate at which they could without rests.
    mutating func endReading(now: Duration, revisions: Int64) {
        let rest = readingPace.end(at: now, progress: published)
        let waiting = ready.count + 1
        let isGaining = revisions > (published - publishedAtReading) * Int64(waiting)
        publishedAtReading = published
        readsAgainAt = isGaining ? now + rest / waiting : now
    }

    func hasRoom(_ stream: StreamState) -> Bool { stream.queuedBytes < settings.queueBytesMax }

    mutating func send(_ shared: SharedEvents, through revision: Int64, to watch: Watch, _ effects: inout Effects) {
        watch.isIdle = false
        eventCount += shared.events.count
        let events = WatchEvents(
            watchID: watch.id, revision: Revision(revision), shared: shared, previous: watch.previous,
            fragment: watch.fragment)
        enqueue(.events(events), on: watch.stream, &effects)
    }

    func enqueue(_ delivery: WatchDelivery, on stream: StreamState, _ effects: inout Effects) {
        if stream.enqueue(delivery) { effects.sinks.append(stream.sink) }
    }
}
