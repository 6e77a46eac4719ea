import Glibc
package import Logging
package import T4Protocols

/// Where an engine lives, and whether its files can be trusted.
///
/// `engine/state` names the generation in use, the engine's type, the boot of the machine it was opened under, and
/// whether it was closed cleanly. An engine that does not survive power loss and was open when the machine went down
/// is discarded: the next generation starts empty and is filled from the log.
package struct EngineHome: Sendable {
    /// The content of `engine/state`.
    package struct State: Hashable, Sendable {
        package var generation: UInt64
        package var type: String
        package var boot: String
        package var isClean: Bool

        fileprivate var text: String {
            "generation \(generation)\ntype \(type)\nboot \(boot)\nclosed \(isClean ? "clean" : "open")\n"
        }

        fileprivate init?(_ text: String) {
            let fields = DurableFile.fields(of: text)
            guard let generation = fields["generation"].flatMap({ UInt64($0) }), let type = fields["type"],
                let boot = fields["boot"], let closed = fields["closed"]
            else { return nil }
            self.init(generation: generation, type: String(type), boot: String(boot), isClean: closed == "clean")
        }

        package init(generation: UInt64, type: String, boot: String, isClean: Bool) {
            self.generation = generation
            self.type = type
            self.boot = boot
            self.isClean = isClean
        }
    }

    private let directory: String
    private let type: String
    private let logger: Logger
    private let open: @Sendable (EngineContext) throws -> any LocalEngine

    /// - Parameter open: Opens the engine in the directory of the context.
    package init(
        directory: String, type: String, logger: Logger,
        open: @escaping @Sendable (EngineContext) throws -> any LocalEngine
    ) {
        self.directory = directory
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
    package func openEngine() throws -> any LocalEngine {
        let boot = try EngineHome.bootID()
        let previous = try EngineHome.readState(directory)
        if let previous, previous.type == type {
            if let engine = try reopen(previous, boot) {
                return try begin(engine, State(generation: previous.generation, type: type, boot: boot, isClean: false))
            }
        } else if let previous {
            logger.notice(
                "the configured engine is another than before; it is filled from the log",
                metadata: ["engine.type": "\(type)", "engine.before": "\(previous.type)"])
        }
        let next = (previous?.generation ?? 0) + 1
        if let previous { try remove(previous.generation) }
        try remove(next)
        try DurableFile.makeDirectory(EngineHome.path(directory, generation: next))
        let engine = try open(context(next))
        return try begin(engine, State(generation: next, type: type, boot: boot, isClean: false))
    }

    /// Durably takes the clean mark away before the first write.
    private func begin(_ engine: any LocalEngine, _ state: State) throws -> any LocalEngine {
        try DurableFile.write(state.text, to: directory + "/state")
        return engine
    }

    /// The engine of an earlier run; nil when it has to be discarded.
    private func reopen(_ previous: State, _ boot: String) throws -> (any LocalEngine)? {
        let path = EngineHome.path(directory, generation: previous.generation)
        guard DurableFile.isDirectory(path) else { return nil }
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
        try DurableFile.write(state.text, to: directory + "/state")
    }

    private func context(_ generation: UInt64) -> EngineContext {
        EngineContext(
            directory: EngineHome.path(directory, generation: generation), isReadOnly: false, logger: logger)
    }

    private func remove(_ generation: UInt64) throws {
        try DurableFile.removeTree(EngineHome.path(directory, generation: generation))
    }

    /// Tells one start of the operating system from another.
    private static func bootID() throws -> String {
        let text = try DurableFile.read("/proc/sys/kernel/random/boot_id") ?? "unknown"
        return String(text.prefix { $0 != "\n" })
    }
}
