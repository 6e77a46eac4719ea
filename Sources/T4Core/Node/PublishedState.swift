import Synchronization
package import T4Protocols

/// What is visible: set by the applying thread after each batch, read by everybody.
package final class PublishedState: WatchSource {
    private let newest: Atomic<Int64>
    private let oldest: Atomic<Int64>
    private let engine: any LocalEngine
    /// Those that wait for an entry.
    let waiters: AppliedWaiters

    package init(engine: any LocalEngine, meta: MetaRow, index: UInt64) {
        self.engine = engine
        newest = Atomic(meta.revision.rawValue)
        oldest = Atomic(meta.compacted.rawValue)
        waiters = AppliedWaiters(applied: index)
    }

    /// The newest visible revision.
    package var revision: Revision { Revision(newest.load(ordering: .acquiring)) }

    /// History below it is gone or going.
    package var compactedRevision: Revision { Revision(oldest.load(ordering: .acquiring)) }

    /// Index of the newest applied log entry.
    package var appliedIndex: UInt64 { waiters.index }

    func publish(_ meta: MetaRow, index: UInt64?) {
        oldest.store(meta.compacted.rawValue, ordering: .releasing)
        newest.store(meta.revision.rawValue, ordering: .releasing)
        if let index { waiters.applied(index) }
    }

    package func changes(
        from first: Revision, through last: Revision, includePrevious: Bool, byteLimit: Int
    ) throws(DatabaseError) -> [RevisionEvents] {
        do {
            return try StateReader(engine.snapshot())
                .changes(from: first, through: last, includePrevious: includePrevious, byteLimit: byteLimit)
        } catch let error as DatabaseError {
            throw error
        } catch {
            throw DatabaseError(.engineFailed, "changes could not be read: \(error)")
        }
    }
}
