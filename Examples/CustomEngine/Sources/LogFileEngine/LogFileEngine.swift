import Synchronization
public import T4Protocols

/// Settings of the `logfile` engine, `[engine.logfile]`.
public struct LogFileSettings: Decodable, Sendable {
    /// How many times its rows the file may take before it is written anew; 2 or more. `waste_factor`, default 3.
    public var wasteFactor = 3

    /// The defaults.
    public init() {}

    private enum CodingKeys: String, CodingKey { case wasteFactor = "waste_factor" }

    /// Reads the keys that are there.
    /// - Throws: `DecodingError` that says which value is out of range.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        if let factor = try values.decodeIfPresent(Int.self, forKey: .wasteFactor) {
            guard factor >= 2 else {
                throw DecodingError.dataCorruptedError(
                    forKey: .wasteFactor, in: values, debugDescription: "\(factor) is below 2")
            }
            wasteFactor = factor
        }
    }
}

/// An engine that keeps its rows in memory and every batch in an append-only file: a small one that keeps every rule.
///
/// Opening reads the whole file, and each batch may copy the list of rows, so it is for small data.
public final class LogFileEngine: LocalEngine {
    private struct State {
        var rows = SortedRowList()
        var position = LogPosition.zero
        var file: LogFile
    }

    /// Nil once closed.
    private let state: Mutex<State?>
    private let settings: LogFileSettings
    private let isReadOnly: Bool

    /// Safe against power loss: records carry checksums. Reads wait while a batch is written.
    public let capabilities = EngineCapabilities(isPowerLossSafe: true, readsAreInline: false, isVolatile: false)

    /// Reads the file in the directory, and makes it where there is none.
    /// - Throws: `.inUse` when the directory is open for writing elsewhere; `.corrupted` when the file is not ours;
    ///   `.ioFailed` when a system call fails or, read-only, the file is missing.
    public init(_ settings: LogFileSettings = LogFileSettings(), context: EngineContext) throws(EngineError) {
        self.settings = settings
        isReadOnly = context.isReadOnly
        var rows = SortedRowList()
        var position = LogPosition.zero
        let file = try LogFile(directory: context.directory, isReadOnly: context.isReadOnly) { record in
            guard record.forEachChange({ rows.change($0, $1) }) else { return false }
            position = record.position
            return true
        }
        state = Mutex(State(rows: rows, position: position, file: file))
    }

    /// The position of the last record.
    public var appliedPosition: LogPosition {
        get throws(EngineError) { try withState { $0.position } }
    }

    /// The same: a record is in the page cache before `apply` returns, and that outlives the process.
    public var durablePosition: LogPosition {
        get throws(EngineError) { try appliedPosition }
    }

    /// Refers to the list of rows, which the next batch copies before it changes it.
    public func snapshot() throws(EngineError) -> any EngineSnapshot {
        LogFileSnapshot(rows: try withState { $0.rows })
    }

    /// Appends one record and changes the rows.
    public func apply(_ batch: WriteBatch, at position: LogPosition) throws(EngineError) {
        var record = LogRecord(position)
        try batch.forEach { (key, value) throws(EngineError) in try record.add(key, value) }
        try withWritableState("apply") { state throws(EngineError) in
            try state.file.append(record)
            batch.forEach { state.rows.change($0, $1) }
            state.position = position
            guard state.file.sizeBytes > settings.wasteFactor * state.rows.sizeBytes + (1 << 20) else { return }
            do throws(EngineError) {
                try state.file.replace(with: state.rows.record(at: position))
            } catch {
                // The batch is in the old file. A full disk only puts the new one off until there is room.
                if error.code != .noSpace { throw error }
            }
        }
    }

    /// Waits until the file is on the disk.
    public func sync() throws(EngineError) {
        try withWritableState("sync") { state throws(EngineError) in try state.file.sync() }
    }

    /// Writes one record with all rows into a new file, which takes the place of the old one when it is on the disk.
    public func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        try withWritableState("bulkLoad") { state throws(EngineError) in
            guard state.rows.isEmpty, state.position == .zero else {
                throw EngineError(.invalidArgument, "bulk load into an engine that is not empty")
            }
            var loaded = SortedRowList()
            var failure: EngineError?
            while failure == nil {
                let isRow = try rows.next { key, value in
                    do throws(EngineError) { try loaded.append(key, value) } catch { failure = error }
                }
                if !isRow { break }
            }
            if let failure { throw failure }
            try state.file.replace(with: loaded.record(at: position))
            state.rows = loaded
            state.position = position
        }
    }

    /// Bytes of the file.
    public func sizeOnDisk() throws(EngineError) -> Int { try withState { $0.file.sizeBytes } }

    /// The same: the file holds nothing that later writes would use again.
    public func sizeInUse() throws(EngineError) -> Int { try sizeOnDisk() }

    /// Writes the rows into a new file, without what was replaced.
    public func reclaimSpace() throws(EngineError) {
        try withWritableState("reclaimSpace") { state throws(EngineError) in
            try state.file.replace(with: state.rows.record(at: state.position))
        }
    }

    /// Closes the file; snapshots keep their rows.
    public func close() throws(EngineError) { closeFile() }

    deinit { closeFile() }

    private func closeFile() {
        state.withLock { state in
            state?.file.close()
            state = nil
        }
    }

    private func withState<R: Sendable>(_ body: (State) -> R) throws(EngineError) -> R {
        try state.withLock { state throws(EngineError) in
            guard let state else { throw EngineError(.closed, "the engine is closed") }
            return body(state)
        }
    }

    private func withWritableState(
        _ operation: String, _ body: (inout State) throws(EngineError) -> Void
    ) throws(EngineError) {
        try state.withLock { state throws(EngineError) in
            guard state != nil else { throw EngineError(.closed, "the engine is closed") }
            if isReadOnly { throw EngineError(.unsupported, "\(operation): the engine was opened read-only") }
            try body(&state!)
        }
    }
}

/// A frozen list of rows.
private final class LogFileSnapshot: EngineSnapshot {
    private let rows: SortedRowList

    init(rows: SortedRowList) { self.rows = rows }

    func read(_ key: RawSpan, visit: (RawSpan) -> Void) throws(EngineError) -> Bool {
        guard let value = rows.value(key.bytes) else { return false }
        visit(value.span.bytes)
        return true
    }

    func scan(_ range: KeyRange, order: ScanOrder, visit: (RawSpan, RawSpan) -> ScanStep) throws(EngineError) {
        rows.scan(range, order, visit)
    }
}
