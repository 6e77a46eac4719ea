import Logging
import Synchronization
public import T4Protocols

/// A store in a folder, on a disk or on a file system that several machines share.
///
/// A put is whole and on the disk when it returns; conditions are atomic between all threads and processes that use the
/// folder. Each put gives a random version, also one of equal bytes. Layout: `docs/formats.md`.
///
/// Calls block on the disk only on threads of this store. What a cancelled task had begun is finished.
public final class FilesystemStore: ObjectStore {
    /// Conditions are kept where the file system is known to be coherent, or where the settings say so.
    public let capabilities: ObjectStoreCapabilities

    private let lanes: BlockingLanes
    /// Nil once the store is closed.
    private let directory: SharedDirectory

    /// `Mutex` cannot be copied into the closures that use it.
    private final class SharedDirectory: Sendable {
        let value: Mutex<StoreDirectory?>
        init(_ directory: StoreDirectory) { value = Mutex(directory) }
    }

    /// Opens the store that the settings name, or makes it; removes what writers that died left half made.
    /// - Throws: `.invalidArgument` when the folder holds something else; `.unsupported` for a format of another
    ///   version, or when the file system lacks locks; `.permissionDenied`, `.noSpace`, `.unavailable`.
    public init(_ settings: FilesystemStoreSettings, context: StoreContext) async throws(ObjectStoreError) {
        let path = settings.path ?? "\(context.dataDirectory)/store"
        let lanes = BlockingLanes(count: settings.threads)
        let directory = try await lanes.run { () throws(ObjectStoreError) in
            try StoreDirectory(path: path, conditionalPuts: settings.conditionalPuts)
        }
        if directory.leftoverCount > 0 {
            context.logger.info(
                "removed half-made objects of writers that died",
                metadata: ["store.path": "\(path)", "store.leftovers": "\(directory.leftoverCount)"])
        }
        if !directory.keepsConditions {
            context.logger.notice(
                "conditional puts are off: the file system is not known to be coherent, or the settings say so",
                metadata: ["store.path": "\(path)", "store.conditional_puts": "\(settings.conditionalPuts.rawValue)"])
        }
        capabilities = ObjectStoreCapabilities(
            putsIfAbsent: directory.keepsConditions, putsIfUnchanged: directory.keepsConditions, isDurable: true)
        self.lanes = lanes
        self.directory = SharedDirectory(directory)
    }

    /// Reads an object or a part of it, all from the same put.
    public func get(_ key: ObjectKey, bytes: Range<UInt64>?) async throws(ObjectStoreError) -> StoredBytes {
        try key.checkAsName()
        return try await run { directory throws(ObjectStoreError) in try directory.get(key, bytes: bytes) }
    }

    /// Size and version of an object.
    public func info(_ key: ObjectKey) async throws(ObjectStoreError) -> ObjectInfo {
        try key.checkAsName()
        return try await run { directory throws(ObjectStoreError) in try directory.info(key) }
    }

    /// Writes an object under a condition.
    /// - Throws: Also `.noSpace` and `.permissionDenied`, nothing was changed; `.invalidArgument` when the file of the
    ///   payload cannot be read.
    public func put(
        _ key: ObjectKey, _ payload: Payload, when condition: PutCondition
    ) async throws(ObjectStoreError) -> ObjectVersion {
        try key.checkAsName()
        return try await run { directory throws(ObjectStoreError) in
            try directory.put(key, payload, when: condition)
        }
    }

    /// One page of names in byte order.
    public func list(prefix: ObjectKey, after: ObjectKey?, limit: Int) async throws(ObjectStoreError) -> ListPage {
        try prefix.checkAsPrefix()
        try after?.checkAsPrefix()
        try ListPage.check(limit: limit)
        return try await run { directory throws(ObjectStoreError) in
            try directory.list(prefix: prefix, after: after, limit: limit)
        }
    }

    /// Deletes objects; on the disk when it returns.
    public func delete(_ keys: [ObjectKey]) async throws(ObjectStoreError) {
        for key in keys { try key.checkAsName() }
        try await run { directory throws(ObjectStoreError) in try directory.delete(keys) }
    }

    /// Waits for the calls that have begun, then lets go of files and locks.
    public func close() async {
        await lanes.stop { [directory] in directory.value.withLock { $0 = nil } }
    }

    private func run<Result: Sendable>(
        _ work: @escaping @Sendable (StoreDirectory) throws(ObjectStoreError) -> Result
    ) async throws(ObjectStoreError) -> Result {
        try await lanes.run { [directory] () throws(ObjectStoreError) in
            // Never nil on a lane: `close` lets go after the last call.
            guard let directory = directory.value.withLock({ $0 }) else {
                throw ObjectStoreError(.closed, "the filesystem store was closed")
            }
            return try work(directory)
        }
    }
}
