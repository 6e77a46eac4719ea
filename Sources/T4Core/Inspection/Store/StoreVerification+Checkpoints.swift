import T4Protocols

// The object `database`, the head, and the checkpoints.
extension StoreVerification {
    func readRoots() throws {
        // The head first: what it names is in the listing, and tables and log after checkpoints, so that theirs are too.
        try readRoot(StoreLayout.head, .head) { head = try Head.decode($0, key: StoreLayout.head) }
        try readRoot(StoreLayout.database, .database) { databaseID = try DatabaseObject.decode($0).id }
        try readRoot(StoreLayout.collectionState, .collection) {
            collection = try CollectionState.decode($0, key: StoreLayout.collectionState)
        }
        try listing.add(of: store)
        if databaseID == nil { databaseID = head.flatMap { DatabaseID(hex: $0.database) } }
        if let head { checkDatabase(head, StoreLayout.head) }
        if let collection { checkDatabase(collection, StoreLayout.collectionState) }
        let isEmpty = listing.checkpoints.isEmpty && listing.log.isEmpty && listing.tables.isEmpty
        if listing.database == nil {
            problem(StoreLayout.database, isEmpty ? "missing: there is no database under this prefix" : "missing")
        }
        if listing.head == nil, !listing.checkpoints.isEmpty {
            // The first checkpoint becomes the newest when its manifest is written.
            listing.checkpoints.count == 1
                ? note(StoreLayout.head, "missing: the first checkpoint is not in use yet")
                : problem(StoreLayout.head, "missing, although there are checkpoints")
        }
        var groups: [String: Int] = [:]
        for object in listing.unknown {
            let name = object.key.rawValue
            groups[name.firstIndex(of: "/").map { String(name[...$0]) } ?? name, default: 0] += 1
        }
        for (name, count) in groups.sorted(by: { $0.key < $1.key }) {
            note(ObjectKey(name), "unknown to this build" + (name.hasSuffix("/") ? ", \(count) objects" : ""))
        }
    }

    func readRoot(_ key: ObjectKey, _ kind: VerificationReport.Kind, _ decode: ([UInt8]) throws -> Void) throws {
        try examine(key, Result { try store.get(key) }) { stored in
            report.count(kind, bytes: stored.bytes.count)
            try decode(stored.bytes)
        }
    }

    func readManifests() throws {
        let keys = listing.checkpoints.map(\.key)
        var gone: Set<ObjectKey> = []
        try forEach("checkpoints", keys) { key in
            start(key)
        } visit: { key, stored in
            try examine(key, stored) { stored in
                report.count(.checkpoints, bytes: stored.bytes.count)
                let file = try ManifestFile.decode(stored.bytes, key: key)
                if databaseID == nil { databaseID = DatabaseID(hex: file.checkpoint.database) }
                checkpoints.append(Checkpoint(key: key, file: file))
                for what in ManifestCheck.problems(of: file.checkpoint, key: key, database: databaseID) {
                    problem(key, what)
                }
            } missing: {
                // Collected since it was listed.
                gone.insert(key)
            }
        }
        checkpoints.sort { $0.file.checkpoint.index < $1.file.checkpoint.index }
        trail = CheckpointTrail(
            checkpoints, head: head, hasHead: listing.head != nil, listed: Set(keys),
            floor: hasCollectionState ? collection?.floor : CollectionFloor())
        try reportTrail(gone: gone)
        guard let head, let named = checkpoints.first(where: { $0.key.rawValue == head.checkpoint })?.file else {
            return
        }
        let checkpoint = named.checkpoint
        if named.id != head.id
            || (checkpoint.term, checkpoint.index, checkpoint.revision) != (head.term, head.index, head.revision)
        {
            problem(StoreLayout.head, "does not agree with \(head.checkpoint), which it names")
        }
    }

    private func reportTrail(gone: Set<ObjectKey>) throws {
        let missing = trail.missing.merging(trail.names.intersection(gone).map { ($0, "missing") }) { first, _ in first
        }
        let wasCollected = try !missing.isEmpty && followCollection()
        for (key, what) in missing.sorted(by: { $0.key < $1.key }) {
            wasCollected ? note(key, "was collected while it was verified") : problem(key, what)
        }
        for checkpoint in checkpoints where !trail.holds(checkpoint) {
            let isNewer = head.map { checkpoint.file.checkpoint.index > $0.index } ?? true
            note(
                checkpoint.key,
                isNewer ? "is not in use yet" : "never became the newest: its writer died, or came too late")
        }
    }
}
