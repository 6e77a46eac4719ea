public import T4Protocols

/// One entry of the log: what is written to disk, sent to peers and put into the object store.
public struct LogEntry: Hashable, Sendable {
    /// What an entry is about. The numbers are part of the log format.
    public struct Kind: RawRepresentable, Hashable, Sendable {
        /// The number in the format.
        public var rawValue: UInt8

        /// Wraps a number of the format.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The first entry of a term; empty body.
        public static let term = Kind(rawValue: 1)
        /// Changes of state, see `MutationList`.
        public static let mutations = Kind(rawValue: 2)
    }

    /// Term and index.
    public var position: LogPosition
    /// Commit wall time in nanoseconds since 1970; never decreasing along the log.
    public var time: UInt64
    /// The revision the entry made; `.none` for entries that make none.
    public var revision: Revision
    /// What the body is.
    public var kind: Kind
    /// The encoded content.
    public var body: [UInt8]

    /// Fills in an entry.
    public init(position: LogPosition, time: UInt64, revision: Revision, kind: Kind, body: [UInt8]) {
        self.position = position
        self.time = time
        self.revision = revision
        self.kind = kind
        self.body = body
    }
}
