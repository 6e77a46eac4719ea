package import T4Protocols

/// Applies entries that another node decided: the same way as a node's own groups, so that watches, leases and users see the
/// same.
///
/// Used by one thread, which passes nothing else to the stage meanwhile.
package final class EntryApplier {
    private let engine: any LocalEngine
    private let stage: ApplyStage
    /// The group passed last.
    package private(set) var number: UInt64
    private var decoder: EntryDecoder

    /// - Parameter number: The last group that was passed to the stage; all up to it are applied.
    package init(engine: any LocalEngine, stage: ApplyStage, after number: UInt64) throws(EngineError) {
        self.engine = engine
        self.stage = stage
        self.number = number
        decoder = try EntryApplier.decoder(engine)
    }

    /// Passes the entries behind those passed last, as one group; waits while the stage has much to do.
    /// - Throws: `.noSpace` while the engine has none: nothing was passed, and it can be tried again. `.corrupted` for an entry that cannot follow, or be read: nothing of these entries is applied, and the applier must
    ///   not be used again. `.closed` when the stage has failed.
    package func apply(_ entries: [LogEntry]) throws(EngineError) {
        guard let last = entries.last else { return }
        guard stage.waitForRoom(depth: CommitThread.Limits().depth) else {
            throw EngineError(.closed, "the local engine has failed")
        }
        guard !stage.isFull else { throw EngineError(.noSpace, "the disk of the local engine is full") }
        // What the decoder remembers is in the engine by now.
        if stage.applied == number { decoder = try EntryApplier.decoder(engine) }
        var changes: [EntryChanges] = []
        changes.reserveCapacity(entries.count)
        for entry in entries {
            if let change = try decoder.decode(entry) { changes.append(change) }
        }
        number += 1
        stage.pass(
            CommittedGroup(number: number, entries: changes, position: last.position, time: last.time), inline: true)
    }

    private static func decoder(_ engine: any LocalEngine) throws(EngineError) -> EntryDecoder {
        try EntryDecoder(reader: StateReader(engine.snapshot()), position: engine.appliedPosition)
    }
}
