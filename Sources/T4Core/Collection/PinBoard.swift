package import T4Protocols

/// Keeps checkpoints for those who use them: branches, backups, readers.
///
/// Blocks; see `BlockingStore`.
package struct PinBoard: Sendable {
    private let checkpoints: CheckpointStore
    private var store: BlockingStore { checkpoints.store }

    package init(_ checkpoints: CheckpointStore) { self.checkpoints = checkpoints }

    /// Pins a checkpoint that is or was the newest one. When this returns, its manifest and tables, and with `keepsLog` the
    /// log behind it, stay until `remove`.
    ///
    /// First the pin is written, then it is checked that no collection has condemned the checkpoint already and that it
    /// is still there: a collection that condemns it afterwards reads the pin before it deletes anything.
    /// - Parameter time: Of the call, nanoseconds since 1970; for people.
    /// - Throws: `.interrupted` when the checkpoint is being collected or is gone; `.invalidArgument` for a wrong id, one
    ///   that is taken, or a checkpoint that never was the newest one. No pin is left then, unless the message says so.
    package func add(
        _ kind: PinKind, id: String, checkpoint key: ObjectKey, keepsLog: Bool, at time: UInt64
    ) throws -> (pin: Pin, file: ManifestFile) {
        guard Pin.isValid(id: id) else {
            throw CheckpointError(
                .invalidArgument,
                "\"\(id)\" cannot be an id: 1 to 128 letters, digits, dots, hyphens and underscores are wanted")
        }
        guard let file = try find(key) else { throw gone(key) }
        var random = SystemRandomNumberGenerator()
        let pin = Pin(
            file, key: key, id: id, nonce: DatabaseID.random(using: &random).description, keepsLog: keepsLog,
            createdTime: time)
        let name = StoreLayout.pin(kind, id: id)
        do {
            let swap = try store.swap(name, to: pin, from: nil, of: checkpoints.databaseID)
            if case .lost(let other) = swap {
                // Nothing of this call's is there.
                throw Taken(checkpoint: other?.checkpoint)
            }
            try check(pin, key)
        } catch let taken as Taken {
            throw CheckpointError(
                .invalidArgument, "\(name) exists already" + (taken.checkpoint.map { " and pins \($0)" } ?? ""))
        } catch {
            do {
                try store.delete([name])
            } catch let second {
                throw CheckpointError(
                    .interrupted, "\(error); besides, \(name) could not be removed and may be left: \(second)")
            }
            throw error
        }
        return (pin, file)
    }

    private struct Taken: Error {
        var checkpoint: String?
    }

    /// The pin of that name; nil when there is none.
    package func find(_ kind: PinKind, id: String) throws -> Pin? {
        guard Pin.isValid(id: id) else { return nil }
        return try store.find(Pin.self, StoreLayout.pin(kind, id: id), of: checkpoints.databaseID)?.object
    }

    /// Removes a pin; the next collection may delete what only it kept. An absent one counts as removed.
    package func remove(_ kind: PinKind, id: String) throws {
        guard Pin.isValid(id: id) else { return }
        try store.delete([StoreLayout.pin(kind, id: id)])
    }

    /// All pins of a kind, ordered by id.
    /// - Throws: `.unsupported` when an object lies there whose name is no pin's.
    package func pins(_ kind: PinKind) throws -> [Pin] {
        let prefix = StoreLayout.pins(kind)
        var ids: [String] = []
        try store.list(prefix) { object in
            let id = String(object.key.rawValue.dropFirst(prefix.rawValue.count))
            guard Pin.isValid(id: id) else {
                throw CheckpointError(.unsupported, "\(object.key) is no pin that this build knows")
            }
            ids.append(id)
        }
        // One that was removed since the listing keeps nothing any more.
        return try ids.compactMap { id in
            guard let pin = try find(kind, id: id) else { return nil }
            guard pin.id == id else {
                throw CheckpointError(.corrupted, "\(StoreLayout.pin(kind, id: id)) says that its id is \(pin.id)")
            }
            return pin
        }
    }

    private func find(_ key: ObjectKey) throws -> ManifestFile? {
        do {
            return try checkpoints.manifest(key)
        } catch let error as ObjectStoreError where error.code == .notFound {
            return nil
        }
    }

    private func gone(_ key: ObjectKey) -> CheckpointError {
        CheckpointError(
            .interrupted, "there is no checkpoint \(key), or it was collected a moment ago; use a newer one")
    }

    /// Checks, after the pin was written, that it holds.
    private func check(_ pin: Pin, _ key: ObjectKey) throws {
        let state = try checkpoints.collectionState()?.object ?? CollectionState(checkpoints.databaseID)
        guard state.holds(key, index: pin.index) else {
            throw CheckpointError(.interrupted, "the checkpoint \(key) is being collected; use a newer one")
        }
        guard !pin.keepsLog || state.holdsLog(after: pin.index) else {
            throw CheckpointError(.interrupted, "the log behind \(key) is not kept any more; use a newer checkpoint")
        }
        guard let again = try find(key), again.id == pin.checkpointID else { throw gone(key) }
        var trail = HeadTrail(checkpoints, floor: state.floor, head: try checkpoints.head()?.head)
        guard try trail.holds(key, index: pin.index) else {
            throw CheckpointError(
                .invalidArgument, "\(key) never was the newest checkpoint: whoever wrote it was stopped, and it may go")
        }
    }
}
