import T4Protocols

/// Finds out what leads to a state of a database in its store, and makes that state.
///
/// Blocks; see `BlockingStore`.
struct Restorer {
    /// The way to a state.
    struct Course {
        var plan: RestorePlan
        /// The checkpoint to begin with; nil for the empty state before the first entry.
        var file: ManifestFile?
        /// Whether another checkpoint may stand in for this one.
        var mayFallBack: Bool
        /// Damaged checkpoints whose manifests can be read: where one ends on the way the state must be what it says.
        var witnesses: [(key: ObjectKey, manifest: Manifest)]
    }

    /// Watches that begin right behind the last revision of the database before must find it compacted, so that the new
    /// one has to stand two above at least.
    var bump: Int64 = 2

    let checkpoints: CheckpointStore
    let chain: LogChain
    let databaseID: DatabaseID

    /// - Parameter foreign: Gives the store under another prefix of the same store, where the tables of a branch lie.
    init(
        _ store: BlockingStore, databaseID: DatabaseID, foreign: @escaping @Sendable (String) throws -> BlockingStore
    ) {
        checkpoints = CheckpointStore(store, databaseID: databaseID, foreign: foreign)
        chain = LogChain(store, databaseID: databaseID)
        self.databaseID = databaseID
    }

    /// Finds the way and lets `make` go it; a way from an older checkpoint each time that one turns out to be damaged.
    /// - Parameter make: Fills a fresh engine with `fill`.
    /// - Throws: As `course`, and what `make` throws.
    func restore<Result>(
        to target: RestorePoint.Target, bumpsRevision: Bool = false, _ make: (Course) throws -> Result
    ) throws -> Result {
        var damaged: [CheckpointCatalog.Damage] = []
        while true {
            do {
                return try make(course(to: target, bumpsRevision: bumpsRevision, without: damaged))
            } catch let unloadable as Unloadable {
                damaged.append(unloadable.damage)
            }
        }
    }

    /// Finds the way; reads manifests and the log, and writes nothing.
    /// - Parameter damaged: Checkpoints that an earlier attempt could not load.
    /// - Throws: `RestoreError` when there is no way; errors of the store; `LogError` of a damaged object of the log.
    func course(
        to target: RestorePoint.Target, bumpsRevision: Bool = false, without damaged: [CheckpointCatalog.Damage] = []
    ) throws -> Course {
        var catalog = try CheckpointCatalog(checkpoints, without: damaged)
        var course: Course
        switch target {
        case .checkpoint(let key): course = try self.course(from: key, &catalog)
        case .latestCheckpoint:
            course = try self.course(to: .index(latestIndex(&catalog)), ofFirst: catalog.names.count, &catalog)
        case .end: course = try self.course(to: .end, ofFirst: catalog.names.count, &catalog)
        case .time(let time):
            let count = try catalog.count(until: time)
            course = try self.course(to: .time(time), ofFirst: count, &catalog)
        case .revision(let revision): course = try self.course(to: revision, &catalog)
        }
        course.witnesses = damaged.compactMap { damage in damage.manifest.map { (damage.key, $0) } }
        course.plan.keepsDatabase = target.isWhole && !bumpsRevision
        if bumpsRevision {
            course.plan.bumpedRevision = Revision(
                max(try lastRevision(&catalog), course.plan.revision).rawValue + bump)
        }
        course.plan.warnings = catalog.warnings + course.plan.warnings
        return course
    }

    // MARK: - Targets

    private func course(from key: ObjectKey, _ catalog: inout CheckpointCatalog) throws -> Course {
        guard catalog.all.contains(key) else {
            throw try notKept("there is no checkpoint \(key)", .end, &catalog)
        }
        do {
            let file = try checkpoints.manifest(key)
            let walk = try ChainWalk(chain, after: file.start, to: .index(file.checkpoint.index))
            return makeCourse(file, key, walk, mayFallBack: false)
        } catch let error where CheckpointCatalog.isDamage(error) {
            throw RestoreError(.damaged, "the checkpoint \(key) cannot be restored", cause: error)
        }
    }

    /// The last entry of the newest checkpoint, which need not be one that can be read.
    private func latestIndex(_ catalog: inout CheckpointCatalog) throws -> UInt64 {
        if let head = catalog.head { return head.index }
        if let newest = try catalog.newest(ofFirst: catalog.names.count) { return newest.file.checkpoint.index }
        let count = catalog.names.count
        throw try notKept(
            count == 0 ? "there is no checkpoint of this database yet" : "none of the \(count) checkpoints can be read",
            .end, &catalog)
    }

    /// To a revision: ends with the entry that made it, not with entries behind that one which make none.
    private func course(to revision: Revision, _ catalog: inout CheckpointCatalog) throws -> Course {
        guard revision > .initial else {
            throw try notKept(
                "no entry made revision \(revision): the first write of a database makes revision 2",
                .revision(revision), &catalog)
        }
        let before = catalog.names.prefix { $0.revision < revision }.count
        let same = catalog.names.dropFirst(before).prefix { $0.revision == revision }.count
        if same > 0, let file = try catalog.file(catalog.names[before]), try endsWithRevision(file, before, &catalog) {
            return makeCourse(
                file, catalog.names[before].key,
                try ChainWalk(chain, after: file.start, to: .index(file.checkpoint.index)))
        }
        do {
            return try course(to: .revision(revision), ofFirst: before, &catalog)
        } catch let error as RestoreError where error.code == .notKept && same > 0 {
            guard let (place, file) = try catalog.oldest(from: before), place < before + same else { throw error }
            let key = catalog.names[place].key
            var course = makeCourse(
                file, key, try ChainWalk(chain, after: file.start, to: .index(file.checkpoint.index)))
            course.plan.warnings.append(
                "the log up to \(key) is not kept: the state also holds what entries without a revision changed between "
                    + "the one that made revision \(revision) and entry \(file.checkpoint.index), as leases and alarms")
            return course
        }
    }

    /// Whether the last entry of a checkpoint is the one that made its revision; false where that cannot be told.
    private func endsWithRevision(_ file: ManifestFile, _ place: Int, _ catalog: inout CheckpointCatalog) throws -> Bool
    {
        let older = try catalog.newest(ofFirst: place)
        let before = older?.file.checkpoint.index ?? 0
        var name: ObjectKey?
        try chain.store.list(StoreLayout.log, after: before == 0 ? nil : StoreLayout.log(firstIndex: before)) {
            object in
            if let first = StoreLayout.firstIndex(object.key), first <= file.checkpoint.index { name = object.key }
        }
        guard let name, let stored = try chain.store.find(name) else { return false }
        do throws(LogError) {
            let object = try LogObject(stored.bytes, key: name, databaseID: databaseID)
            return object.end == file.checkpoint.position
                && object.entries.last?.revision.rawValue == file.checkpoint.revision
        } catch {
            guard error.code == .corrupted else { throw error }
            return false
        }
    }

    // MARK: - The way to a goal

    /// Begins with the newest of the first `count` checkpoints that can be read.
    private func course(
        to goal: ChainWalk.Goal, ofFirst count: Int, _ catalog: inout CheckpointCatalog
    ) throws -> Course {
        var newest = try catalog.newest(ofFirst: count)
        while case .index(let index) = goal, let found = newest, found.file.checkpoint.index > index {
            newest = try catalog.newest(ofFirst: found.place)
        }
        guard try newest != nil || hasBeginning(catalog) else { throw try tooOld(goal, &catalog) }
        let walk = try ChainWalk(chain, after: newest?.file.start ?? .init(), to: goal)
        if walk.position == .zero { throw try tooOld(goal, &catalog) }
        if !walk.isStopped { try checkEnd(of: walk, from: newest?.place, goal, &catalog) }
        return makeCourse(newest?.file, newest.map { catalog.names[$0.place].key }, walk)
    }

    /// A walk came to where the log ends: is that its true end, and is the goal met there?
    private func checkEnd(
        of walk: ChainWalk, from place: Int?, _ goal: ChainWalk.Goal, _ catalog: inout CheckpointCatalog
    ) throws {
        let next = try catalog.oldest(from: place.map { $0 + 1 } ?? 0)
        // Collections remove the log up to a checkpoint, which may be lost.
        let known = max(catalog.head?.index ?? 0, next?.file.checkpoint.index ?? 0, catalog.collectedIndex)
        let isGap = walk.position.index < known || walk.revision < catalog.names.last?.revision ?? .none
        if isGap {
            let missing = StoreLayout.log(firstIndex: walk.position.index + 1)
            throw try notKept(
                "\(text(goal)) cannot be restored: the log behind entry \(walk.position.index) (revision "
                    + "\(walk.revision)) is not kept, there is no object \(missing) that continues it", goal, &catalog)
        }
        if case .revision(let revision) = goal {
            throw try notKept(
                "revision \(revision) is newer than the end of the log, which is at revision \(walk.revision)", goal,
                &catalog)
        }
    }

    private func makeCourse(
        _ file: ManifestFile?, _ key: ObjectKey?, _ walk: ChainWalk, mayFallBack: Bool = true
    ) -> Course {
        let checkpoint: RestorePlan.Checkpoint? =
            if let file, let key {
                RestorePlan.Checkpoint(
                    key: key, end: file.checkpoint.position, revision: Revision(file.checkpoint.revision),
                    time: file.envelope.commitTime, tableCount: file.checkpoint.tables.count,
                    size: file.checkpoint.tables.reduce(0) { $0 + (file.envelope.places[$1.id]?.size ?? 0) })
            } else {
                nil
            }
        let plan = RestorePlan(
            databaseID: "\(databaseID)", keepsDatabase: true, checkpoint: checkpoint, entryCount: walk.entryCount,
            entrySize: walk.entrySize, end: walk.position, revision: walk.revision, time: walk.time, warnings: [])
        return Course(plan: plan, file: file, mayFallBack: mayFallBack, witnesses: [])
    }

    /// The newest revision that anybody may have seen of the database.
    private func lastRevision(_ catalog: inout CheckpointCatalog) throws -> Revision {
        let newest = try catalog.newest(ofFirst: catalog.names.count)
        var start = newest?.file.start ?? .init()
        // Where the newest checkpoint cannot be read the log behind an older one may end before it.
        if let head = catalog.head, head.index > start.position.index {
            start = ChainWalk.Start(position: head.position, revision: Revision(head.revision))
        }
        let walk = try ChainWalk(chain, after: start, to: .end)
        return max(walk.revision, catalog.names.last?.revision ?? .none)
    }
}

extension ManifestFile {
    /// Where the log goes on behind it.
    var start: ChainWalk.Start {
        ChainWalk.Start(
            position: checkpoint.position, revision: Revision(checkpoint.revision), time: envelope.commitTime)
    }
}

extension RestorePoint.Target {
    /// Whether the restored state is one at which the database itself goes on.
    var isWhole: Bool {
        switch self {
        case .latestCheckpoint, .checkpoint, .end: true
        case .revision, .time: false
        }
    }
}
