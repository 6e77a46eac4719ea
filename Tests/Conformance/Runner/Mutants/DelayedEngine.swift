import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols

/// An engine that shows batches at once and writes them later, as engines without a log of their own do.
///
/// It is right as long as it has no flaw: `durablePosition` stays behind until a sync.
final class DelayedEngine: EngineWrapper {
    enum Flaw {
        /// `durablePosition` is what was applied.
        case saysDurableTooEarly
        case syncWritesNothing
        case closeWritesNothing
        /// A batch at the position that the engine below stands at counts as written.
        case forgetsRepeatedPositions
    }

    private static let pendingMax = 8

    private let shown: any LocalEngine
    let base: any LocalEngine
    private let flaw: Flaw?
    private let isReadOnly: Bool
    private let pending = Mutex<[(batch: WriteBatch, position: LogPosition)]>([])

    init(_ base: any LocalEngine, context: EngineContext, flaw: Flaw? = nil) throws {
        self.base = base
        self.flaw = flaw
        isReadOnly = context.isReadOnly
        var writable = context
        writable.isReadOnly = false
        shown = try BaseEngine.memory.open(writable)
        var rows = ArrayRows(try base.snapshot().rows())
        try shown.bulkLoad(&rows, at: base.appliedPosition)
    }

    var appliedPosition: LogPosition { get throws(EngineError) { try shown.appliedPosition } }

    var durablePosition: LogPosition {
        get throws(EngineError) { try flaw == .saysDurableTooEarly ? shown.appliedPosition : base.durablePosition }
    }

    func snapshot() throws(EngineError) -> any EngineSnapshot { try shown.snapshot() }

    func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        if isReadOnly { throw EngineError(.unsupported, "apply: the engine was opened read-only") }
        // First what may fail, so that nothing is shown of a batch that is refused.
        try write(leaving: Self.pendingMax)
        try shown.apply(batch, at: position)
        pending.withLock { $0.append((batch, position)) }
    }

    func sync() throws(EngineError) {
        if flaw != .syncWritesNothing { try write(leaving: 0) }
        try base.sync()
    }

    func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        var forBase = ArrayRows(try collect(&rows))
        var forShown = forBase
        try base.bulkLoad(&forBase, at: position)
        try shown.bulkLoad(&forShown, at: position)
    }

    func close() throws(EngineError) {
        var failure: EngineError?
        if flaw != .closeWritesNothing {
            do throws(EngineError) { try write(leaving: 0) } catch { failure = error }
        }
        pending.withLock { $0 = [] }
        try shown.close()
        try base.close()
        if let failure { throw failure }
    }

    private func write(leaving count: Int) throws(EngineError) {
        while let (batch, position) = pending.withLock({ $0.count > count ? $0.first : nil }) {
            let stand = try base.appliedPosition
            if flaw != .forgetsRepeatedPositions || stand != position { try base.apply(batch, at: position) }
            pending.withLock { _ = $0.removeFirst() }
        }
    }
}
