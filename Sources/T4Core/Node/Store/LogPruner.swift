import T4Protocols

/// Removes segments of the local log that nothing needs any more (Rule E1).
struct LogPruner: Sendable {
    let log: LogEntries
    let engine: any LocalEngine
    let stage: ApplyStage
    /// Nil where others upload the log.
    let uploader: LogUploader?

    /// - Parameter covered: The last entry of the newest checkpoint.
    /// - Returns: Segments removed.
    func run(covered: UInt64) throws -> Int {
        var kept = min(covered, uploader?.status.end.index ?? covered)
        // A follower may have to apply yet what the leader's checkpoint covers.
        kept = try min(kept, engine.appliedPosition.index)
        // An engine that keeps nothing on disk is filled from the checkpoint in any case.
        if !engine.capabilities.isVolatile {
            try sync()
            kept = try min(kept, engine.durablePosition.index)
        }
        return try log.removeSegments(below: kept + 1)
    }

    /// Lets the applying thread sync the engine, and waits for it.
    private func sync() throws {
        let outcome = Monitor<Result<Void, EngineError>?>(nil)
        stage.sync { result in
            outcome.withLock { $0 = result }
            outcome.broadcast()
        }
        try outcome.wait { $0 }.get()
    }
}
