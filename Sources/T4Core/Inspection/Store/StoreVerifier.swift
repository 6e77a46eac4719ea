import T4Protocols

/// Reads everything of a database in its object store and checks it, whatever else is damaged.
///
/// Changes nothing, and may run beside a node and beside a collection: what they remove meanwhile is not missed. What the
/// last upload before a loss has added cannot be told from what was never uploaded: an end of the log that is gone is not
/// found unless a checkpoint lies behind it.
package struct StoreVerifier: Sendable {
    /// Whose digests are added up from all rows and compared.
    package enum Depth: Hashable, Sendable {
        /// Nobody's: every object is intact and belongs to the others.
        case objects
        /// The newest checkpoint's.
        case newestState
        /// Every checkpoint's, and what the log makes of it up to the next one. Keeps in memory what changed between two.
        case allStates
    }

    /// How far the work is.
    package struct Progress: Hashable, Sendable {
        package var what: String
        package var done: Int
        package var all: Int
    }

    private let store: BlockingStore
    private let depth: Depth
    private let foreign: @Sendable (String) throws -> BlockingStore
    private let progress: @Sendable (Progress) -> Void

    /// - Parameters:
    ///   - foreign: Gives the store under another prefix, for tables of a branch.
    ///   - progress: Hears of each object or state that is done; called on the thread of `run`.
    package init(
        _ store: BlockingStore, depth: Depth, foreign: @escaping @Sendable (String) throws -> BlockingStore,
        progress: @escaping @Sendable (Progress) -> Void = { _ in }
    ) {
        self.store = store
        self.depth = depth
        self.foreign = foreign
        self.progress = progress
    }

    /// Verifies everything. Blocks; see `BlockingStore`.
    /// - Throws: Whatever keeps the store from answering. What is wrong with objects is in the report.
    package func run() throws -> VerificationReport {
        let verification = StoreVerification(store, foreign: foreign, progress: progress)
        try verification.readRoots()
        try verification.readCollection()
        try verification.readManifests()
        try verification.readPins()
        try verification.readTables()
        try verification.readLog()
        switch depth {
        case .objects: break
        case .newestState: try verification.addUpNewestState()
        case .allStates: try verification.addUpStates()
        }
        return verification.report
    }
}

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
    private(set) var listing = StoreListing()
    /// Where collections stood at the start.
    var collection: CollectionState?
    /// Nil when there is nothing that says which database it is.
    private(set) var databaseID: DatabaseID?
    private(set) var head: Head?
    /// Those that can be read, by the entry they end with.
    private(set) var checkpoints: [Checkpoint] = []
    var trail = CheckpointTrail()
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

    // MARK: - Database and head

    func readRoots() throws {
        // The head first: what it names is in the listing, and tables and log after checkpoints, so that theirs are too.
        try readRoot(StoreLayout.head, .head) { head = try Head.decode($0, key: StoreLayout.head) }
        try readRoot(StoreLayout.database, .database) { databaseID = try DatabaseObject.decode($0).id }
        try readRoot(StoreLayout.collectionState, .collection) {
            collection = try CollectionState.decode($0, key: StoreLayout.collectionState)
        }
        try listing.add(of: store)
        if databaseID == nil { databaseID = head.flatMap { DatabaseID(hex: $0.database) } }
        if let head { checkDatabase(head, StoreLayout.head) }
        if let collection { checkDatabase(collection, StoreLayout.collectionState) }
        let isEmpty = listing.checkpoints.isEmpty && listing.log.isEmpty && listing.tables.isEmpty
        if listing.database == nil {
            problem(StoreLayout.database, isEmpty ? "missing: there is no database under this prefix" : "missing")
        }
        if listing.head == nil, !listing.checkpoints.isEmpty {
            // The first checkpoint becomes the newest when its manifest is written.
            listing.checkpoints.count == 1
                ? note(StoreLayout.head, "missing: the first checkpoint is not in use yet")
                : problem(StoreLayout.head, "missing, although there are checkpoints")
        }
        var groups: [String: Int] = [:]
        for object in listing.unknown {
            let name = object.key.rawValue
            groups[name.firstIndex(of: "/").map { String(name[...$0]) } ?? name, default: 0] += 1
        }
        for (name, count) in groups.sorted(by: { $0.key < $1.key }) {
            note(ObjectKey(name), "unknown to this build" + (name.hasSuffix("/") ? ", \(count) objects" : ""))
        }
    }

    func readRoot(_ key: ObjectKey, _ kind: VerificationReport.Kind, _ decode: ([UInt8]) throws -> Void) throws {
        try examine(key, Result { try store.get(key) }) { stored in
            report.count(kind, bytes: stored.bytes.count)
            try decode(stored.bytes)
        }
    }

    // MARK: - Checkpoints

    func readManifests() throws {
        let keys = listing.checkpoints.map(\.key)
        var gone: Set<ObjectKey> = []
        try forEach("checkpoints", keys) { key in
            start(key)
        } visit: { key, stored in
            try examine(key, stored) { stored in
                report.count(.checkpoints, bytes: stored.bytes.count)
                let file = try ManifestFile.decode(stored.bytes, key: key)
                if databaseID == nil { databaseID = DatabaseID(hex: file.checkpoint.database) }
                checkpoints.append(Checkpoint(key: key, file: file))
                for what in ManifestCheck.problems(of: file.checkpoint, key: key, database: databaseID) {
                    problem(key, what)
                }
            } missing: {
                // Collected since it was listed.
                gone.insert(key)
            }
        }
        checkpoints.sort { $0.file.checkpoint.index < $1.file.checkpoint.index }
        trail = CheckpointTrail(
            checkpoints, head: head, hasHead: listing.head != nil, listed: Set(keys), floor: collection?.floor)
        try reportTrail(gone: gone)
        guard let head, let named = checkpoints.first(where: { $0.key.rawValue == head.checkpoint })?.file else {
            return
        }
        let checkpoint = named.checkpoint
        if named.id != head.id
            || (checkpoint.term, checkpoint.index, checkpoint.revision) != (head.term, head.index, head.revision)
        {
            problem(StoreLayout.head, "does not agree with \(head.checkpoint), which it names")
        }
    }

    private func reportTrail(gone: Set<ObjectKey>) throws {
        let missing = trail.missing.merging(trail.names.intersection(gone).map { ($0, "missing") }) { first, _ in first
        }
        let wasCollected = try !missing.isEmpty && hasCollectionMoved()
        for (key, what) in missing.sorted(by: { $0.key < $1.key }) {
            wasCollected ? note(key, "was collected while it was verified") : problem(key, what)
        }
        for checkpoint in checkpoints where !trail.holds(checkpoint) {
            let isNewer = head.map { checkpoint.file.checkpoint.index > $0.index } ?? true
            note(
                checkpoint.key,
                isNewer ? "is not in use yet" : "never became the newest: its writer died, or came too late")
        }
    }

    /// Whether a collection has gone on since the start.
    private func hasCollectionMoved() throws -> Bool {
        guard let now = try store.find(StoreLayout.collectionState) else { return false }
        do {
            let state = try CollectionState.decode(now.bytes, key: StoreLayout.collectionState)
            return state.sequence != collection?.sequence
        } catch is CheckpointError {
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

    // MARK: - Log

    func readLog() throws {
        guard let databaseID else { return }
        var objects: [ChainCheck.Object] = []
        try forEach("log", listing.log.map(\.key)) { key in
            start(key)
        } visit: { key, stored in
            guard let firstIndex = StoreLayout.firstIndex(key) else { return }
            var object = ChainCheck.Object(firstIndex: firstIndex)
            var isThere = true
            try examine(key, stored) { stored in
                report.count(.log, bytes: stored.bytes.count)
                let read = try LogObject(stored.bytes, key: key, databaseID: databaseID)
                object.content = .init(header: read.header, end: read.end)
            } missing: {
                isThere = false
            }
            if isThere { objects.append(object) }
        }
        var check = chainCheck(objects, reliedOn)
        if !check.problems.isEmpty {
            // Only what is still needed can be missed.
            check = chainCheck(objects, try reliedOn.filter { try exists($0.key) })
        }
        for fence in collection?.floor.fences ?? []
        where !listing.log.contains(where: { $0.key == StoreLayout.log(firstIndex: fence) }) {
            problem(StoreLayout.log(firstIndex: fence), "missing: as the first object of its term it keeps others out")
        }
        report.problems += check.problems
        report.notes += check.notes
        report.end = check.end
    }

    private func chainCheck(_ objects: [ChainCheck.Object], _ checkpoints: [Checkpoint]) -> ChainCheck {
        let cut = collection?.floor.logIndex ?? 0
        return ChainCheck(
            objects,
            checkpoints.map { checkpoint in
                let position = checkpoint.file.checkpoint.position
                return .init(key: checkpoint.key, position: position, isPinned: position.index < cut)
            }, isCollected: cut > 0)
    }

    // MARK: - What all have in common

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

    /// What is wrong with an object.
    /// - Throws: Only what keeps the store from answering.
    func problems(
        _ key: ObjectKey, _ stored: Result<StoredBytes, any Error>, _ body: (StoredBytes) throws -> [String],
        missing: () throws -> [String]
    ) throws -> [String] {
        do {
            return try body(stored.get())
        } catch let error as ObjectStoreError where error.code == .notFound {
            return try missing()
        } catch let error as ObjectStoreError where error.code != .corrupted && error.code != .permissionDenied {
            throw error
        } catch {
            return ["\(error)"]
        }
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
