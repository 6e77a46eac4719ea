/// An ordered map of bytes on local disk that serves as a cache of the log.
///
/// Keys and values are arbitrary bytes within `EngineLimits`; keys order as unsigned bytes. Any call
/// may block unless `capabilities` says otherwise. `apply`, `sync`, `bulkLoad` and `close` are called from one thread
/// at a time; `snapshot` and snapshots are used from any thread, also while `apply` runs.
public protocol LocalEngine: Sendable {
    /// What this engine promises beyond the protocol. Constant for the life of the engine.
    var capabilities: EngineCapabilities { get }

    /// The position of the last batch that a snapshot taken now would show; `.zero` in an empty engine.
    var appliedPosition: LogPosition { get throws(EngineError) }

    /// The position that is left after this process is killed, never behind what the last `sync` returned with.
    var durablePosition: LogPosition { get throws(EngineError) }

    /// Takes a frozen view of everything applied so far.
    ///
    /// Views are cheap but not free: some engines keep every page written after the oldest view. Hold one only while
    /// reading, never across network or object store work.
    /// - Throws: `.noSpace` when too many views are open, `.closed`.
    func snapshot() throws(EngineError) -> any EngineSnapshot

    /// Applies a batch, whole or not at all, and records `position` in the same transaction.
    ///
    /// The position may be that of the batch before, which is kept as well. Within a batch the last change of a key wins.
    /// Survives a crash of the process only as far as `durablePosition` says.
    /// - Throws: `.noSpace`, nothing was applied and the engine stays usable; `.corrupted` or `.ioFailed`, the engine
    ///   must be closed and rebuilt; `.closed`.
    func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError)

    /// Makes everything applied so far survive a crash of the process, and of the operating system where
    /// `capabilities.isPowerLossSafe`.
    func sync() throws(EngineError)

    /// Fills an empty engine from rows in strictly rising key order and records `position`.
    ///
    /// Durable as after `sync` when it returns. After an error the engine is to be discarded.
    /// - Throws: `.invalidArgument` when the engine is not empty or the rows are out of order, else as `apply`.
    func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError)

    /// Bytes that the engine's files take on disk, or in memory for an engine without files.
    func sizeOnDisk() throws(EngineError) -> Int

    /// Bytes of the files that hold what was written to them and is not replaced: without the parts of files that the
    /// next writes use again, as far as the engine can tell.
    func sizeInUse() throws(EngineError) -> Int

    /// Brings `sizeInUse` down to about what the rows need that were there at the last `sync`.
    ///
    /// Changes no row. May take long; meanwhile everything but `close` may be called, from any thread.
    /// - Throws: `.noSpace`, the engine stays usable; else as `apply`.
    func reclaimSpace() throws(EngineError)

    /// Releases files and memory. Safe twice; every other call throws `.closed` afterwards.
    ///
    /// Snapshots that are still open stay readable until they are released; the files are let go with the last one.
    func close() throws(EngineError)
}

/// Sizes that every engine takes.
public enum EngineLimits {
    /// Bytes of a key: room for a user key of 32 KiB that is escaped and carries a revision.
    public static let keyBytes = 1...(72 * 1024)
    /// Bytes of a value: 64 MiB.
    public static let valueBytesMax = 64 * 1024 * 1024
}

/// A frozen view of a `LocalEngine`, released with its last reference.
///
/// May move between threads, but is used by one at a time.
public protocol EngineSnapshot: AnyObject, Sendable {
    /// Reads one value. The bytes are lent to `visit` and must be copied to outlive it.
    /// - Returns: False when the key is absent; `visit` was then not called.
    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool

    /// Visits the rows of a range as (key, value) until the end or until `visit` returns `.stop`.
    ///
    /// `visit` may read from the same snapshot and start further scans.
    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) throws(EngineError)
}

/// What an engine promises beyond `LocalEngine`.
public struct EngineCapabilities: Hashable, Sendable {
    /// After power loss the engine opens at some earlier batch, whole: it never needs to be discarded.
    public var isPowerLossSafe: Bool
    /// Reads come from memory or the page cache, so an event loop may call them directly.
    public var readsAreInline: Bool
    /// Everything is lost when the process ends; the log is the only durable copy.
    public var isVolatile: Bool

    /// States what an engine promises.
    public init(isPowerLossSafe: Bool, readsAreInline: Bool, isVolatile: Bool) {
        self.isPowerLossSafe = isPowerLossSafe
        self.readsAreInline = readsAreInline
        self.isVolatile = isVolatile
    }
}

/// The keys from `lower` (included) to `upper` (excluded; nil for no upper bound).
public struct KeyRange: Hashable, Sendable {
    /// First key that belongs to the range; empty for no lower bound.
    public var lower: [UInt8]
    /// First key after the range; nil for no upper bound.
    public var upper: [UInt8]?

    /// Every key.
    public static let all = KeyRange(lower: [], upper: nil)

    /// The keys from `lower` (included) to `upper` (excluded).
    public init(lower: [UInt8], upper: [UInt8]?) {
        self.lower = lower
        self.upper = upper
    }

    /// The keys that start with `prefix`.
    public init(prefix: [UInt8]) {
        self.init(lower: prefix, upper: KeyRange.end(ofPrefix: prefix))
    }

    /// The first key after all keys that start with `prefix`; nil when there is none (empty, or all 0xFF).
    public static func end(ofPrefix prefix: [UInt8]) -> [UInt8]? {
        var end = prefix
        while let last = end.popLast() {
            if last < 0xFF {
                end.append(last + 1)
                return end
            }
        }
        return nil
    }
}

/// The direction of a scan.
public enum ScanOrder: Hashable, Sendable {
    /// From the lowest key up.
    case ascending
    /// From the highest key down.
    case descending
}

/// What a scan does after a row.
public enum ScanStep: Hashable, Sendable {
    /// Goes on with the next row.
    case next
    /// Ends the scan.
    case stop
}

/// A source of rows in strictly rising key order.
public protocol SortedRows {
    /// Lends the next row to `visit`.
    /// - Returns: False at the end; `visit` was then not called.
    mutating func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool
}
