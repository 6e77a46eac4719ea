public import T4Protocols

/// A state of a database that its object store keeps.
public struct RestorePoint: Sendable {
    /// Which state.
    public enum Target: Hashable, Sendable {
        /// That of the newest checkpoint.
        case latestCheckpoint
        /// That of the checkpoint with this manifest.
        case checkpoint(ObjectKey)
        /// That of the last log entry in the store.
        case end
        /// That after the entry which made the revision.
        case revision(Revision)
        /// Time.
        case time(UInt64)
    }
}
