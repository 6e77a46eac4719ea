package import T4Protocols

/// The checkpoints of one database in its object store. Every byte read is checked before it is used (Rule S3).
///
/// Blocks; see `BlockingStore`.
package struct CheckpointStore: Sendable {
    package let store: BlockingStore
    private let databaseID: DatabaseID
    /// Attempts to swap the head, without a pause, while the outcome is unknown.
    private static let swapAttemptsMax = 4
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
        guard let object = try store.find(StoreLayout.head) else { return nil }
        let head = try Head.decode(object.bytes)
        guard head.database == databaseID.description else {
            throw CheckpointError(
                .invalidArgument, "\(StoreLayout.head) belongs to database \(head.database), not to \(databaseID)")
        }
        return (head, object.info.version)
    }

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

    /// Writes the manifest, under a name that no other checkpoint has.
    /// - Returns: Its name.
    package func put(_ file: ManifestFile) throws -> ObjectKey {
        let bytes = try file.encoded()
        let checkpoint = file.checkpoint
        for index in [nil, checkpoint.index] {
            let key = StoreLayout.checkpoint(
                term: checkpoint.term, revision: Revision(checkpoint.revision), index: index)
            if let there = try store.find(key) {
                // A checkpoint of this revision at another entry keeps its name; one at the same entry is this one,
                // from a run that died before it swapped the head.
                let other = try ManifestFile.decode(there.bytes, key: key)
                if other.checkpoint.index != checkpoint.index { continue }
            }
            _ = try store.put(key, bytes, when: .always)
            return key
        }
        throw CheckpointError(.invalidArgument, "two checkpoints end with entry \(checkpoint.position)")
    }

    /// Makes a checkpoint the newest.
    ///
    /// - Parameter previous: As `head` gave it.
    /// - Throws: `.invalidArgument` when somebody else swapped it meanwhile: this writer is not the only one. Of the store,
    ///   `.outcomeUnknown` when that is still so after a few attempts.
    package func swapHead(
        _ key: ObjectKey, _ file: ManifestFile, previous: (head: Head, version: ObjectVersion)?,
        random: inout some RandomNumberGenerator
    ) throws {
        if let previous, previous.head.index >= file.checkpoint.index || previous.head.term > file.checkpoint.term {
            throw CheckpointError(.invalidArgument, "the head would go back from \(previous.head.checkpoint) to \(key)")
        }
        let nonce = DatabaseID.random(using: &random).description
        let head = try Head(
            database: databaseID.description, sequence: (previous?.head.sequence ?? 0) + 1, nonce: nonce,
            manifest: file, key: key)
        let bytes = try head.encoded()
        let condition: PutCondition = previous.map { .unchanged(since: $0.version) } ?? .absent
        var attempts = 0
        while true {
            attempts += 1
            do throws(ObjectStoreError) {
                _ = try store.put(StoreLayout.head, bytes, when: condition)
                return
            } catch {
                switch error.code {
                case .outcomeUnknown, .alreadyExists, .conditionFailed:
                    // It may be this very swap that is there; an unchanged head proves nothing, so it is tried again
                    // on the same version: only one of the two can win.
                    let now = try self.head()
                    if now?.head.nonce == nonce { return }
                    if now?.version == previous?.version, error.code == .outcomeUnknown {
                        if attempts < CheckpointStore.swapAttemptsMax { continue }
                        throw error
                    }
                    throw CheckpointError(
                        .invalidArgument, "another node made \(now?.head.checkpoint ?? "(none)") the newest checkpoint")
                default: throw error
                }
            }
        }
    }
}
