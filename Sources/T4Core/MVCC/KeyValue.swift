/// One version of a key.
public struct KeyValue: Hashable, Sendable {
    /// The key; never empty.
    public var key: [UInt8]
    /// Revision that made the key, or made it again after its last deletion.
    public var createRevision: Revision
    /// Revision that wrote this version.
    public var modRevision: Revision
    /// Number of writes since creation, from 1; 0 in a deletion event.
    public var version: Int64
    /// The lease the key is attached to; 0 for none.
    public var lease: Int64
    /// The value; may be empty.
    public var value: [UInt8]

    /// Fills in a version of a key.
    public init(
        key: [UInt8], createRevision: Revision, modRevision: Revision, version: Int64, lease: Int64, value: [UInt8]
    ) {
        self.key = key
        self.createRevision = createRevision
        self.modRevision = modRevision
        self.version = version
        self.lease = lease
        self.value = value
    }
}

/// One change of one key.
public struct Event: Hashable, Sendable {
    /// What happened to the key.
    public enum Kind: Hashable, Sendable {
        /// The key was written.
        case put
        /// The key was deleted; `current` holds only key and mod revision.
        case delete
    }

    /// What happened.
    public var kind: Kind
    /// The version that was written; for a deletion only key and mod revision.
    public var current: KeyValue
    /// The version before; nil for a creation, and where it has been compacted.
    public var previous: KeyValue?

    /// Fills in an event.
    public init(kind: Kind, current: KeyValue, previous: KeyValue?) {
        self.kind = kind
        self.current = current
        self.previous = previous
    }
}

/// All events of one revision, in the order of writing.
public struct RevisionEvents: Hashable, Sendable {
    /// The revision that they share.
    public var revision: Revision
    /// At least one.
    public var events: [Event]

    /// Groups the events of one revision.
    public init(revision: Revision, events: [Event]) {
        self.revision = revision
        self.events = events
    }
}
