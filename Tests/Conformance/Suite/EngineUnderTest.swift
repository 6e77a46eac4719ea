import Foundation
import Logging
public import T4Protocols

/// An engine that the rules are run on.
public struct EngineUnderTest: Sendable, CustomStringConvertible {
    /// Name for results.
    public var name: String
    /// What the engine is expected to promise.
    public var capabilities: EngineCapabilities
    /// Opens the engine in an existing directory.
    public var open: @Sendable (EngineContext) throws -> any LocalEngine

    /// Describes an engine and how it is opened.
    public init(
        name: String, capabilities: EngineCapabilities,
        open: @escaping @Sendable (EngineContext) throws -> any LocalEngine
    ) {
        self.name = name
        self.capabilities = capabilities
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
        var logger = Logger(label: "conformance")
        logger.logLevel = .critical
        return try engine.open(EngineContext(directory: directory, isReadOnly: isReadOnly, logger: logger))
    }

    /// Names and contents of all files.
    func files() throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory) {
            files[name] = FileManager.default.contents(atPath: "\(directory)/\(name)")
        }
        return files
    }
}
