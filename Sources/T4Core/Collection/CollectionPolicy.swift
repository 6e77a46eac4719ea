/// What a collection keeps.
public struct CollectionPolicy: Hashable, Sendable {
    /// How many of the newest checkpoints are kept; at least 1.
    public var keep: Int
    /// How far back every moment can be restored.
    public var retain: Duration

    /// - Parameters:
    ///   - keep: Less than 1 counts as 1.
    ///   - retain: Zero for nothing but the checkpoints; less counts as zero.
    public init(keep: Int = 3, retain: Duration = .seconds(24 * 60 * 60)) {
        self.keep = max(1, keep)
        self.retain = max(.zero, retain)
    }
}

/// What a collection did, or would do.
public struct CollectionReport: Hashable, Sendable {
    /// Checkpoints that were deleted.
    public internal(set) var checkpointCount = 0
    /// Tables that were deleted: no checkpoint that is kept uses them.
    public internal(set) var tableCount = 0
    /// Objects of the log that were deleted.
    public internal(set) var logObjectCount = 0
    /// Bytes of the tables and the objects of the log.
    public internal(set) var deletedSize: UInt64 = 0
    /// Checkpoints that are kept: the newest ones, those for restores to any moment, pinned ones.
    public internal(set) var keptCheckpointCount = 0
    /// Names of the pins that were met. Each keeps its checkpoint, and perhaps the log behind it, until it is removed.
    public internal(set) var pins: [String] = []
    /// Names of pins that keep nothing: whoever wrote them died before it could see that their checkpoint was gone.
    public internal(set) var lapsedPins: [String] = []
    /// The last entry that the log in the store does not go back to any more; 0 while nothing of it was deleted.
    public internal(set) var logCutIndex: UInt64 = 0
}
