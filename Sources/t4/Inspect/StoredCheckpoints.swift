import T4Core
import T4Protocols

/// The checkpoints of a store as a command names them. Blocks.
struct StoredCheckpoints {
    private let checkpoints: CheckpointStore
    private let place: String

    /// - Throws: `CommandFailure` when there is no database.
    init(_ opened: OpenedStore) throws {
        place = opened.displayName
        guard let database = try DatabaseObject.read(BlockingStore(opened.store)) else {
            throw CommandFailure(description: "there is no database at \(place)")
        }
        checkpoints = CheckpointStore(
            BlockingStore(ReadAheadStore(opened.store)), databaseID: database.id
        ) { prefix in BlockingStore(ReadAheadStore(opened.objects(below: prefix))) }
    }

    /// A checkpoint by its name, or the newest by the name `latest`.
    func view(_ name: String) throws -> (snapshot: CheckpointSnapshot, name: String) {
        if name == "latest" {
            guard let head = try checkpoints.head()?.head else {
                throw CommandFailure(description: "there is no checkpoint at \(place) yet")
            }
            return (try CheckpointSnapshot(checkpoints.manifest(of: head), of: checkpoints), head.checkpoint)
        }
        let key = ObjectKey(name)
        guard StoreLayout.isCheckpoint(key) else {
            throw CommandFailure(description: "\(name) is not the name of a checkpoint; t4 restore list shows them")
        }
        do {
            return (try CheckpointSnapshot(checkpoints.manifest(key), of: checkpoints), name)
        } catch let error as ObjectStoreError where error.code == .notFound {
            throw CommandFailure(
                description: "there is no checkpoint \(name) at \(place); t4 restore list shows those there are")
        }
    }
}
