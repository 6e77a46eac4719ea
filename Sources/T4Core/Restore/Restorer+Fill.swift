import T4Protocols

extension Restorer {
    /// A checkpoint could not be loaded.
    struct Unloadable: Error {
        var damage: CheckpointCatalog.Damage
    }

    /// Fills an empty engine with the state that a course leads to. Durable when it returns.
    ///
    /// Memory: of each run of the checkpoint up to five tables of at most 16 MiB, 64 MiB of its history, the names of its
    /// changes; then up to nine objects of the log with its entries, and 8 MiB of rows. After an error the engine is to
    /// be discarded.
    /// - Returns: Where the state stands.
    /// - Throws: `Unloadable` when the checkpoint is damaged and another one may stand in; `RestoreError`, `LogError`; of
    ///   the store and the engine.
    func fill(
        _ engine: any LocalEngine, _ course: Course, progress: @escaping (RestoreProgress) -> Void = { _ in }
    ) throws -> MetaRow {
        let plan = course.plan
        var done = RestoreProgress(tablesAll: plan.checkpoint?.tableCount ?? 0, entriesAll: plan.entryCount)
        progress(done)
        if let file = course.file, let key = plan.checkpoint?.key {
            try load(file, key, into: engine, course) { tables in
                // Where history is long, tables are read a second time.
                done.tablesDone = max(done.tablesDone, tables)
                progress(done)
            }
        }
        try replay(into: engine, course) { entries in
            done.entriesDone = entries
            progress(done)
        }
        var meta = try StateReader(engine.snapshot()).meta
        guard meta.revision == plan.revision, try engine.appliedPosition == plan.end else {
            throw RestoreError(
                .damaged,
                "the log leads to entry \(try engine.appliedPosition), revision \(meta.revision), not to entry "
                    + "\(plan.end), revision \(plan.revision): it was changed meanwhile")
        }
        if let bumped = plan.bumpedRevision {
            meta.revision = bumped
            meta.compacted = bumped
            var batch = WriteBatch()
            batch.put(key: { $0 += SystemRow.meta }, value: { meta.append(to: &$0) })
            try engine.apply(batch, at: plan.end)
        }
        try engine.sync()
        return meta
    }

    private func load(
        _ file: ManifestFile, _ key: ObjectKey, into engine: any LocalEngine, _ course: Course,
        tablesDone: @escaping (Int) -> Void
    ) throws {
        do {
            try CheckpointLoader(checkpoints, file, key: key).load(into: engine) { done, _ in tablesDone(done) }
        } catch let error where CheckpointCatalog.isDamage(error) {
            guard course.mayFallBack else {
                throw RestoreError(.damaged, "the checkpoint \(key) cannot be restored", cause: error)
            }
            throw Unloadable(
                damage: CheckpointCatalog.Damage(key: key, cause: error, manifest: file.checkpoint))
        }
    }

    /// Replays the log behind the checkpoint up to the last entry of the course.
    private func replay(
        into engine: any LocalEngine, _ course: Course, entriesDone: (UInt64) -> Void
    ) throws {
        guard course.plan.entryCount > 0 else { return }
        let end = course.plan.end
        var replay = try EngineReplay(on: engine)
        var count: UInt64 = 0
        _ = try chain.read(after: course.plan.checkpoint?.end ?? .zero) { entry in
            count += 1
            var isApplied = try replay.add(entry)
            let witness = course.witnesses.first { $0.manifest.position == entry.position }
            if witness != nil || entry.position.index == end.index {
                try replay.apply()
                isApplied = true
            }
            if isApplied { entriesDone(count) }
            if let witness, try StateReader(engine.snapshot()).meta != witness.manifest.meta {
                throw RestoreError(
                    .damaged,
                    "the log leads to another state at entry \(entry.position) than \(witness.key) has there, which is "
                        + "damaged: restore a state before it, or remove it to go by the log alone")
            }
            return entry.position.index == end.index ? .stop : .next
        }
    }
}
