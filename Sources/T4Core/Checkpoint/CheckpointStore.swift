package import T4Protocols

/// The checkpoints of one database in its object store. Every byte read is checked before it is used (Rule S3).
///
/// Blocks; see `BlockingStore`.
package struct CheckpointStore: Sendable {
    package let store: BlockingStore
    package let databaseID: DatabaseID
    /// Names that are tried for one checkpoint.
    private static let namesMax = 16
    /// Opens another database's prefix, for tables that a branch inherited.
    private let foreign: @Sendable (String) throws -> BlockingStore

    /// - Parameter foreign: Gives the store under another prefix; throws when the configuration has no way there.
    package init(
        _ store: BlockingStore, databaseID: DatabaseID,
        foreign: @escaping @Sendable (String) throws -> BlockingStore = { prefix in
            throw CheckpointError(.unsupported, "tables under the prefix \(prefix) cannot be reached")
        }
    ) {
        self.store = store
        self.databaseID = databaseID
        self.foreign = foreign
    }

    /// The newest checkpoint's head, with the version to swap it by; nil when there is none.
    package func head() throws -> (head: Head, version: ObjectVersion)? {
        guard let (head, version) = try store.find(Head.self, StoreLayout.head, of: databaseID) else { return nil }
        return (head, version)
    }

    /// Where collections of garbage stand, with the version to swap that by; nil before the first one.
    package func collectionState() throws -> (object: CollectionState, version: ObjectVersion)? {
        try store.find(CollectionState.self, StoreLayout.collectionState, of: databaseID)
    }

    /// The epoch that the names of new tables carry; it rises with each collection.
    package func epoch() throws -> UInt64 { try collectionState()?.object.epoch ?? 0 }

    /// Reads a checkpoint.
    package func manifest(_ key: ObjectKey) throws -> ManifestFile {
        let file = try ManifestFile.decode(store.get(key).bytes, key: key)
        guard file.checkpoint.database == databaseID.description else {
            throw CheckpointError(
                .invalidArgument, "\(key) belongs to database \(file.checkpoint.database), not to \(databaseID)")
        }
        return file
    }

    /// Reads the checkpoint that the head names.
    package func manifest(of head: Head) throws -> ManifestFile {
        let file = try manifest(ObjectKey(head.checkpoint))
        guard file.id == head.id else {
            throw CheckpointError(
                .corrupted, "\(head.checkpoint) has the id \(file.id), \(StoreLayout.head) says \(head.id)")
        }
        return file
    }

    /// The names of all checkpoints, oldest term and revision first.
    package func checkpoints() throws -> [ObjectKey] {
        var keys: [ObjectKey] = []
        try store.list(StoreLayout.checkpoints) { object in
            if StoreLayout.isCheckpoint(object.key) { keys.append(object.key) }
        }
        return keys
    }

    /// Opens a table for reading parts of it.
    package func table(_ entry: Manifest.TableEntry, of file: ManifestFile) throws -> TableReader {
        let place = try place(of: entry, in: file)
        let (key, store) = (ObjectKey(place.key), try store(of: place))
        return try TableReader(name: place.key, size: place.size, id: TableID(hex: entry.id)) { range in
            try store.get(key, bytes: range).bytes
        }
    }

    /// Starts reading a whole table.
    package func fetch(
        _ entry: Manifest.TableEntry, of file: ManifestFile
    ) throws -> BlockingStore.Pending<StoredBytes> {
        try fetch(place(of: entry, in: file))
    }

    /// Starts reading the whole table that lies there.
    package func fetch(_ place: ManifestFile.Place) throws -> BlockingStore.Pending<StoredBytes> {
        let key = ObjectKey(place.key)
        return try store(of: place).start { (store) throws(ObjectStoreError) in try await store.get(key, bytes: nil) }
    }

    private func place(of entry: Manifest.TableEntry, in file: ManifestFile) throws -> ManifestFile.Place {
        guard let place = file.envelope.places[entry.id] else {
            throw CheckpointError(.corrupted, "the checkpoint does not say where table \(entry.id) lies")
        }
        return place
    }

    private func store(of place: ManifestFile.Place) throws -> BlockingStore {
        try place.prefix.map(foreign) ?? store
    }

    /// Writes the manifest, under a name that no other checkpoint has. What is there is never replaced: the head may
    /// name it.
    ///
    /// - Parameter previous: The head when the checkpoint was begun.
    /// - Returns: Its name, and what lies there: of a run that died before it swapped the head perhaps, but the same
    ///   checkpoint in the same tables.
    package func put(_ file: ManifestFile, after previous: Head?) throws -> (key: ObjectKey, file: ManifestFile) {
        let bytes = try file.encoded()
        for name in names(of: file.checkpoint, after: previous) {
            do throws(ObjectStoreError) {
                _ = try store.put(name, bytes, when: .absent)
                return (name, file)
            } catch {
                guard [.outcomeUnknown, .alreadyExists, .conditionFailed].contains(error.code) else { throw error }
                guard let there = try store.find(name) else { throw error }
                let other = try ManifestFile.decode(there.bytes, key: name)
                if other.isInterchangeable(with: file) { return (name, other) }
            }
        }
        throw CheckpointError(
            .invalidArgument, "\(CheckpointStore.namesMax) checkpoints end with entry \(file.checkpoint.position)")
    }

    /// A checkpoint of the same revision keeps its name, even when it is gone: a collection may still be removing it.
    private func names(of checkpoint: Manifest, after previous: Head?) -> some Sequence<ObjectKey> {
        let isTaken = previous?.term == checkpoint.term && previous?.revision == checkpoint.revision
        return ((isTaken ? 1 : 0)..<CheckpointStore.namesMax).lazy.map { attempt in
            StoreLayout.checkpoint(
                term: checkpoint.term, revision: Revision(checkpoint.revision),
                index: attempt == 0 ? nil : checkpoint.index, attempt: attempt)
        }
    }

    /// Makes a checkpoint the newest.
    ///
    /// - Parameter previous: The head before, and the version of what lies in its place; nil where nothing does.
    /// - Throws: `.invalidArgument` when somebody else swapped it meanwhile: this writer is not the only one. Of the store,
    ///   `.outcomeUnknown` when that is still so after a few attempts.
    package func swapHead(
        _ key: ObjectKey, _ file: ManifestFile, previous: (head: Head, version: ObjectVersion?)?,
        random: inout some RandomNumberGenerator
    ) throws {
        if let previous, previous.head.index >= file.checkpoint.index || previous.head.term > file.checkpoint.term {
            throw CheckpointError(.invalidArgument, "the head would go back from \(previous.head.checkpoint) to \(key)")
        }
        let head = try Head(
            database: databaseID.description, sequence: (previous?.head.sequence ?? 0) + 1,
            nonce: DatabaseID.random(using: &random).description, manifest: file, key: key)
        let swap = try store.swap(StoreLayout.head, to: head, from: previous?.version, of: databaseID)
        if case .lost(let winner) = swap {
            // A run that died may have made this very checkpoint the newest with a request that came late.
            if let winner, winner.checkpoint == head.checkpoint, winner.id == head.id { return }
            throw CheckpointError(
                .invalidArgument, "another node made \(winner?.checkpoint ?? "(none)") the newest checkpoint")
        }
    }
}
