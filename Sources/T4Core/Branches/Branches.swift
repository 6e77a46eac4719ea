public import T4Protocols

/// The branches that begin in a database, as its store knows them.
///
/// A branch uses the tables of the checkpoint that it began with where they lie. As long as it is registered here, no
/// collection removes what it may need.
public struct Branches: Sendable {
    /// A registered branch.
    public struct Entry: Hashable, Sendable {
        /// Its name.
        public var id: String
        /// The checkpoint that is kept for it.
        public var checkpoint: String
        /// Revision of that checkpoint.
        public var revision: Revision
        /// When it was registered, nanoseconds since 1970.
        public var createdTime: UInt64
    }

    private let store: any ObjectStore
    private let prefix: String

    /// The branches of the database under a prefix. The store is not closed.
    public init(store: any ObjectStore, prefix: String = "") {
        self.store = store
        self.prefix = prefix
    }

    /// Registers a branch. Copies nothing; nodes may use the database meanwhile.
    /// - Parameters:
    ///   - id: 1 to 128 letters, digits, dots, hyphens and underscores.
    ///   - target: Where the branch begins. A moment behind a checkpoint is reached through the log, which is kept too.
    /// - Returns: What the first node of the branch is to be given.
    /// - Throws: `RestoreError` for a target that is not kept; a description for an id that is wrong or taken.
    public func fork(_ id: String, at target: RestorePoint.Target = .latestCheckpoint) async throws -> BranchPoint {
        try await SystemThread.run("t4-fork") {
            let (board, restorer) = try open()
            let plan = try restorer.course(to: target).plan
            guard let checkpoint = plan.checkpoint else {
                throw RestoreError(
                    .notKept,
                    "a branch begins at a checkpoint or behind one, and there is none at or before that moment")
            }
            let isAtCheckpoint = plan.end == checkpoint.end
            _ = try board.add(
                .branch, id: id, checkpoint: checkpoint.key, keepsLog: !isAtCheckpoint,
                at: Clock.system.wall())
            return BranchPoint(
                prefix: prefix, checkpoint: checkpoint.key.rawValue, index: isAtCheckpoint ? nil : plan.end.index)
        }
    }

    /// Forgets a branch: the next collections may remove what only it used. Its nodes must not run any more, or not use
    /// anything of this database any more.
    /// - Returns: False when there was none of that name.
    @discardableResult
    public func unfork(_ id: String) async throws -> Bool {
        try await SystemThread.run("t4-unfork") {
            let (board, _) = try open()
            guard try board.find(.branch, id: id) != nil else { return false }
            try board.remove(.branch, id: id)
            return true
        }
    }

    /// The registered branches, ordered by name.
    public func list() async throws -> [Entry] {
        try await SystemThread.run("t4-branches") {
            try open().board.pins(.branch).map {
                Entry(
                    id: $0.id, checkpoint: $0.checkpoint, revision: Revision($0.revision), createdTime: $0.createdTime)
            }
        }
    }

    private func open() throws -> (board: PinBoard, restorer: Restorer) {
        let store = RetryingStore(store)
        let own = BlockingStore(PrefixedStore(store, prefix: prefix))
        guard let database = try DatabaseObject.read(own) else {
            throw RestoreError(
                .notKept, "there is no database under the prefix \"\(prefix)\": no object \(StoreLayout.database)")
        }
        let restorer = Restorer(own, databaseID: database.id) { BlockingStore(PrefixedStore(store, prefix: $0)) }
        return (PinBoard(restorer.checkpoints), restorer)
    }
}
