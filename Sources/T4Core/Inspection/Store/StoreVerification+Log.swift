import T4Protocols

extension StoreVerification {
    func readLog() throws {
        var objects: [ChainCheck.Object] = []
        try forEach("log", listing.log.map(\.key)) { key in
            start(key)
        } visit: { key, stored in
            guard let firstIndex = StoreLayout.firstIndex(key) else { return }
            var object = ChainCheck.Object(firstIndex: firstIndex)
            var isThere = true
            try examine(key, stored) { stored in
                report.count(.log, bytes: stored.bytes.count)
                // Where nothing else says which database it is, the first object of the log does.
                let database = try databaseID ?? SegmentHeader(stored.bytes, path: key.rawValue).databaseID
                databaseID = database
                let read = try LogObject(stored.bytes, key: key, databaseID: database)
                object.content = .init(header: read.header, end: read.end)
            } missing: {
                isThere = false
            }
            if isThere { objects.append(object) }
        }
        var check = chainCheck(objects, reliedOn)
        if !check.problems.isEmpty {
            // Only what is still needed can be missed.
            _ = try followCollection()
            check = chainCheck(objects, try reliedOn.filter { try exists($0.key) })
        }
        for fence in collection?.floor.fences ?? []
        where !listing.log.contains(where: { $0.key == StoreLayout.log(firstIndex: fence) }) {
            problem(StoreLayout.log(firstIndex: fence), "missing: as the first object of its term it keeps others out")
        }
        // Where a checkpoint cannot be read for being of a later version, what the log needs not hold cannot be told either.
        let isHidden = report.later.contains { StoreLayout.isCheckpoint(ObjectKey($0.object)) }
        if isHidden { report.notes += check.problems } else { report.problems += check.problems }
        report.notes += check.notes
        report.end = check.end
    }

    private func chainCheck(_ objects: [ChainCheck.Object], _ checkpoints: [Checkpoint]) -> ChainCheck {
        let cut = logCut
        return ChainCheck(
            objects,
            checkpoints.map { checkpoint in
                let position = checkpoint.file.checkpoint.position
                return .init(key: checkpoint.key, position: position, isPinned: position.index < cut)
            }, isCollected: cut > 0)
    }
}
