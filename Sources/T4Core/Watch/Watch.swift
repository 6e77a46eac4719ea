/// The keys that a watch is about, in comparable form.
struct WatchedRange: Hashable, Sendable {
    enum Extent: Hashable, Sendable {
        case key
        case toEnd
        case before([UInt8])
    }

    var key: [UInt8]
    var extent: Extent

    /// Reads the fields as etcd does; nil when the range holds no key.
    init?(key: [UInt8], rangeEnd: [UInt8]) {
        let key = key.isEmpty ? [0] : key
        self.key = key
        if rangeEnd.isEmpty {
            extent = .key
        } else if rangeEnd == [0] {
            extent = .toEnd
        } else if key.lexicographicallyPrecedes(rangeEnd) {
            extent = .before(rangeEnd)
        } else {
            return nil
        }
    }

    /// Bytes of its keys.
    var byteCount: Int {
        if case .before(let end) = extent { key.count + end.count } else { key.count }
    }

    func contains(_ other: [UInt8]) -> Bool {
        switch extent {
        case .key: key == other
        case .toEnd: !other.lexicographicallyPrecedes(key)
        case .before(let end): !other.lexicographicallyPrecedes(key) && other.lexicographicallyPrecedes(end)
        }
    }
}

/// The part of a watch that decides which events it gets; equal filters see equal events.
struct WatchFilter: Hashable, Sendable {
    var range: WatchedRange
    var noPut: Bool
    var noDelete: Bool

    func accepts(kind: Event.Kind) -> Bool {
        switch kind {
        case .put: !noPut
        case .delete: !noDelete
        }
    }

    func accepts(_ event: Event) -> Bool { accepts(kind: event.kind) && range.contains(event.current.key) }
}

/// One watch. Lives inside the hub's lock.
final class Watch {
    enum Phase {
        /// In the index: gets what is published.
        case synced
        /// Behind; waits until its stream has room.
        case blocked
        /// Behind; waits for the worker.
        case ready
        /// Behind; the worker reads for it.
        case replaying
        /// Cancelled.
        case gone
    }

    let token: Int
    let id: Int64
    let filter: WatchFilter
    let previous: Bool
    let progressNotify: Bool
    let fragment: Bool
    unowned let stream: StreamState
    /// The hub's revision must have come here before progress may be told.
    let progressFloor: Int64

    var phase = Phase.synced
    /// First revision to queue. Exact while behind; while synced a lower bound, above what is published only if the
    /// watch starts in the future.
    var next: Int64
    /// No events were queued since the last progress tick.
    var isIdle = true
    /// Place in its list of the index.
    var slot = -1
    /// Events of the revision being published that this watch gets; empty in between.
    var chosen: [Int32] = []

    init(token: Int, id: Int64, filter: WatchFilter, spec: WatchSpec, stream: StreamState, next: Int64, floor: Int64) {
        self.token = token
        self.id = id
        self.filter = filter
        previous = spec.previous
        progressNotify = spec.progressNotify
        fragment = spec.fragment
        self.stream = stream
        self.next = next
        progressFloor = floor
    }
}

/// The watches and the outgoing queue of one stream. Lives inside the hub's lock.
final class StreamState {
    typealias Sink = @Sendable () -> Void

    let id: Int
    let sink: Sink
    var watches: [Int64: Watch] = [:]
    var nextID: Int64 = 0
    /// Ids of watches that a compaction ended: as in etcd they stay in use until the client cancels them.
    var compactedIDs: Set<Int64> = []
    /// Number of watches that are behind.
    var lagging = 0
    /// Watches that wait for room; may hold gone ones.
    var blocked: [Watch] = []
    /// A progress request waits for the watches to catch up.
    var isProgressPending = false
    /// Highest `progressFloor` of the watches.
    var progressFloor: Int64 = 0
    var nextTick: Duration

    private var queue = FIFO<(delivery: WatchDelivery, bytes: Int)>()
    private(set) var queuedBytes = 0

    init(id: Int, nextTick: Duration, sink: @escaping Sink) {
        self.id = id
        self.nextTick = nextTick
        self.sink = sink
    }

    func isInUse(_ id: Int64) -> Bool { watches[id] != nil || compactedIDs.contains(id) }

    var isQueueEmpty: Bool { queue.isEmpty }
    var queuedCount: Int { queue.count }

    /// Queues a message.
    /// - Returns: True when the consumer must be told: the queue was empty.
    func enqueue(_ delivery: WatchDelivery) -> Bool {
        let wasEmpty = queue.isEmpty
        var bytes = 64
        if case .events(let events) = delivery { bytes += events.shared.byteCount }
        queue.append((delivery, bytes))
        queuedBytes += bytes
        return wasEmpty
    }

    /// Takes messages until `maxBytes` is passed, at least one if there is any.
    func drain(maxBytes: Int) -> [WatchDelivery] {
        var result: [WatchDelivery] = []
        var taken = 0
        while result.isEmpty || taken < maxBytes, let item = queue.popFirst() {
            result.append(item.delivery)
            taken += item.bytes
        }
        queuedBytes -= taken
        return result
    }
}
