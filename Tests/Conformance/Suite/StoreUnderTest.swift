public import T4Protocols

/// A store that the rules are run on.
public struct StoreUnderTest: Sendable, CustomStringConvertible {
    /// Name for results.
    public var name: String
    /// What the store is expected to promise.
    public var capabilities: ObjectStoreCapabilities
    /// Size of the bodies of the rules about large ones; at least 1 MiB. Some rules write several.
    public var largeBodyBytes: Int
    /// Makes storage that holds no object and that nobody else uses.
    public var makeStorage: @Sendable () async throws -> StoreStorage

    /// Describes a store and how its storage is made.
    public init(
        name: String, capabilities: ObjectStoreCapabilities, largeBodyBytes: Int = 17 << 20 | 1,
        makeStorage: @escaping @Sendable () async throws -> StoreStorage
    ) {
        self.name = name
        self.capabilities = capabilities
        self.largeBodyBytes = largeBodyBytes
        self.makeStorage = makeStorage
    }

    /// The store's name.
    public var description: String { name }

    /// The same store below a wrapper, which is put around each of its clients.
    public func wrapped(
        _ name: String, _ wrap: @escaping @Sendable (any ObjectStore) -> any ObjectStore
    ) -> StoreUnderTest {
        var wrapped = self
        wrapped.name = "\(name) over \(self.name)"
        wrapped.makeStorage = { [makeStorage] in
            let storage = try await makeStorage()
            return StoreStorage(open: { wrap(try await storage.open()) }, remove: storage.remove)
        }
        return wrapped
    }

    /// Lends fresh, empty storage, removed afterwards.
    func withStorage(_ body: (StoreStorage) async throws -> Void) async throws {
        let storage = try await makeStorage()
        do {
            try await body(storage)
        } catch {
            try await storage.remove()
            throw error
        }
        try await storage.remove()
    }

    /// Lends a client of fresh, empty storage, closed afterwards.
    func withStore(_ body: (any ObjectStore) async throws -> Void) async throws {
        try await withStorage { storage in try await storage.withClient(body) }
    }

    /// Lends two clients of the same fresh, empty storage, closed afterwards.
    func withTwoStores(_ body: (any ObjectStore, any ObjectStore) async throws -> Void) async throws {
        try await withStorage { storage in
            try await storage.withClient { first in
                try await storage.withClient { second in try await body(first, second) }
            }
        }
    }
}

/// Storage of one store: a folder, a bucket or a part of one.
public struct StoreStorage: Sendable {
    /// Makes a client of the storage; called again for a second one beside it, and for one after it was closed.
    public var open: @Sendable () async throws -> any ObjectStore
    /// Removes all that is left in the storage, after its clients were closed.
    public var remove: @Sendable () async throws -> Void

    /// Describes storage.
    public init(
        open: @escaping @Sendable () async throws -> any ObjectStore,
        remove: @escaping @Sendable () async throws -> Void
    ) {
        self.open = open
        self.remove = remove
    }

    func withClient(_ body: (any ObjectStore) async throws -> Void) async throws {
        let store = try await open()
        do {
            try await body(store)
        } catch {
            await store.close()
            throw error
        }
        await store.close()
    }
}
