import MemoryEngine
import Synchronization
public import T4Protocols

/// An engine in front of another one: batches become visible in memory at once, and reach the other engine many at a time,
/// on a thread of this one.
///
/// For engines whose cost of a batch hardly depends on its size. What has not reached the other engine is lost with the
/// process, and comes back from the log: `durablePosition` is that of the other engine. `sync` and `close` write
/// everything.
///
/// There are at most two trees of rows over the other engine: `young`, which batches go to, and `old`, which is being
/// written and changes no more. A snapshot consists of both and of a snapshot of the engine below. That may or may not
/// show `old` already, which makes no difference, but must not show anything newer; see `snapshot`.
public final class WriteBehindEngine: LocalEngine {
    private struct State {
        var young = Tree()
        /// Rows on their way into the engine below; nil when there are none.
        var old: Tree?
        /// Of the newest batch in `old`.
        var oldPosition = LogPosition.zero
        /// Of the newest batch.
        var position: LogPosition
        /// What the engine below stands at.
        var written: LogPosition
        /// Why `old` could not be written. Nobody tries again before it is taken away.
        var failure: EngineError?
        var isClosed = false
    }

    private let below: any LocalEngine
    private let bufferBytes: Int
    private let state: Monitor<State>
    /// How often `young` has become `old`. Changes under the lock, and is read without it too.
    private let turns = Atomic<UInt64>(0)
    private let writer: SystemThread

    /// Those of the engine below.
    public let capabilities: EngineCapabilities

    /// Takes over an engine that was opened for writing.
    /// - Parameter bufferBytes: Rows of so many bytes are gathered before they are written. Twice as much may wait while they
    ///   are; then `apply` waits too.
    public init(_ below: any LocalEngine, bufferBytes: Int) throws(EngineError) {
        self.below = below
        self.bufferBytes = bufferBytes
        capabilities = below.capabilities
        let position = try below.appliedPosition
        let state = Monitor(State(position: position, written: position))
        self.state = state
        // The thread holds the parts and not the engine, so that an engine that nobody closes can go.
        writer = SystemThread(name: "engine") { Self.write(below, state) }
    }

    deinit { stop() }

    /// The position of the last batch.
    public var appliedPosition: LogPosition {
        get throws(EngineError) {
            try state.withLock { (state) throws(EngineError) in
                try Self.checkOpen(state)
                return state.position
            }
        }
    }

    /// That of the engine below, which what is still in memory has not reached.
    public var durablePosition: LogPosition {
        get throws(EngineError) { try below.durablePosition }
    }

    /// Takes both trees and a snapshot of the engine below.
    public func snapshot() throws(EngineError) -> any EngineSnapshot {
        while true {
            let (young, old, turn) = try state.withLock { (state) throws(EngineError) in
                try Self.checkOpen(state)
                return (state.young, state.old, turns.load(ordering: .relaxed))
            }
            let base = try below.snapshot()
            // Rows newer than `young` reach the engine below only in a turn of their own.
            guard turns.load(ordering: .acquiring) == turn else { continue }
            if old == nil, young.rowCount == 0 { return base }
            return WriteBehindSnapshot(young: young, old: old, base: base)
        }
    }

    /// Makes the batch visible, and has earlier ones written when enough of them have gathered.
    ///
    /// Throws `.noSpace` when the engine below has no space and memory is at its limit.
    public func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        try batch.forEach { (key, value) throws(EngineError) in try EngineLimits.check(key, value) }
        var young = try youngWithRoom()
        young.beginBatch()
        batch.forEach { key, value in
            key.withUnsafeBytes { key in
                if let value {
                    value.withUnsafeBytes { young.put(Row.make(key: key, value: $0)) }
                } else {
                    let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
                    young.put(Row.make(key: key, value: nothing, isRemoval: true))
                }
            }
        }
        let (replaced, beginsWriting) = state.withLock { state in
            let replaced = state.young
            state.young = young
            state.position = position
            guard young.byteCount >= bufferBytes, state.old == nil else { return (replaced, false) }
            turn(&state)
            return (replaced, true)
        }
        if beginsWriting { state.broadcast() }
        // The nodes that only the last version had are freed here, outside the lock.
        withExtendedLifetime(replaced) {}
    }

    /// Writes everything to the engine below and syncs that.
    public func sync() throws(EngineError) {
        try writeAll()
        try below.sync()
    }

    /// Fills the engine below.
    public func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        try writeAll()
        try below.bulkLoad(&rows, at: position)
        state.withLock { state in
            state.position = position
            state.written = position
        }
    }

    /// That of the engine below.
    public func sizeOnDisk() throws(EngineError) -> Int { try below.sizeOnDisk() }

    /// That of the engine below.
    public func sizeInUse() throws(EngineError) -> Int { try below.sizeInUse() }

    /// Has the engine below do it.
    public func reclaimSpace() throws(EngineError) { try below.reclaimSpace() }

    /// Writes everything and closes the engine below, also when writing fails.
    public func close() throws(EngineError) {
        var failure: EngineError?
        if !state.withLock({ $0.isClosed }) {
            do throws(EngineError) { try writeAll() } catch { failure = error }
        }
        stop()
        try below.close()
        if let failure { throw failure }
    }

    // MARK: Writing

    /// `young` becomes `old`. Only where there is no `old`.
    private func turn(_ state: inout State) {
        state.old = state.young
        state.oldPosition = state.position
        state.young = Tree()
        // Before the thread that writes can see `old`.
        turns.add(1, ordering: .releasing)
    }

    /// Waits until there is room for another batch.
    private func youngWithRoom() throws(EngineError) -> Tree {
        let limit = 2 * bufferBytes
        var hasRetried = false
        let outcome = state.wait { state -> Result<Tree, EngineError>? in
            let isFull = state.young.byteCount >= limit
            if let failure = nextFailure(&state, &hasRetried), isFull || failure.code != .noSpace {
                return .failure(failure)
            }
            return isFull && state.old != nil ? nil : .success(state.young)
        }
        return try outcome.get()
    }

    /// Waits until the engine below has everything.
    private func writeAll() throws(EngineError) {
        var hasRetried = false
        let outcome = state.wait { state -> Result<Void, EngineError>? in
            if let failure = nextFailure(&state, &hasRetried) { return .failure(failure) }
            if state.old == nil {
                // A batch may come at the position of the one before, or with no rows at all.
                if state.young.rowCount == 0, state.position == state.written { return .success(()) }
                turn(&state)
                self.state.broadcast()
            }
            return nil
        }
        try outcome.get()
    }

    /// Why nothing can be written. A full disk may have space again, so one more attempt is made first.
    private func nextFailure(_ state: inout State, _ hasRetried: inout Bool) -> EngineError? {
        if state.isClosed { return Self.closed }
        guard let failure = state.failure else { return nil }
        if hasRetried || failure.code != .noSpace { return failure }
        hasRetried = true
        state.failure = nil
        self.state.broadcast()
        return nil
    }

    /// What the thread does: writes `old` whenever there is one, until the engine is closed.
    private static func write(_ below: any LocalEngine, _ state: Monitor<State>) {
        while true {
            let next: (rows: Tree, position: LogPosition)? = state.wait { state in
                if state.isClosed { return .some(nil) }
                guard state.failure == nil, let old = state.old else { return nil }
                return .some((old, state.oldPosition))
            }
            guard let (rows, position) = next else { return }
            var failure: EngineError?
            do throws(EngineError) { try below.apply(batch(rows), at: position) } catch { failure = error }
            let written = state.withLock { state -> Tree? in
                state.failure = failure
                guard failure == nil else { return nil }
                state.written = position
                return state.old.take()
            }
            state.broadcast()
            // Its nodes are freed here, outside the lock.
            withExtendedLifetime((written, rows)) {}
        }
    }

    private static func batch(_ rows: Tree) -> WriteBatch {
        var batch = WriteBatch()
        var cursor = TreeCursor(rows, .all, .ascending)
        while let row = cursor.next {
            if row.isRemoval {
                batch.delete(key: { $0.append(contentsOf: row.key) })
            } else {
                batch.put(key: { $0.append(contentsOf: row.key) }, value: { $0.append(contentsOf: row.value) })
            }
            cursor.advance()
        }
        return batch
    }

    private func stop() {
        state.withLock { $0.isClosed = true }
        state.broadcast()
        writer.join()
    }

    private static let closed = EngineError(.closed, "the engine is closed")

    private static func checkOpen(_ state: State) throws(EngineError) {
        if state.isClosed { throw closed }
    }
}
