import T4Protocols

// What there is, for errors about what there is not.

extension Restorer {
    func text(_ goal: ChainWalk.Goal) -> String {
        switch goal {
        case .end: "the end of the log"
        case .index(let index): "the state at entry \(index)"
        case .revision(let revision): "revision \(revision)"
        case .time: "that time"
        }
    }

    func tooOld(_ goal: ChainWalk.Goal, _ catalog: inout CheckpointCatalog) throws -> RestoreError {
        let isEmpty = try catalog.names.isEmpty && !hasBeginning(catalog)
        return try notKept(
            isEmpty
                ? "there is neither a checkpoint nor the beginning of the log under this prefix"
                : "\(text(goal)) lies before everything that is kept", goal, &catalog)
    }

    /// The error with what could be restored instead of `goal`, and with what was wrong on the way.
    func notKept(
        _ message: String, _ goal: ChainWalk.Goal, _ catalog: inout CheckpointCatalog
    ) throws -> RestoreError {
        let kept = try kept(goal, &catalog)
        return RestoreError(.notKept, ([message] + catalog.warnings).joined(separator: "; "), kept: kept)
    }

    private func kept(_ goal: ChainWalk.Goal, _ catalog: inout CheckpointCatalog) throws -> RestoreError.Kept {
        var kept = RestoreError.Kept()
        let count: Int
        switch goal {
        case .end, .index: count = catalog.names.count
        case .revision(let revision): count = catalog.names.prefix { $0.revision <= revision }.count
        case .time(let time): count = try catalog.count(until: time)
        }
        let newest = try catalog.newest(ofFirst: catalog.names.count)
        kept.before = try catalog.newest(ofFirst: count).map { state($0, catalog) }
        kept.after = try catalog.oldest(from: count).map { state($0, catalog) }
        do {
            try findOldest(&kept, &catalog)
            let walk = try ChainWalk(chain, after: newest?.file.start ?? .init(), to: .end)
            if walk.position != .zero { kept.newest = RestoreError.State(revision: walk.revision, time: walk.time) }
        } catch let error where error is LogError || CheckpointCatalog.isDamage(error) {
            // A damaged log is not what this error is about: its end stays unknown.
            return kept
        }
        return kept
    }

    /// Where the log begins that leads to the newest checkpoint, and which checkpoints are before that.
    private func findOldest(_ kept: inout RestoreError.Kept, _ catalog: inout CheckpointCatalog) throws {
        var all: [(place: Int, file: ManifestFile)] = []
        while let found = try catalog.oldest(from: all.last.map { $0.place + 1 } ?? 0) { all.append(found) }
        // Collections keep all of the log behind that entry, and before it the first object of each term.
        var first = all.firstIndex { $0.file.checkpoint.index >= catalog.collectedIndex } ?? all.count
        if catalog.isCollectedIndexLost { first = try firstInChain(all) }
        kept.alone = all[..<first].map { state($0, catalog) }
        kept.oldest = first < all.count ? state(all[first], catalog) : nil
        guard first == 0, try hasBeginning(catalog) else { return }
        if catalog.isCollectedIndexLost, let next = all.first, try !leads(from: .init(), to: next.file) { return }
        _ = try chain.read(after: .zero) { entry in
            kept.oldest = RestoreError.State(revision: .initial, time: entry.time)
            return .stop
        }
    }

    /// The oldest of these checkpoints from which the log leads to the newest one.
    private func firstInChain(_ all: [(place: Int, file: ManifestFile)]) throws -> Int {
        var first = max(all.count - 1, 0)
        while first > 0, try leads(from: all[first - 1].file.start, to: all[first].file) { first -= 1 }
        return first
    }

    private func leads(from start: ChainWalk.Start, to file: ManifestFile) throws -> Bool {
        try ChainWalk(chain, after: start, to: .index(file.checkpoint.index)).position == file.checkpoint.position
    }

    /// Whether the log is kept from its first entry on.
    func hasBeginning(_ catalog: CheckpointCatalog) throws -> Bool {
        if catalog.collectedIndex > 0 { return false }
        let key = StoreLayout.log(firstIndex: 1)
        do throws(ObjectStoreError) {
            _ = try chain.store.start { (store) throws(ObjectStoreError) in try await store.info(key) }.wait()
            return true
        } catch {
            guard error.code == .notFound else { throw error }
            return false
        }
    }

    private func state(_ found: (place: Int, file: ManifestFile), _ catalog: CheckpointCatalog) -> RestoreError.State {
        RestoreError.State(
            revision: Revision(found.file.checkpoint.revision), time: found.file.envelope.commitTime,
            checkpoint: catalog.names[found.place].key)
    }
}
