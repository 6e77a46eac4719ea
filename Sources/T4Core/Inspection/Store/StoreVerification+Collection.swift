import T4Protocols

// What keeps checkpoints, and what removes them.
extension StoreVerification {
    /// Lists of what collections delete.
    func readCollection() throws {
        for object in listing.collection {
            guard let epoch = StoreLayout.condemnedList(object.key) else { continue }
            try examine(object.key, Result { try store.get(object.key) }) { stored in
                report.count(.collection, bytes: stored.bytes.count)
                let list = try CondemnedList.decode(stored.bytes, key: object.key)
                checkDatabase(list, object.key)
                if list.epoch != epoch { problem(object.key, "is the list of epoch \(list.epoch)") }
            }
        }
    }

    /// Pins and their checkpoints.
    func readPins() throws {
        for object in listing.pins {
            let key = object.key
            try examine(key, Result { try store.get(key) }) { stored in
                report.count(.pins, bytes: stored.bytes.count)
                let pin = try Pin.decode(stored.bytes, key: key)
                checkDatabase(pin, key)
                if !pin.belongs(at: key) { problem(key, "says that its id is \(pin.id), its nonce \(pin.nonce)") }
                let checkpoint = ObjectKey(pin.checkpoint)
                if let file = checkpoints.first(where: { $0.key == checkpoint })?.file {
                    if file.id != pin.checkpointID { problem(key, "pins another checkpoint than \(checkpoint) is now") }
                } else if collection?.holds(checkpoint, index: pin.index) == false {
                    note(key, "keeps nothing: \(checkpoint) was collected before it was pinned")
                } else if !listing.checkpoints.contains(where: { $0.key == checkpoint }) {
                    problem(checkpoint, "missing, although \(key) pins it")
                }
            }
        }
    }
}
