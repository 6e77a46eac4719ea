import T4Protocols

/// Replays entries of a log into an engine: their rows are applied once they are many, and whenever the engine is to be
/// looked at.
struct EngineReplay {
    /// Rows are applied once they pass this many bytes.
    private static let batchSizeMax = 8 << 20
    private let engine: any LocalEngine
    private var replay: LogReplay
    /// Whether entries were added that the engine has not got yet.
    private var isPending = false

    /// Starts on top of what the engine has applied.
    init(on engine: any LocalEngine) throws {
        self.engine = engine
        replay = try LogReplay(on: engine)
    }

    /// Adds the entry behind the last one.
    /// - Returns: Whether the engine has everything so far.
    /// - Throws: As `LogReplay.add`; of the engine.
    @discardableResult
    mutating func add(_ entry: LogEntry) throws -> Bool {
        try replay.add(entry)
        isPending = true
        guard replay.byteCount >= EngineReplay.batchSizeMax else { return false }
        try apply()
        return true
    }

    /// Brings the engine up to the last entry that was added.
    mutating func apply() throws {
        guard isPending else { return }
        try engine.apply(replay.finish(), at: replay.position)
        replay = try LogReplay(on: engine)
        isPending = false
    }
}
