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
        kept.oldest = try catalog.oldest(from: 0).map { state($0, catalog) }
        do {
            if catalog.collectedIndex == 0 {
                _ = try chain.read(after: .zero) { first in
                    kept.oldest = RestoreError.State(revision: .initial, time: first.time)
                    return .stop
                }
            }
            let walk = try ChainWalk(chain, after: newest?.file.start ?? .init(), to: .end)
            if walk.position != .zero { kept.newest = RestoreError.State(revision: walk.revision, time: walk.time) }
        } catch let error where error is LogError || CheckpointCatalog.isDamage(error) {
            // A damaged log is not what this error is about: its end stays unknown.
            return kept
        }
        return kept
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
