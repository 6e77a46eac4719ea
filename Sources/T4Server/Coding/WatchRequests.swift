/// `etcdserverpb.WatchCreateRequest` with its values as they stand on the wire.
package struct WatchCreation: Hashable, Sendable {
    /// First key; empty is read as one zero byte.
    package var key: [UInt8] = []
    /// As in `RangeRequest`.
    package var rangeEnd: [UInt8] = []
    /// First revision to deliver; 0: from now on.
    package var startRevision: Int64 = 0
    /// Wants to hear of the revision when there are no events.
    package var progressNotify = false
    /// Leaves out the writes.
    package var skipsPuts = false
    /// Leaves out the deletions.
    package var skipsDeletes = false
    /// Wants the version before each change.
    package var previous = false
    /// The id that the client wants; 0: the server chooses.
    package var watchID: Int64 = 0
    /// Allows a revision to come in several answers.
    package var fragment = false

    /// A watch of one key from now on.
    package init() {}

    /// Decodes `etcdserverpb.WatchCreateRequest`. Filters that do not exist filter nothing, as in etcd.
    /// - Throws: `.malformed`.
    package init(protobuf bytes: RawSpan) throws(WireFailure) {
        try merge(bytes)
    }

    mutating func merge(_ bytes: RawSpan) throws(WireFailure) {
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x0A: key = try bytes.nextBytes()
            case 0x12: rangeEnd = try bytes.nextBytes()
            case 0x18: startRevision = try bytes.nextInt64()
            case 0x20: progressNotify = try bytes.nextBool()
            case 0x28: addFilter(try bytes.nextEnum())
            case 0x2A:
                try bytes.nextMessage { (packed) throws(WireFailure) in
                    while !packed.isEmpty { addFilter(try packed.nextEnum()) }
                }
            case 0x30: previous = try bytes.nextBool()
            case 0x38: watchID = try bytes.nextInt64()
            case 0x40: fragment = try bytes.nextBool()
            default: try bytes.skipField(tag)
            }
        }
    }

    private mutating func addFilter(_ number: Int32) {
        switch number {
        case 0: skipsPuts = true
        case 1: skipsDeletes = true
        default: break
        }
    }
}

/// `etcdserverpb.WatchRequest`: what a client says on a watch stream.
package enum WatchStreamRequest: Hashable, Sendable {
    /// Begin a watch.
    case create(WatchCreation)
    /// End the watch of this id.
    case cancel(Int64)
    /// Say the revision up to which the stream is complete.
    case progress
    /// A message without content, which etcd ignores.
    case empty

    /// Decodes `etcdserverpb.WatchRequest`.
    /// - Throws: `.malformed`.
    package init(protobuf bytes: RawSpan) throws(WireFailure) {
        self = .empty
        var bytes = bytes
        while let tag = try bytes.nextTag() {
            switch tag {
            case 0x0A:
                var creation = if case .create(let creation) = self { creation } else { WatchCreation() }
                try bytes.nextMessage { (message) throws(WireFailure) in try creation.merge(message) }
                self = .create(creation)
            case 0x12:
                var id: Int64 = if case .cancel(let id) = self { id } else { 0 }
                try bytes.nextMessage { (message) throws(WireFailure) in
                    while let tag = try message.nextTag() {
                        if tag == 0x08 { id = try message.nextInt64() } else { try message.skipField(tag) }
                    }
                }
                self = .cancel(id)
            case 0x1A:
                try bytes.nextMessage { (message) throws(WireFailure) in
                    while let tag = try message.nextTag() { try message.skipField(tag) }
                }
                self = .progress
            default: try bytes.skipField(tag)
            }
        }
    }
}
