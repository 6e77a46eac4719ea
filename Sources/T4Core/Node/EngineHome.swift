import FoundationEssentials
package import Logging
package import T4Protocols

/// Where an engine lives, and whether its files can be trusted.
///
/// `engine/state` names the generation in use, the engine's type, whether that keeps anything on disk, the boot of the
/// machine it was opened under, and whether it was closed cleanly. An engine that does not survive power loss and was
/// open when the machine went down is discarded: the next generation starts empty and is filled from the log.
///
/// Generations that are not in use are leftovers of a start or a conversion that was cut off, and are removed.
package struct EngineHome: Sendable {
    /// The content of `engine/state`.
    package struct State: Hashable, Sendable {
        package var generation: UInt64
        package var type: String
        package var boot: String
        package var isClean: Bool
        /// Nothing of the engine is on disk: the log is the only copy.
        package var isVolatile: Bool
        /// It is being filled from a checkpoint, and worth nothing before that is done.
        package var isFilling = false

        fileprivate var text: String {
            "generation \(generation)\ntype \(type)\nkept \(isVolatile ? "in-memory" : "on-disk")\nboot \(boot)\n"
                + "closed \(isClean ? "clean" : "open")\n" + (isFilling ? "filled partly\n" : "")
        }

        fileprivate init?(_ text: String) {
            let fields = DurableFile.fields(of: text)
            guard let generation = fields["generation"].flatMap({ UInt64($0) }), let type = fields["type"],
                let boot = fields["boot"], let closed = fields["closed"]
            else { return nil }
            self.init(
                generation: generation, type: String(type), boot: String(boot), isClean: closed == "clean",
                isVolatile: fields["kept"] == "in-memory")
            isFilling = fields["filled"] == "partly"
        }

        package init(generation: UInt64, type: String, boot: String, isClean: Bool, isVolatile: Bool) {
            self.generation = generation
            self.type = type
            self.boot = boot
            self.isClean = isClean
            self.isVolatile = isVolatile
        }
    }

    private let dataDirectory: String
    private let directory: String
    private let type: String
    private let logger: Logger
    private let open: @Sendable (EngineContext) throws -> any LocalEngine

    /// - Parameter open: Opens the engine in the directory of the context.
    package init(
        _ directory: DataDirectory, type: String, logger: Logger,
        open: @escaping @Sendable (EngineContext) throws -> any LocalEngine
    ) {
        self.dataDirectory = directory.path
        self.directory = directory.engine
        self.type = type
        self.logger = logger
        self.open = open
    }

    /// Reads `engine/state`; nil when no engine was ever opened here, or when the file is damaged.
    package static func readState(_ directory: String) throws -> State? {
        try DurableFile.read(directory + "/state").flatMap { State($0) }
    }

    /// The directory of a generation.
    package static func path(_ directory: String, generation: UInt64) -> String { "\(directory)/\(generation)" }

    /// Opens the engine, or starts a new generation where the old one cannot be trusted.
    /// - Throws: `EngineMismatch` when the directory holds another engine; nothing has been changed then.
    package func openEngine() throws -> any LocalEngine {
        let boot = try EngineHome.bootID()
        let previous = try EngineHome.readState(directory)
        if let previous, previous.type == type {
            try EngineHome.removeLeftovers(directory, keeping: previous.generation)
            if let engine = try reopen(previous, boot) {
                return try begin(engine, previous.generation, boot)
            }
        } else if let previous {
            guard previous.isVolatile else {
                throw EngineMismatch(dataDirectory: dataDirectory, held: previous.type, configured: type)
            }
            logger.notice(
                "the engine before this one kept nothing on disk; the new one is filled from the log",
                metadata: ["engine.type": "\(type)", "engine.before": "\(previous.type)"])
        }
        try EngineHome.removeLeftovers(directory, keeping: nil)
        return try beginEmpty((previous?.generation ?? 0) + 1, boot)
    }

    /// Closes the engine in use and starts a generation in its place that `fill` fills.
    ///
    /// When `fill` throws, or the process dies in it, the next start discards the generation.
    package func replaceEngine(
        _ engine: any LocalEngine, fill: (any LocalEngine) throws -> Void
    ) throws -> any LocalEngine {
        try engine.close()
        let previous = try EngineHome.readState(directory)
        try EngineHome.removeLeftovers(directory, keeping: nil)
        let boot = try EngineHome.bootID()
        let generation = (previous?.generation ?? 0) + 1
        let next = try beginEmpty(generation, boot, isFilling: true)
        do {
            try fill(next)
        } catch {
            do { try next.close() } catch { logger.warning("an engine did not close: \(error)") }
            throw error
        }
        return try begin(next, generation, boot)
    }

    private func beginEmpty(_ generation: UInt64, _ boot: String, isFilling: Bool = false) throws -> any LocalEngine {
        try DurableFile.makeDirectory(EngineHome.path(directory, generation: generation))
        return try begin(open(context(generation)), generation, boot, isFilling: isFilling)
    }

    /// Durably takes the clean mark away before the first write.
    private func begin(
        _ engine: any LocalEngine, _ generation: UInt64, _ boot: String, isFilling: Bool = false
    ) throws -> any LocalEngine {
        var state = State(
            generation: generation, type: type, boot: boot, isClean: false,
            isVolatile: engine.capabilities.isVolatile)
        state.isFilling = isFilling
        try EngineHome.writeState(state, directory)
        return engine
    }

    /// The engine of an earlier run; nil when it has to be discarded.
    private func reopen(_ previous: State, _ boot: String) throws -> (any LocalEngine)? {
        let path = EngineHome.path(directory, generation: previous.generation)
        guard DurableFile.isDirectory(path), !previous.isFilling else { return nil }
        do {
            let engine = try open(context(previous.generation))
            if previous.isClean || previous.boot == boot || engine.capabilities.isPowerLossSafe { return engine }
            logger.warning("the machine went down while the engine was open; it is filled again from the log")
            try engine.close()
            return nil
        } catch let error as EngineError where error.code == .corrupted {
            logger.error("the engine's files are damaged and are filled again from the log: \(error)")
            return nil
        }
    }

    /// Marks the generation in use as closed cleanly. Call after `sync` and `close`.
    package func markClean() throws {
        guard var state = try EngineHome.readState(directory) else { return }
        state.isClean = true
        try EngineHome.writeState(state, directory)
    }

    private func context(_ generation: UInt64) -> EngineContext {
        EngineContext(
            directory: EngineHome.path(directory, generation: generation), isReadOnly: false, logger: logger)
    }

    /// Replaces `engine/state` as a whole: from then on, and over a crash, another generation is in use.
    static func writeState(_ state: State, _ directory: String) throws {
        try DurableFile.write(state.text, to: directory + "/state")
    }

    /// Removes every generation but the one in use.
    static func removeLeftovers(_ directory: String, keeping kept: UInt64?) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
            guard let generation = UInt64(name), generation != kept else { continue }
            try DurableFile.removeTree("\(directory)/\(name)")
        }
    }

    /// Tells one start of the operating system from another.
    static func bootID() throws -> String {
        let text = try DurableFile.read("/proc/sys/kernel/random/boot_id") ?? "unknown"
        return String(text.prefix { $0 != "\n" })
    }
}

/// The configuration names another engine than the one that a data directory holds.
public struct EngineMismatch: Error, Hashable, Sendable, CustomStringConvertible {
    /// The data directory.
    public var dataDirectory: String
    /// The engine that it holds.
    public var held: String
    /// The engine that the configuration names.
    public var configured: String

    /// Names both, and the command that converts.
    public var description: String {
        "the data directory \(dataDirectory) holds an engine \"\(held)\", the configuration names \"\(configured)\": set "
            + "engine.type to \"\(held)\", or convert the directory while no node runs in it: "
            + "t4 engine convert --to \(configured) --data-dir \(dataDirectory)"
    }
}
