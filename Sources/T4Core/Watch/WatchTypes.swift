/// What a client asks to watch, with the values as they stand on the wire.
package struct WatchSpec: Hashable, Sendable {
    /// First key; empty is read as one zero byte.
    package var key: [UInt8]
    /// Empty: only `key`; one zero byte: all keys from `key`; else the first key after the range.
    package var rangeEnd: [UInt8]
    /// First revision to deliver; 0 for what comes after now.
    package var startRevision: Int64
    /// Leaves out puts.
    package var noPut: Bool
    /// Leaves out deletions.
    package var noDelete: Bool
    /// Delivers the version before each change.
    package var previous: Bool
    /// Sends progress notices while idle.
    package var progressNotify: Bool
    /// Lets the server split large responses; only handed through.
    package var fragment: Bool
    /// The client's own id; 0 lets the stream choose.
    package var id: Int64

    package init(
        key: [UInt8], rangeEnd: [UInt8] = [], startRevision: Int64 = 0, noPut: Bool = false, noDelete: Bool = false,
        previous: Bool = false, progressNotify: Bool = false, fragment: Bool = false, id: Int64 = 0
    ) {
        self.key = key
        self.rangeEnd = rangeEnd
        self.startRevision = startRevision
        self.noPut = noPut
        self.noDelete = noDelete
        self.previous = previous
        self.progressNotify = progressNotify
        self.fragment = fragment
        self.id = id
    }
}

/// Why a watch does not begin or does not go on. The server's table has the texts.
package enum WatchEnd: Hashable, Sendable {
    /// The client cancelled it; etcd gives no reason text.
    case requested
    /// What it needs next lies below this compacted revision; etcd gives no reason text but the revision.
    case compacted(Revision)
    /// A negative start revision; etcd's text is the one of a compacted revision.
    case negativeStart
    /// The range holds no key.
    case emptyRange
    /// The client chose an id that is in use on the stream.
    case duplicateID
    /// The caller of `refuse` knows why; the text is for the client.
    case refused(String)
    /// The history could not be read.
    case failed(DatabaseError)
    /// The hub was closed.
    case stopped
}

/// One message of a watch stream, in the order in which it has to be sent.
package enum WatchDelivery: Sendable {
    /// The watch exists; it delivers what comes after `revision` unless an earlier start was asked for.
    case created(watchID: Int64, revision: Revision)
    /// A creation was refused: created and canceled at once, with id -1.
    case refused(WatchEnd, revision: Revision)
    /// The watch is gone. `revision` is for the header, `.none` after a compaction.
    case canceled(watchID: Int64, WatchEnd, revision: Revision)
    /// Changes; everything the watch wants up to `revision` has now been delivered.
    case events(WatchEvents)
    /// Everything up to `revision` was delivered before this; id -1 speaks for all watches of the stream.
    case progress(watchID: Int64, revision: Revision)
}

/// Changes for one watch.
package struct WatchEvents: Sendable {
    /// The watch.
    package var watchID: Int64
    /// For the header; at or above every event's revision.
    package var revision: Revision
    /// The changes, shared with other watches. The versions before may be present although not asked for.
    package var shared: SharedEvents
    /// Whether the client asked for the versions before.
    package var previous: Bool
    /// Whether the client accepts split responses.
    package var fragment: Bool
}

/// What became of a creation; the answer to the client is in the queue in every case but `.closed`.
package enum WatchCreation: Hashable, Sendable {
    /// The id of the new watch.
    case created(Int64)
    /// Why there is none.
    case refused(WatchEnd)
    /// The stream or the hub is closed; nothing was queued.
    case closed
}

/// Numbers for metrics.
package struct WatchCounts: Hashable, Sendable {
    /// Open streams.
    package var streams = 0
    /// Living watches.
    package var watches = 0
    /// Watches that are behind and catch up from history.
    package var lagging = 0
}

/// Limits of a watch hub.
package struct WatchSettings: Hashable, Sendable {
    /// A stream takes no more events while this many bytes are queued (passed by at most one delivery).
    package var queueBytesMax = 4 << 20
    /// Bytes of recent events kept for watches that fall behind or start a little in the past.
    package var ringBytesMax = 16 << 20
    /// Revisions kept, see `ringBytesMax`.
    package var ringRevisionsMax = 8192
    /// Bytes of history read and delivered at a time to a watch that catches up.
    package var replayBytesMax = 1 << 20
    /// Rest after each portion of history that was read while something is published, in multiples of the time it took.
    package var replayRestFactor = 12
    /// Watches that there may be; further ones are refused.
    package var watchesMax = 1_000_000
    /// Bytes of the keys that all watches together may be about; further ones are refused.
    package var keyBytesMax = 256 << 20
    /// Idle time after which a watch that asked for progress notices gets one; a tenth of jitter is added.
    package var progressInterval = Duration.seconds(600)

    package init() {}
}
