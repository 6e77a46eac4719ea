import T4Protocols

// What the rows of checkpoints add up to, and what the log makes of them.
extension StoreVerification {
    func addUpNewestState() throws {
        guard let newest = reliedOn.last else { return }
        try addUp(newest, next: nil)
        note("states", 1, of: 1)
    }

    func addUpStates() throws {
        let all = reliedOn
        for (number, checkpoint) in all.enumerated() {
            // Behind one that is kept for somebody else the log may be gone.
            let isLogKept = checkpoint.file.checkpoint.index >= logCut
            try addUp(checkpoint, next: isLogKept && number + 1 < all.count ? all[number + 1] : nil)
            note("states", number + 1, of: all.count)
        }
    }

    /// Adds up the rows of a checkpoint, and in the same pass those of the state that the log makes of it up to the next
    /// checkpoint.
    private func addUp(_ checkpoint: Checkpoint, next: Checkpoint?) throws {
        guard let databaseID else { return }
        let reader = CheckpointStore(store, databaseID: databaseID, foreign: foreign)
        let (own, later) = (StateSum(), StateSum())
        do {
            let fold = try next.flatMap { try self.fold(from: checkpoint, to: $0, databaseID) }
            let loader = CheckpointLoader(reader, checkpoint.file, key: checkpoint.key)
            var rows: any TableRows = SummedRows(try loader.rows(), own)
            if let next, let fold {
                rows = SummedRows(
                    RetainedRows(
                        try MergedRows([RowList(fold), rows]), compacted: Revision(next.file.checkpoint.compacted),
                        isComplete: true), later)
            }
            while try rows.next() != nil {}
            report.digests += 1
            if !own.matches(checkpoint.file.checkpoint) {
                problem(checkpoint.key, "its rows do not add up to its digest and number of keys")
            }
            guard let next, fold != nil else { return }
            report.stretches += 1
            if !later.matches(next.file.checkpoint) {
                problem(next.key, "is not the state that the log makes of \(checkpoint.key)")
            }
        } catch {
            try passOver(error, checkpoint.key)
        }
    }

    /// The rows of the log between two checkpoints; nil where it does not lead from one to the other.
    private func fold(
        from start: Checkpoint, to end: Checkpoint, _ databaseID: DatabaseID
    ) throws -> [TableRow]? {
        let (first, last) = (start.file.checkpoint, end.file.checkpoint)
        var fold = Fold(
            after: first.position, revision: Revision(first.revision), compacted: Revision(first.compacted))
        do {
            _ = try LogChain(store, databaseID: databaseID).read(after: first.position) { entry in
                guard entry.position.index <= last.index else { return .stop }
                try fold.add(entry)
                return entry.position.index == last.index ? .stop : .next
            }
        } catch {
            try passOver(error, end.key)
            return nil
        }
        guard fold.position == last.position else {
            note(end.key, "not compared with \(start.key): the log leads no further than entry \(fold.position)")
            return nil
        }
        if fold.revision != Revision(last.revision) || fold.compacted != Revision(last.compacted) {
            problem(
                end.key,
                "is of revision \(last.revision), compacted \(last.compacted); the log leads to \(fold.revision), "
                    + "compacted \(fold.compacted)")
        }
        return fold.takeRows()
    }

    /// What is wrong with an object is known by now; here it only keeps a state from being compared.
    private func passOver(_ error: any Error, _ key: ObjectKey) throws {
        if let error = error as? ObjectStoreError,
            ![.notFound, .corrupted, .permissionDenied, .unsupported].contains(error.code)
        {
            throw error
        }
        note(key, "not compared: \(error)")
    }
}
