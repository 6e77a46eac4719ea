import T4Protocols

extension Node {
    /// What an operator wants to know of the object store.
    public struct StoreStatus: Hashable, Sendable {
        /// Index of the last entry that is in the store, with everything before it.
        public var uploadedIndex: UInt64
        /// Entries that are not in the store yet.
        public var backlogEntries: UInt64
        /// Their bytes.
        public var backlogBytes: Int
        /// How long the first of them waits; zero where there are none.
        public var backlogAge: Duration
        /// Why uploads fail at the moment; nil while they succeed.
        public var outage: String?
        /// Index of the last entry that the newest checkpoint covers; 0 when there is none.
        public var checkpointIndex: UInt64
        /// Why the last checkpoint could not be made; nil after one that could.
        public var checkpointFailure: String?
    }

    /// How the node stands with its object store; nil without one.
    public var storeStatus: StoreStatus? {
        guard let duties = side.storeDuties, let checkpointer else { return nil }
        let (uploads, checkpoints) = (duties.uploader.status, checkpointer.status)
        return StoreStatus(
            uploadedIndex: uploads.end.index, backlogEntries: uploads.backlogCount,
            backlogBytes: uploads.backlogSize, backlogAge: uploads.backlogAge ?? .zero, outage: uploads.outage,
            checkpointIndex: checkpoints.covered,
            checkpointFailure: checkpoints.failure)
    }

    /// Makes a checkpoint of everything visible now, and removes what the local log need not keep any more.
    ///
    /// Waits until the log is in the store.
    /// - Returns: The name of the checkpoint's object; nil when nothing came since the newest one.
    /// - Throws: `DatabaseError` `.stopped` for a node that stops, `.storeUnavailable` for one without a store; what went
    ///   wrong in the store. The node works on.
    @discardableResult
    public func checkpoint() async throws -> String? {
        guard let checkpointer else { throw DatabaseError(.storeUnavailable, "the node has no object store") }
        let outcome = FirstValue<Result<CheckpointWriter.Written?, any Error>>()
        checkpointer.request { outcome.give($0) }
        return try await outcome.wait().get()?.key.rawValue
    }
}
