public import T4Protocols

/// What a restore will do, found out by reading the log behind the checkpoint up to its last entry.
public struct RestorePlan: Hashable, Sendable {
    /// The checkpoint that a restore begins with.
    public struct Checkpoint: Hashable, Sendable {
        /// Name of its manifest.
        public var key: ObjectKey
        /// The last log entry that it holds.
        public var end: LogPosition
        /// Its revision.
        public var revision: Revision
        /// Commit time of its last entry, in nanoseconds since 1970.
        public var time: UInt64
        /// Tables to read.
        public var tableCount: Int
        /// Bytes of these tables in the store.
        public var size: UInt64
    }

    /// Id of the database that it comes from, 32 hexadecimal digits.
    public var databaseID: String
    /// Whether the restored directory belongs to that database. If not it is a new one, with an id of its own.
    public var keepsDatabase: Bool
    /// The checkpoint to begin with; nil when all comes from the log, which then reaches back to the first entry.
    public var checkpoint: Checkpoint?
    /// Entries of the log to replay on top of it.
    public var entryCount: UInt64
    /// Bytes of these entries in the log.
    public var entrySize: UInt64
    /// The last entry whose changes are in.
    public var end: LogPosition
    /// Revision of the database after that entry.
    public var revision: Revision
    /// Commit time of that entry, in nanoseconds since 1970.
    public var time: UInt64
    /// With a bumped revision, the one that the restored database stands at, compacted up to there.
    public var bumpedRevision: Revision?
    /// What an operator should know, one sentence each: damaged checkpoints that were passed over, for instance.
    public var warnings: [String]
}

/// How far a restore is.
public struct RestoreProgress: Hashable, Sendable {
    /// Tables of the checkpoint that were read.
    public var tablesDone = 0
    /// Tables of the checkpoint.
    public var tablesAll: Int
    /// Entries of the log that were replayed.
    public var entriesDone: UInt64 = 0
    /// Entries of the log to replay.
    public var entriesAll: UInt64
    /// Bytes read from the store so far, planning included.
    public var bytesRead: UInt64 = 0
}
