import T4Protocols

/// The database that a branch begins in, in its store.
struct BranchParent {
    let prefix: String
    let checkpoints: CheckpointStore
    let chain: LogChain

    init(
        _ store: BlockingStore, prefix: String, databaseID: DatabaseID,
        foreign: @escaping @Sendable (String) -> BlockingStore
    ) {
        self.prefix = prefix
        checkpoints = CheckpointStore(store, databaseID: databaseID, foreign: foreign)
        chain = LogChain(store, databaseID: databaseID)
    }

    var readLog: CheckpointWriter.ReadLog {
        { [chain] after, visit in _ = try chain.read(after: after, visit: visit) }
    }

    /// The checkpoint that a branch begins with, or behind.
    func manifest(of point: BranchPoint) throws -> ManifestFile {
        do {
            return try checkpoints.manifest(ObjectKey(point.checkpoint))
        } catch let error as ObjectStoreError where error.code == .notFound {
            throw StoreLink.Failure(
                description:
                    "there is no checkpoint \(point.checkpoint) under the prefix \"\(prefix)\" to begin a branch "
                    + "with; `t4 branch fork` prints the one to give")
        }
    }

    /// Where a branch leaves its parent.
    func lineage(_ point: BranchPoint) throws -> Manifest.Lineage {
        let file = try manifest(of: point)
        var (position, revision) = (file.checkpoint.position, Revision(file.checkpoint.revision))
        if let index = point.index, index != position.index {
            let walk = try ChainWalk(chain, after: file.start, to: .index(index))
            guard walk.position.index == index else {
                throw StoreLink.Failure(
                    description:
                        "the log behind \(point.checkpoint) does not lead to entry \(index), where the branch is "
                        + "to begin, but to \(walk.position.index)")
            }
            (position, revision) = (walk.position, walk.revision)
        }
        return Manifest.Lineage(
            database: file.checkpoint.database, term: position.term, index: position.index,
            revision: revision.rawValue)
    }
}

/// How the first checkpoint of a branch is made.
struct BranchBeginning {
    private let parent: BranchParent
    private let point: BranchPoint
    private let file: ManifestFile
    private let writer: CheckpointWriter

    /// - Parameter writer: Writes the branch's checkpoints, from its parent's log.
    init(_ parent: BranchParent, _ point: BranchPoint, _ writer: CheckpointWriter) throws {
        self.parent = parent
        self.point = point
        self.writer = writer
        file = try parent.manifest(of: point)
    }

    /// Where the branch begins, if that is the checkpoint's end: then nothing has to be read.
    var mark: StateTrail.Mark? {
        guard point.index == nil || point.index == file.checkpoint.index, let meta = file.checkpoint.meta else {
            return nil
        }
        return StateTrail.Mark(position: file.checkpoint.position, meta: meta, time: file.envelope.commitTime)
    }

    /// Fills an empty engine with the state in which the branch begins.
    /// - Returns: Where that is.
    func fill(_ engine: any LocalEngine) throws -> StateTrail.Mark {
        try CheckpointLoader(parent.checkpoints, file, key: ObjectKey(point.checkpoint)).load(into: engine)
        var replay = try EngineReplay(on: engine)
        var time = file.envelope.commitTime
        let last = point.index ?? file.checkpoint.index
        _ = try parent.chain.read(after: file.checkpoint.position) { entry in
            if entry.position.index > last { return .stop }
            try replay.add(entry)
            time = entry.time
            return entry.position.index == last ? .stop : .next
        }
        try replay.apply()
        try engine.sync()
        let position = try engine.appliedPosition
        guard position.index == last else {
            throw StoreLink.Failure(
                description:
                    "the log behind \(point.checkpoint) does not lead to entry \(last), where the branch begins: "
                    + "objects of it below \(parent.prefix)\(StoreLayout.log) are missing")
        }
        return StateTrail.Mark(position: position, meta: try StateReader(engine.snapshot()).meta, time: time)
    }

    func write(_ mark: StateTrail.Mark) throws { _ = try writer.begin(mark, from: file, under: parent.prefix) }
}
