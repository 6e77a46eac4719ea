import T4Protocols

/// Finds out which database a data directory and a store belong to, and ties them together: see
/// `docs/decisions/0005-node-and-store.md`.
struct StoreTie {
    let directory: DataDirectory
    /// Nil for a node without a store.
    let store: BlockingStore?
    let isInside: Bool
    /// Where a new database is to begin; with what finds its parent.
    let branch: BranchPoint?
    let parent: (_ prefix: String) throws -> BranchParent
    let clock: Clock
    /// Makes the engine of a restored directory all that there is of it, and says where it stands.
    var gather: (DataDirectory.Identity) throws -> DataDirectory.Identity = { $0 }

    /// A directory and a store that do not belong together; nothing has been changed.
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// Returns who the directory belongs to, once that is written down on both sides.
    func run() throws -> DataDirectory.Identity {
        let there = try store.flatMap { try DatabaseObject.read($0) }
        if there == nil, let store { try checkIsEmpty(store) }
        try checkBranch(there)
        guard var identity = directory.identity else { return try begin(there) }
        if let there {
            guard there.id == identity.database else {
                throw Failure(
                    description: "the store holds database \(there.id), but \(directory.path) belongs to database "
                        + "\(identity.database): use the store's prefix of that database, or another data directory")
            }
            try settle(&identity)
            return identity
        }
        switch identity.tie {
        case .outside:
            throw Failure(
                description: "\(directory.path) belongs to database \(identity.database), whose object "
                    + "\"\(StoreLayout.database)\" is not in the "
                    + (store == nil ? "configuration: no store is configured" : "configured store")
                    + "; check type, bucket and prefix of the store that it was used with")
        case .restored:
            // Anywhere but on its own prefix it is another database. Written here first: a start that is cut off then
            // goes on like one of a directory that never had a store.
            identity = try derived(gather(identity))
            try directory.setIdentity(identity)
        case .none, .inside: break
        }
        if let store {
            let object = try DatabaseObject(identity.database, lineage: identity.lineage, created: clock.wall())
            guard try object.write(store).id == identity.database else {
                throw Failure(description: "another node has just begun a database in the store; start again")
            }
        }
        try settle(&identity)
        return identity
    }

    /// A new directory takes the store's database, or begins one.
    private func begin(_ there: DatabaseObject?) throws -> DataDirectory.Identity {
        var generator = SystemRandomNumberGenerator()
        var object = try there ?? begun(.random(using: &generator))
        if there == nil, let store { object = try object.write(store) }
        var identity = DataDirectory.Identity(
            database: object.id, instance: .random(using: &generator), lineage: object.lineage)
        identity.tie = tie
        try directory.setIdentity(identity)
        return identity
    }

    /// A database that does not exist yet.
    private func begun(_ id: DatabaseID) throws -> DatabaseObject {
        guard let branch else { return try DatabaseObject(id, created: clock.wall()) }
        let lineage = try parent(branch.prefix).lineage(branch)
        let origin = DatabaseObject.Branch(
            prefix: branch.prefix, checkpoint: branch.checkpoint, index: branch.index)
        return try DatabaseObject(id, lineage: lineage, branch: origin, created: clock.wall())
    }

    /// Nothing is written before the object `database`. Where there is something without it that object was lost; with a
    /// new one nobody could tell any more which database the rest belongs to.
    private func checkIsEmpty(_ store: BlockingStore) throws {
        for prefix in [StoreLayout.log, StoreLayout.checkpoints] {
            let page = try store.start { (store) throws(ObjectStoreError) in
                try await store.list(prefix: prefix, after: nil, limit: 1)
            }.wait()
            guard let first = page.objects.first else { continue }
            throw Failure(
                description: "the object \"\(StoreLayout.database)\" is missing from the store although there is "
                    + "\(first.key): it was lost, or the prefix is not that of a database; put it back from a copy or "
                    + "an earlier version, or use an empty prefix")
        }
    }

    private func checkBranch(_ there: DatabaseObject?) throws {
        guard let branch else { return }
        if let there {
            guard there.branch?.prefix == branch.prefix, there.branch?.checkpoint == branch.checkpoint,
                there.branch?.index == branch.index
            else {
                let held = there.branch.map { "a branch of \"\($0.prefix)\" from \($0.checkpoint)" } ?? "no branch"
                throw Failure(
                    description: "the store's prefix holds database \(there.id) already, which is \(held): give the "
                        + "branch from \(branch.checkpoint) a prefix of its own")
            }
        } else if let identity = directory.identity {
            throw Failure(
                description: "\(directory.path) belongs to database \(identity.database): a branch begins in an empty "
                    + "data directory")
        }
    }

    private var tie: DataDirectory.StoreTie { store == nil ? .none : isInside ? .inside : .outside }

    private func settle(_ identity: inout DataDirectory.Identity) throws {
        let settled = store == nil && identity.tie == .inside ? .inside : tie
        if identity.tie == settled, identity.origin == nil { return }
        identity.tie = settled
        identity.origin = nil
        try directory.setIdentity(identity)
    }

    /// A database of its own, from the state that a restore left.
    private func derived(_ identity: DataDirectory.Identity) throws -> DataDirectory.Identity {
        guard let origin = identity.origin else {
            throw Failure(description: "\(directory.path)/database does not say what was restored; restore it again")
        }
        var generator = SystemRandomNumberGenerator()
        return DataDirectory.Identity(
            database: .random(using: &generator), instance: identity.instance, tie: .none, lineage: origin)
    }
}
