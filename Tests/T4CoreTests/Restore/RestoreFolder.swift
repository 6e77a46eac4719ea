import Foundation
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

/// A folder to restore into, and a made-up database in a store under `db/`.
final class RestoreFolder: Sendable {
    let path: String
    let base: any ObjectStore

    var data: String { path + "/data" }
    static let enginesOnDisk = BackendRegistry.builtIn.engineNames.filter { $0 != "memory" }
    static let engine = enginesOnDisk.first ?? "memory"

    init() async throws {
        base = try await makeMemoryStore()
        path = FileManager.default.temporaryDirectory.appendingPathComponent("t4-restore-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        do { try FileManager.default.removeItem(atPath: path) } catch { Issue.record(error) }
    }

    /// The database; blocks.
    func makeDatabase() throws -> RestoreFixture {
        let fixture = try RestoreFixture(
            PrefixedStore(base, prefix: "db/"), seed: 31, revisions: 150, checkpointInterval: 40)
        _ = try DatabaseObject(LogFixture.databaseID, created: 5).write(fixture.store)
        return fixture
    }

    func point(_ target: RestorePoint.Target, bumpsRevision: Bool = false) -> RestorePoint {
        var point = RestorePoint(store: base, prefix: "db/", target: target)
        point.bumpsRevision = bumpsRevision
        return point
    }

    /// Restores on this thread.
    @discardableResult
    func restore(
        _ point: RestorePoint, _ directory: String? = nil, engine: String = RestoreFolder.engine,
        onStep: @escaping (RestoredDirectory.Step) throws -> Void = { _ in }
    ) throws -> RestoreReport {
        try point.restore(
            into: RestoreDestination(dataDirectory: directory ?? data, engine: engine), .builtIn, quietLogger, { _ in },
            onStep: onStep)
    }

    /// What lies in the folder, or in another one.
    func names(_ directory: String? = nil) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory ?? path).sorted()
    }

    /// What an inspection finds in a directory.
    func summary(_ directory: String? = nil) throws -> Inspection.Summary {
        try Inspection(dataDirectory: directory ?? data, registry: .builtIn, logger: quietLogger).summary
    }

    /// Opens the engine of a directory and lends it.
    func withEngine(_ directory: String? = nil, _ body: (any LocalEngine) throws -> Void) throws {
        let engines = (directory ?? data) + "/engine"
        let state = try #require(try EngineHome.readState(engines))
        #expect(state.generation == 1 && state.isClean && !state.isVolatile)
        let engine = try BackendRegistry.builtIn.makeEngine(
            state.type, settings: NoSettings(),
            context: EngineContext(
                directory: EngineHome.path(engines, generation: 1), isReadOnly: true, logger: quietLogger))
        try body(engine)
        try engine.close()
    }
}
