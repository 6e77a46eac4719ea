public import Logging
public import T4Protocols

/// Makes the engine of a stopped data directory again, with an engine of another type or with other settings.
///
/// All rows are copied from one snapshot into a new generation, which takes the place of the old one only once it is
/// complete and on disk, by replacing `engine/state`. A crash before that leaves the old engine in use, one after that
/// the new one; the other generation is removed at the next start or conversion. The log is neither read nor changed.
public struct EngineConversion: Sendable {
    /// What was copied.
    public struct Report: Hashable, Sendable {
        /// The engine before.
        public var from: String
        /// The engine now.
        public var to: String
        /// Rows of the engine, of all keyspaces.
        public var rows: Int64
        /// Bytes of their keys and values.
        public var bytes: Int64
        /// Bytes that the old engine took on disk.
        public var sizeBefore: Int
        /// Bytes that the new engine takes on disk.
        public var sizeAfter: Int
        /// Where the new engine keeps its files.
        public var engineDirectory: String
    }

    /// Why a directory cannot be converted.
    public struct Failure: Error, Sendable, CustomStringConvertible {
        /// What is in the way, and what to do about it.
        public var description: String
    }

    private let dataDirectory: String
    private let registry: BackendRegistry
    private let settings: @Sendable (String) -> any SettingsSource
    private let logger: Logger

    /// A conversion of that directory.
    /// - Parameters:
    ///   - registry: Must know both engines.
    ///   - settings: The settings of an engine by its name.
    public init(
        dataDirectory: String, registry: BackendRegistry, logger: Logger,
        settings: @escaping @Sendable (String) -> any SettingsSource = { _ in NoSettings() }
    ) {
        self.dataDirectory = dataDirectory
        self.registry = registry
        self.settings = settings
        self.logger = logger
    }

    /// Converts the directory. No node may run in it, and none can start meanwhile.
    /// - Throws: A description of what is in the way: no data directory, it is in use, either engine keeps nothing on
    ///   disk or is unknown, the old engine has to be rebuilt from the log first, an engine failed. The old engine
    ///   stays in use then.
    public func run(to type: String) throws -> Report {
        try registry.checkEngineSettings(type, settings(type))
        guard try DurableFile.isDirectory(dataDirectory) && DataDirectory.readIdentity(dataDirectory) != nil else {
            throw Failure(description: "\(dataDirectory) is not a data directory of t4: it has no file named database")
        }
        let directory = try DataDirectory(dataDirectory)
        defer { directory.unlock() }
        let state = try convertibleState(directory.engine)
        try EngineHome.removeLeftovers(directory.engine, keeping: state.generation)
        let next = state.generation + 1
        let path = EngineHome.path(directory.engine, generation: next)
        let report: Report
        do {
            try DurableFile.makeDirectory(path)
            report = try copy(state, in: directory.engine, to: type, path)
            // The names of the engine's files, which a sync of their content does not cover.
            try DurableFile.syncDirectory(path)
            let after = EngineHome.State(
                generation: next, type: type, boot: try EngineHome.bootID(), isClean: true, isVolatile: false)
            try EngineHome.writeState(after, directory.engine)
        } catch {
            // A failed write of the state may have replaced it all the same: then the new engine is in use.
            removeLeftovers(directory.engine)
            throw error
        }
        removeLeftovers(directory.engine)
        return report
    }

    /// The engine in use, if its rows can be copied.
    private func convertibleState(_ engines: String) throws -> EngineHome.State {
        guard let state = try EngineHome.readState(engines) else {
            throw Failure(
                description: "no engine was ever opened in \(dataDirectory): start a node, which fills one from the log"
            )
        }
        if state.isFilling {
            throw Failure(
                description:
                    "a start was cut off while it filled the engine in \(dataDirectory) from the store: start the "
                    + "node once, and convert then")
        }
        if state.isVolatile {
            throw Failure(
                description:
                    "the engine \"\(state.type)\" keeps nothing on disk, so that there is nothing to convert in "
                    + "\(dataDirectory): set engine.type and start the node, which fills the new engine from the log")
        }
        return state
    }

    private func copy(
        _ state: EngineHome.State, in engines: String, to type: String, _ path: String
    ) throws -> Report {
        let source = try open(state.type, EngineHome.path(engines, generation: state.generation), isReadOnly: true)
        defer { close(source) }
        if !state.isClean, !source.capabilities.isPowerLossSafe, try state.boot != EngineHome.bootID() {
            throw Failure(
                description:
                    "the machine went down while the engine \"\(state.type)\" in \(dataDirectory) was open: start "
                    + "the node once, which fills it from the log again, stop it, and convert then")
        }
        let target = try open(type, path, isReadOnly: false)
        defer { close(target) }
        if target.capabilities.isVolatile {
            throw Failure(
                description:
                    "the engine \"\(type)\" keeps nothing on disk, so that nothing can be converted to it; to have "
                    + "it filled from the log at each start instead, remove \(engines) while no node runs")
        }
        let position = try source.appliedPosition
        var rows = SnapshotRows(try source.snapshot())
        try target.bulkLoad(&rows, at: position)
        try target.sync()
        let written = SnapshotRows(try target.snapshot())
        try written.drain()
        guard written.digest == rows.digest, try target.appliedPosition == position else {
            throw Failure(
                description: "the engine \"\(type)\" does not hold what was copied into it: \(written.count) of "
                    + "\(rows.count) rows; the engine \"\(state.type)\" stays in use")
        }
        let report = Report(
            from: state.type, to: type, rows: rows.count, bytes: rows.byteCount,
            sizeBefore: try source.sizeOnDisk(), sizeAfter: try target.sizeOnDisk(), engineDirectory: path)
        // What fails here must not be switched to; closing is safe twice.
        try target.close()
        return report
    }

    private func open(_ type: String, _ path: String, isReadOnly: Bool) throws -> any LocalEngine {
        try registry.makeEngine(
            type, settings: settings(type),
            context: EngineContext(directory: path, isReadOnly: isReadOnly, logger: logger))
    }

    private func close(_ engine: any LocalEngine) {
        do { try engine.close() } catch { logger.error("an engine did not close cleanly: \(error)") }
    }

    /// Removes the generation that is not in use; where that fails, the next start or conversion does it.
    private func removeLeftovers(_ engines: String) {
        do {
            guard let state = try EngineHome.readState(engines) else { return }
            try EngineHome.removeLeftovers(engines, keeping: state.generation)
        } catch {
            logger.warning("a generation of the engine in \(engines) that is not in use could not be removed: \(error)")
        }
    }
}
