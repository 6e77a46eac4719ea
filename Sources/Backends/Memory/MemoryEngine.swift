import Synchronization
public import T4Protocols

/// Settings of the `memory` engine: it has none.
public struct MemorySettings: Decodable, Sendable {
    /// The only settings there are.
    public init() {}
}

/// An engine that keeps everything in memory and loses it when the process ends.
///
/// Every version of the content is an immutable tree; applying a batch makes the next version, which shares all
/// unchanged nodes with the last, and publishes it with its position in one step. A snapshot is a reference to a version,
/// so it costs nothing to take, is never blocked by a batch and keeps only what was replaced since.
public final class MemoryEngine: LocalEngine {
    private struct State {
        /// Nil once closed.
        var tree: Tree? = Tree()
        var position = LogPosition.zero
    }

    private let state = Mutex(State())

    /// Volatile; reads never block.
    public let capabilities = EngineCapabilities(isPowerLossSafe: false, readsAreInline: true, isVolatile: true)

    /// Makes an empty engine; nothing is read from or written to the directory.
    /// - Throws: `.unsupported` when asked for a read-only engine, as there is nothing that it could show.
    public init(_ settings: MemorySettings = MemorySettings(), context: EngineContext) throws(EngineError) {
        if context.isReadOnly {
            throw EngineError(.unsupported, "the memory engine keeps nothing in \(context.directory) to open read-only")
        }
    }

    /// The position of the newest version.
    public var appliedPosition: LogPosition {
        get throws(EngineError) { try current().position }
    }

    /// Always `.zero`: nothing is left when the process is killed, synced or not.
    public var durablePosition: LogPosition {
        get throws(EngineError) {
            _ = try current()
            return .zero
        }
    }

    /// Refers to the newest version. Never fails but with `.closed`.
    public func snapshot() throws(EngineError) -> any EngineSnapshot { MemorySnapshot(try current().tree) }

    /// Makes and publishes the next version. Readers are held up only while one reference is stored.
    public func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        var tree = try current().tree
        tree.beginBatch()
        try batch.forEach { (key, value) throws(EngineError) in try Self.change(&tree, key, value) }
        try publish(tree, at: position)
    }

    /// Does nothing: there is nowhere to write to.
    public func sync() throws(EngineError) { _ = try current() }

    /// Builds the first version.
    public func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        var (tree, applied) = try current()
        guard tree.rowCount == 0, applied == .zero else {
            throw EngineError(
                .invalidArgument, "bulk load into an engine that holds \(tree.rowCount) rows at \(applied)")
        }
        tree.beginBatch()
        var failure: EngineError?
        var last: Row?
        while failure == nil {
            let isRow = try rows.next { key, value in
                do throws(EngineError) {
                    let row = try Self.row(key, value)
                    if let last, compareBytes(last.key, row.key) >= 0 {
                        throw EngineError(
                            .invalidArgument, "bulk load: row \(tree.rowCount + 1) is not above the one before")
                    }
                    tree.put(row)
                    last = row
                } catch {
                    failure = error
                }
            }
            if !isRow { break }
        }
        if let failure { throw failure }
        try publish(tree, at: position)
    }

    /// Bytes of the newest version; older versions that snapshots keep are not counted.
    public func sizeOnDisk() throws(EngineError) -> Int { try current().tree.byteCount }

    /// The same: what is deleted is freed.
    public func sizeInUse() throws(EngineError) -> Int { try sizeOnDisk() }

    /// There is nothing to reclaim.
    public func reclaimSpace() throws(EngineError) { _ = try current() }

    /// Drops the content; snapshots keep theirs.
    public func close() throws(EngineError) {
        // The tree is taken out and freed after the lock is let go: freeing a large one takes long.
        let dropped = state.withLock { state in
            let tree = state.tree
            state.tree = nil
            return tree
        }
        _ = dropped
    }

    private func current() throws(EngineError) -> (tree: Tree, position: LogPosition) {
        let state = state.withLock { $0 }
        guard let tree = state.tree else { throw EngineError(.closed, "the memory engine is closed") }
        return (tree, state.position)
    }

    private func publish(_ tree: Tree, at position: LogPosition) throws(EngineError) {
        // As in `close`, the last version is freed outside the lock.
        let replaced = state.withLock { state -> Tree? in
            let last = state.tree
            if last != nil { state = State(tree: tree, position: position) }
            return last
        }
        guard replaced != nil else { throw EngineError(.closed, "the memory engine was closed during a batch") }
    }

    private static func change(_ tree: inout Tree, _ key: RawSpan, _ value: RawSpan?) throws(EngineError) {
        if let value {
            tree.put(try row(key, value))
        } else {
            try EngineLimits.check(key, nil)
            key.withUnsafeBytes { tree.remove($0) }
        }
    }

    private static func row(_ key: RawSpan, _ value: RawSpan) throws(EngineError) -> Row {
        try EngineLimits.check(key, value)
        return key.withUnsafeBytes { key in value.withUnsafeBytes { Row.make(key: key, value: $0) } }
    }
}

/// One version of a `MemoryEngine`.
final class MemorySnapshot: EngineSnapshot {
    private let tree: Tree

    init(_ tree: Tree) { self.tree = tree }

    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        guard let row = key.withUnsafeBytes({ tree.row(for: $0) }) else { return false }
        visit(row.value.bytes)
        return true
    }

    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) throws(EngineError) {
        tree.scan(range, order: order, visit: visit)
    }
}
