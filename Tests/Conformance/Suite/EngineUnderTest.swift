import Foundation
import Logging
public import T4Protocols

/// An engine that the rules are run on.
public struct EngineUnderTest: Sendable, CustomStringConvertible {
    /// What an engine promises about files whose bytes were changed while it was closed.
    public enum DamagePromise: Hashable, Sendable {
        /// Opening or reading throws, or the rows are those of a batch that was applied: no wrong row is ever shown.
        case detected
        /// Rows may be wrong, but every call returns or throws: the process lives on.
        case contained
        /// Nothing; the process may crash. Fit for engines without checksums that map their file.
        case undefined
    }

    /// Name for results.
    public var name: String
    /// What the engine is expected to promise.
    public var capabilities: EngineCapabilities
    /// What it promises about damaged files.
    public var damage: DamagePromise
    /// How to start a process that opens this engine and that may be killed; without it some rules are not run.
    public var childProgram: ChildProgram?
    /// Opens the engine in an existing directory.
    public var open: @Sendable (EngineContext) throws -> any LocalEngine

    /// Describes an engine and how it is opened.
    public init(
        name: String, capabilities: EngineCapabilities, damage: DamagePromise = .undefined,
        childProgram: ChildProgram? = nil, open: @escaping @Sendable (EngineContext) throws -> any LocalEngine
    ) {
        self.name = name
        self.capabilities = capabilities
        self.damage = damage
        self.childProgram = childProgram
        self.open = open
    }

    /// The engine's name.
    public var description: String { name }

    /// Lends fresh, empty storage, removed afterwards.
    func withStorage(_ body: (EngineStorage) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("t4-rule-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        do {
            try await body(EngineStorage(engine: self, directory: directory.path))
        } catch {
            try FileManager.default.removeItem(at: directory)
            throw error
        }
        try FileManager.default.removeItem(at: directory)
    }

    /// Lends a new engine on fresh storage, closed afterwards.
    func withEngine(_ body: (any LocalEngine) async throws -> Void) async throws {
        try await withStorage { storage in
            let engine = try storage.open()
            try await body(engine)
            try engine.close()
        }
    }
}

/// A directory for one engine.
struct EngineStorage {
    let engine: EngineUnderTest
    let directory: String

    /// Opens, or opens again.
    func open(isReadOnly: Bool = false) throws -> any LocalEngine {
        try engine.open(.silent(directory, isReadOnly: isReadOnly))
    }

    /// Names and contents of all files.
    func files() throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
            files[name] = FileManager.default.contents(atPath: "\(directory)/\(name)")
        }
        return files
    }

    /// Removes all files.
    func empty() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
            try FileManager.default.removeItem(atPath: "\(directory)/\(name)")
        }
    }

    /// Makes a directory in this one, for a rule that needs several.
    func makeDirectory(_ name: String) throws -> EngineStorage {
        let path = "\(directory)/\(name)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return EngineStorage(engine: engine, directory: path)
    }
}

extension EngineContext {
    /// A context whose logger drops everything below critical.
    static func silent(_ directory: String, isReadOnly: Bool = false) -> EngineContext {
        var logger = Logger(label: "conformance")
        logger.logLevel = .critical
        return EngineContext(directory: directory, isReadOnly: isReadOnly, logger: logger)
    }
}
