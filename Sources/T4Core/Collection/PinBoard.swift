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
        try checkIsFree(kind, id)
        let name = StoreLayout.pin(kind, id: id, nonce: pin.nonce)
        do {
            guard case .won = try store.swap(name, to: pin, from: nil, of: checkpoints.databaseID) else {
                throw CheckpointError(.interrupted, "\(name) was changed by somebody else; try again")
            }
            // Of two that are quick at once each may see the other, and then both give up.
            try checkIsFree(kind, id, but: name)
            try check(pin, key)
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

    private func checkIsFree(_ kind: PinKind, _ id: String, but own: ObjectKey? = nil) throws {
        guard let other = try names(kind, id: id).first(where: { $0 != own }) else { return }
        let pin = try read(other)
        throw CheckpointError(
            .invalidArgument,
            "\(kind.rawValue)/\(id) exists already" + (pin.map { " and pins \($0.checkpoint)" } ?? "")
                + (own == nil ? "" : ", or is being made at this moment by somebody else"))
    }

    /// A pin of that id; nil when there is none.
    package func find(_ kind: PinKind, id: String) throws -> Pin? {
        for name in try names(kind, id: id) {
            if let pin = try read(name) { return pin }
        }
        return nil
    }

    /// Removes the pin of that id, and what a fork that was cut off may have left beside it; the next collection may delete
    /// what only it kept. An absent one counts as removed.
    ///
    /// A deletion that is carried out late, when somebody else has pinned with the same id, does not meet that pin: no two
    /// have one name.
    package func remove(_ kind: PinKind, id: String) throws {
        let names = try names(kind, id: id)
        if !names.isEmpty { try store.delete(names) }
    }

    /// All pins of a kind, ordered by id.
    /// - Throws: `.unsupported` when an object lies there whose name is no pin's.
    package func pins(_ kind: PinKind) throws -> [Pin] { try placed(kind).map(\.pin).sorted { $0.id < $1.id } }

    /// The same with their names, ordered by these.
    func placed(_ kind: PinKind) throws -> [(key: ObjectKey, pin: Pin)] {
        var names: [ObjectKey] = []
        try store.list(StoreLayout.pins(kind)) { object in
            guard StoreLayout.pin(object.key, of: kind) != nil else {
                throw CheckpointError(.unsupported, "\(object.key) is no pin that this build knows")
            }
            names.append(object.key)
        }
        // One that was removed since the listing keeps nothing any more.
        return try names.compactMap { name in try read(name).map { (name, $0) } }
    }

    /// Names of the pins of an id.
    private func names(_ kind: PinKind, id: String) throws -> [ObjectKey] {
        guard Pin.isValid(id: id) else { return [] }
        var names: [ObjectKey] = []
        try store.list(ObjectKey("\(StoreLayout.pins(kind))\(id)")) { object in
            if StoreLayout.pin(object.key, of: kind)?.id == id { names.append(object.key) }
        }
        return names
    }

    private func read(_ name: ObjectKey) throws -> Pin? {
        guard let pin = try store.find(Pin.self, name, of: checkpoints.databaseID)?.object else { return nil }
        guard pin.belongs(at: name) else {
            throw CheckpointError(.corrupted, "\(name) says that its id is \(pin.id), its nonce \(pin.nonce)")
        }
        return pin
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
