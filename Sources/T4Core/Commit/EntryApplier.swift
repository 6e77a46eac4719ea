package import T4Protocols

/// Applies entries that another node decided: the same way as a node's own groups, so that watches, leases and users see
/// the same.
///
/// Used by one thread, which passes nothing else to the stage meanwhile.
package final class EntryApplier {
    private let engine: any LocalEngine
    let stage: ApplyStage
    /// The group passed last.
    package private(set) var number: UInt64

    /// - Parameter number: The last group that was passed to the stage.
    package init(engine: any LocalEngine, stage: ApplyStage, after number: UInt64) {
        self.engine = engine
        self.stage = stage
        self.number = number
    }

    /// Passes the entries behind those passed last, as one group, once those are in the engine.
    /// - Throws: Nothing of these entries is applied then. `.noSpace` while the engine has none, `.corrupted` for an entry
    ///   that cannot follow, or be read, `.closed` when the stage has failed; and as reads of the engine.
    package func apply(_ entries: [LogEntry]) throws(EngineError) {
        guard let last = entries.last else { return }
        guard stage.waitUntilApplied(number) else { throw EngineError(.closed, "the local engine has failed") }
        guard !stage.isFull else { throw EngineError(.noSpace, "the disk of the local engine is full") }
        // The view of the engine goes with the decoder, whatever comes next and when (Rule E2).
        var decoder = try EntryDecoder(reader: StateReader(engine.snapshot()), position: engine.appliedPosition)
        var changes: [EntryChanges] = []
        changes.reserveCapacity(entries.count)
        for entry in entries {
            if let change = try decoder.decode(entry) { changes.append(change) }
        }
        number += 1
        stage.pass(
            CommittedGroup(number: number, entries: changes, position: last.position, time: last.time), inline: true)
    }

    /// The same, and waits as long as the engine has no space.
    package func applyOnceThereIsSpace(_ entries: [LogEntry]) throws(EngineError) {
        while true {
            do throws(EngineError) {
                return try apply(entries)
            } catch {
                guard error.code == .noSpace, stage.waitForSpace() else { throw error }
            }
        }
    }
}
