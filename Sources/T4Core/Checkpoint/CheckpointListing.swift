package import T4Protocols

/// The checkpoints below a prefix by their names: what can be told without knowing the database or reading any of them.
package struct CheckpointListing: Sendable {
    /// One checkpoint.
    package struct Entry: Hashable, Sendable {
        package var key: ObjectKey
        package var term: UInt64
        package var revision: Revision

        /// Nil for a key that is no checkpoint's.
        package init?(_ key: ObjectKey) {
            let parts = key.rawValue.split(separator: "/")
            guard StoreLayout.isCheckpoint(key), let term = UInt64(parts[1]), let revision = Int64(parts[2]) else {
                return nil
            }
            self.key = key
            self.term = term
            self.revision = Revision(revision)
        }
    }

    /// Oldest term and revision first.
    package var entries: [Entry] = []
    /// The one that the head names; nil when there is no head, or one that cannot be read.
    package var latest: ObjectKey?
    /// What is wrong: the head cannot be read, or names a checkpoint that is not there; or there is no database at all.
    package var problem: CheckpointError?

    /// Reads the head, then the names.
    /// - Throws: Whatever kept the store from answering. What is wrong with the head is a `problem`.
    package init(of store: any ObjectStore) async throws {
        // In this order: what the head names is there when the names are listed, unless it is removed.
        do {
            latest = ObjectKey(
                try Head.decode(await store.get(StoreLayout.head, bytes: nil).bytes, key: StoreLayout.head).checkpoint)
        } catch let error as ObjectStoreError where error.code == .notFound {
            latest = nil
        } catch let error as CheckpointError {
            problem = error
        }
        var after: ObjectKey?
        while true {
            let page = try await store.list(prefix: StoreLayout.checkpoints, after: after, limit: 1000)
            entries += page.objects.compactMap { Entry($0.key) }
            guard page.hasMore, let last = page.objects.last else { break }
            after = last.key
        }
        if let latest, !entries.contains(where: { $0.key == latest }) {
            problem = CheckpointError(.corrupted, "\(StoreLayout.head) names \(latest), which is not there")
        }
        guard entries.isEmpty, problem == nil else { return }
        do throws(ObjectStoreError) {
            _ = try await store.info(StoreLayout.database)
        } catch {
            guard error.code == .notFound else { throw error }
            problem = DatabaseObject.noDatabase
        }
    }
}
