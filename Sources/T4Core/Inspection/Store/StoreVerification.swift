import T4Protocols

/// One run of a `StoreVerifier`.
final class StoreVerification {
    /// A checkpoint that can be read.
    struct Checkpoint {
        var key: ObjectKey
        var file: ManifestFile
    }

    let store: BlockingStore
    let foreign: @Sendable (String) throws -> BlockingStore
    private let progress: @Sendable (StoreVerifier.Progress) -> Void
    var report = VerificationReport()
    var listing = StoreListing()
    /// How far collections have come; nil before the first one, and where that cannot be read.
    var collection: CollectionState?
    /// Nil when there is nothing that says which database it is.
    var databaseID: DatabaseID?
    var head: Head?
    /// Those that can be read, by the entry they end with.
    var checkpoints: [Checkpoint] = []
    var trail = CheckpointTrail()
    /// Whether there has been one, be it that how far it came cannot be read.
    var hasCollectionState: Bool {
        listing.collection.contains { $0.key == StoreLayout.collectionState }
    }
    /// Checkpoints that somebody may rely on.
    var reliedOn: [Checkpoint] { checkpoints.filter { trail.holds($0) } }

    init(
        _ store: BlockingStore, foreign: @escaping @Sendable (String) throws -> BlockingStore,
        progress: @escaping @Sendable (StoreVerifier.Progress) -> Void
    ) {
        self.store = store
        self.foreign = foreign
        self.progress = progress
    }

    /// The last entry that the log need not hold any more; where that cannot be told, the newest checkpoint's.
    var logCut: UInt64 {
        if let collection { return collection.floor.logIndex }
        return hasCollectionState ? reliedOn.last?.file.checkpoint.index ?? 0 : 0
    }

    /// Takes over how far a collection has come that has gone on since; false when none has.
    func followCollection() throws -> Bool {
        guard let now = try store.find(StoreLayout.collectionState) else { return false }
        do {
            let state = try CollectionState.decode(now.bytes, key: StoreLayout.collectionState)
            guard state.sequence != collection?.sequence else { return false }
            collection = state
            return true
        } catch is CheckpointError {
            // It is damaged, and a problem already.
            return false
        }
    }

    /// Whether a checkpoint is still there.
    func exists(_ key: ObjectKey) throws -> Bool {
        do throws(ObjectStoreError) {
            _ = try store.start { (store) throws(ObjectStoreError) in try await store.info(key) }.wait()
            return true
        } catch {
            if error.code == .notFound { return false }
            throw error
        }
    }

    func start(_ key: ObjectKey) -> BlockingStore.Pending<StoredBytes> {
        store.start { (store) throws(ObjectStoreError) in try await store.get(key, bytes: nil) }
    }

    func forEach<Item>(
        _ what: String, _ items: [Item], start: (Item) throws -> BlockingStore.Pending<StoredBytes>,
        visit: (Item, Result<StoredBytes, any Error>) throws -> Void
    ) throws {
        var done = 0
        try ObjectsAhead.forEach(items, start: start) { item, stored in
            try visit(item, stored)
            done += 1
            note(what, done, of: items.count)
        }
    }

    /// Looks at an object; what is wrong with it becomes a problem.
    /// - Throws: Only what keeps the store from answering.
    func examine(
        _ key: ObjectKey, _ stored: Result<StoredBytes, any Error>, _ body: (StoredBytes) throws -> Void,
        missing: () throws -> Void = {}
    ) throws {
        let found = try problems(key, stored) { stored in
            try body(stored)
            return []
        } missing: {
            try missing()
            return []
        }
        for what in found { problem(key, what) }
    }

    /// What is wrong with an object; that it is of a later version goes to the report at once.
    /// - Throws: Only what keeps the store from answering.
    func problems(
        _ key: ObjectKey, _ stored: Result<StoredBytes, any Error>, _ body: (StoredBytes) throws -> [String],
        missing: () throws -> [String]
    ) throws -> [String] {
        do {
            return try body(stored.get())
        } catch let error as ObjectStoreError where error.code == .notFound {
            return try missing()
        } catch let error as ObjectStoreError
            where ![.corrupted, .permissionDenied, .unsupported].contains(error.code)
        {
            throw error
        } catch {
            guard StoreVerification.isOfLaterVersion(error) else { return ["\(error)"] }
            report.later.append(.init(object: key.rawValue, what: "\(error)"))
            return []
        }
    }

    private static func isOfLaterVersion(_ error: any Error) -> Bool {
        (error as? CheckpointError)?.code == .laterVersion || (error as? LogError)?.code == .unsupported
            || (error as? ObjectStoreError)?.code == .unsupported
    }

    func checkDatabase(_ object: some SealedObject, _ key: ObjectKey) {
        guard let databaseID, object.database != "\(databaseID)" else { return }
        problem(key, "belongs to database \(object.database), not to \(databaseID)")
    }

    func note(_ what: String, _ done: Int, of all: Int) {
        progress(StoreVerifier.Progress(what: what, done: done, all: all))
    }

    func problem(_ key: ObjectKey, _ what: String) { report.problems.append(.init(object: key.rawValue, what: what)) }

    func note(_ key: ObjectKey, _ what: String) { report.notes.append(.init(object: key.rawValue, what: what)) }
}
