import T4Protocols

// Where the newest checkpoint is damaged an older one stands in, and the next checkpoint goes on from there.
extension CheckpointStore {
    /// A head, with the version to swap what lies there by.
    struct FoundHead: Sendable {
        var head: Head
        /// Nil where nothing lies there.
        var version: ObjectVersion?
        /// What is wrong with the object that lies there, or is lost, where this head stands in for it.
        var damage: CheckpointError?
    }

    /// The newest checkpoint's head; where it is damaged or lost one that names the newest checkpoint that can be read.
    /// Nil when there is none: before the first checkpoint, which nothing was collected without.
    /// - Throws: `.corrupted` when no checkpoint can be read either; otherwise as `head`.
    func headOrStandIn() throws -> FoundHead? {
        guard let stored = try store.find(StoreLayout.head) else {
            guard let floor = try collectionState()?.object.floor, floor.logIndex > 0 else { return nil }
            let what = "\(StoreLayout.head) is missing although the log up to entry \(floor.logIndex) was collected"
            return try standIn(for: CheckpointError(.corrupted, what), nil)
        }
        do {
            let head = try Head.decode(stored.bytes, key: StoreLayout.head, of: databaseID)
            return FoundHead(head: head, version: stored.info.version)
        } catch let damage as CheckpointError where damage.code == .corrupted {
            return try standIn(for: damage, stored.info.version)
        }
    }

    private func standIn(for damage: CheckpointError, _ version: ObjectVersion?) throws -> FoundHead {
        guard let newest = try newestReadable() else { throw damage }
        let head = try Head(
            database: databaseID.description, sequence: 0, nonce: "", manifest: newest.file, key: newest.key)
        return FoundHead(head: head, version: version, damage: damage)
    }

    /// The checkpoint that a head names; where its manifest is damaged or lost the newest one before it that can be read.
    /// - Throws: What is wrong with it when there is no other.
    func newest(of head: Head) throws -> (key: ObjectKey, file: ManifestFile) {
        do {
            return (ObjectKey(head.checkpoint), try manifest(of: head))
        } catch let damage as CheckpointError where damage.code == .corrupted {
            guard let newest = try newestReadable() else { throw damage }
            return newest
        } catch let damage as ObjectStoreError where damage.code == .notFound || damage.code == .corrupted {
            guard let newest = try newestReadable() else { throw damage }
            return newest
        }
    }

    /// The newest checkpoint that can be read, up to the one that the head names where that can be read. Not one that
    /// collections have given up, whose tables may be gone.
    private func newestReadable() throws -> (key: ObjectKey, file: ManifestFile)? {
        let state = try collectionState()?.object
        var catalog = try CheckpointCatalog(self)
        var count = catalog.names.count
        while let found = try catalog.newest(ofFirst: count) {
            let key = catalog.names[found.place].key
            if state?.holds(key, index: found.file.checkpoint.index) ?? true { return (key, found.file) }
            count = found.place
        }
        return nil
    }
}
