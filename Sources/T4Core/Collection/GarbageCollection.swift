public import Logging
public import T4Protocols

/// Deletes what nobody needs any more from the object store of a database.
public enum GarbageCollection {
    /// Runs one collection; safe beside running nodes, restores, branches and other collections.
    ///
    /// What is kept: the newest checkpoints, what restores to any moment of the window need, what is pinned, and what those
    /// checkpoints use. `docs/collection.md` says more.
    /// - Parameters:
    ///   - store: What lies under the prefix of the database.
    ///   - isDryRun: True to find out what would be deleted, and change nothing.
    /// - Throws: When another collection began meanwhile, and when something that may be in use cannot be read; in both
    ///   cases nothing was deleted that is needed, and it may be tried again. `ObjectStoreError` of the store;
    ///   `.unsupported` when it has no conditional puts.
    public static func run(
        in store: any ObjectStore, policy: CollectionPolicy, isDryRun: Bool = false, logger: Logger
    ) async throws -> CollectionReport {
        let capabilities = store.capabilities
        guard capabilities.putsIfAbsent, capabilities.putsIfUnchanged else {
            throw ObjectStoreError(
                .unsupported,
                "a collection needs conditional puts, which this store does not offer; see `t4 verify-store`")
        }
        let outcome = FirstValue<Result<CollectionReport, any Error>>()
        let thread = SystemThread(name: "t4-collect") {
            outcome.give(
                Result {
                    let store = BlockingStore(store)
                    let database = try DatabaseObject.require(store)
                    let collector = Collector(
                        CheckpointStore(store, databaseID: database.id), policy: policy, clock: .system, logger: logger)
                    return try isDryRun ? collector.preview() : collector.collect()
                })
        }
        let result = await outcome.wait()
        thread.join()
        return try result.get()
    }
}
