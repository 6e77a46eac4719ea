import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

let quietLogger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A data directory, and copies of it as a crash would leave them.
final class ConversionFixture {
    private let folder: String
    var directory: String { folder + "/data" }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("t4-convert-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit {
        do { try FileManager.default.removeItem(atPath: folder) } catch { Issue.record(error) }
    }

    /// Names of the built-in engines that keep something on disk, and `second`, which is the first of them again.
    static let enginesOnDisk: [String] = {
        let onDisk = BackendRegistry.builtIn.engineNames.filter { $0 != "memory" }
        return onDisk + (onDisk.isEmpty ? [] : ["second"])
    }()

    /// Every way from one engine to one that keeps something on disk, to itself too.
    static let ways: [(from: String, to: String)] = enginesOnDisk.flatMap { from in enginesOnDisk.map { (from, $0) } }

    /// The built-in engines, and `second`, which tests do with what they like.
    /// - Parameter wrap: What `second` is in place of the engine that it opens.
    static func registry(
        wrap: @escaping @Sendable (any LocalEngine, EngineContext) throws -> any LocalEngine = { engine, _ in engine }
    ) -> BackendRegistry {
        struct Settings: Decodable {}
        var registry = BackendRegistry.builtIn
        registry.register(engine: "second", settings: Settings.self) { _, context in
            let first = try #require(BackendRegistry.builtIn.engineNames.first { $0 != "memory" })
            return try wrap(
                BackendRegistry.builtIn.makeEngine(first, settings: NoSettings(), context: context), context)
        }
        return registry
    }

    func open(_ engine: String, _ directory: String? = nil) throws -> Node {
        try Node(
            NodeConfiguration(dataDirectory: directory ?? self.directory, engine: engine),
            registry: ConversionFixture.registry(), logger: quietLogger, clock: .system)
    }

    func convert(
        to engine: String, _ directory: String? = nil, registry: BackendRegistry = ConversionFixture.registry()
    ) throws -> EngineConversion.Report {
        try EngineConversion(dataDirectory: directory ?? self.directory, registry: registry, logger: quietLogger)
            .run(to: engine)
    }

    /// What conversion must keep, as a node sees it.
    struct Content: Hashable {
        var revision: Revision
        var compacted: Revision
        var hash: UInt32
        var leases: [Int64]
        var count: Int64
    }

    static func content(of node: Node) throws -> Content {
        let reader = try node.read()
        return Content(
            revision: node.revision, compacted: node.compactedRevision,
            hash: try StateHash.hash(reader, through: node.revision), leases: node.leases.ids.sorted(),
            count: try reader.countLatest(in: .all))
    }

    /// Fills the directory with a node on that engine, of some megabytes, and stops it.
    func fill(_ engine: String) async throws -> Content {
        let node = try open(engine)
        let lease = try await node.grantLease(ttl: 100_000)
        for count in 0..<120 {
            let value = [UInt8](repeating: UInt8(truncatingIfNeeded: count), count: count * 997)
            try await node.put(
                PutRequest(
                    key: [UInt8]("key \(count % 90)"), value: value, lease: count % 10 == 0 ? lease.id : 0))
        }
        try await node.put(PutRequest(key: [UInt8](repeating: 7, count: 3000), value: []))
        try await node.deleteRange(DeleteRangeRequest(key: [UInt8]("key 5")))
        try await node.compact(CompactionRequest(revision: 40))
        let content = try ConversionFixture.content(of: node)
        try node.stopAndWait()
        return content
    }

    /// What a node on that engine shows of a directory; it is stopped again.
    func content(_ engine: String, _ directory: String? = nil) throws -> Content {
        let node = try open(engine, directory)
        let content = try ConversionFixture.content(of: node)
        try node.stopAndWait()
        return content
    }

    /// What an inspection tells; the engine is closed again.
    func summary() throws -> Inspection.Summary {
        try Inspection(dataDirectory: directory, registry: ConversionFixture.registry(), logger: quietLogger).summary
    }

    /// Copies the directory as it is at this moment.
    func copy(_ name: String) throws -> String {
        let path = "\(folder)/\(name)"
        try FileManager.default.copyItem(atPath: directory, toPath: path)
        return path
    }

    /// The names below `engine/`.
    func generations(_ directory: String? = nil) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: (directory ?? self.directory) + "/engine").sorted()
    }
}

/// An engine that tells what is done with it.
final class WatchedEngine: EngineWrapper {
    enum Moment: Hashable {
        case row(Int)
        case synced
        case closing
    }

    let base: any LocalEngine
    private let isVolatile: Bool
    private let hook: @Sendable (Moment) throws(EngineError) -> Void

    init(
        _ base: any LocalEngine, isVolatile: Bool = false,
        _ hook: @escaping @Sendable (Moment) throws(EngineError) -> Void
    ) {
        self.base = base
        self.isVolatile = isVolatile
        self.hook = hook
    }

    var capabilities: EngineCapabilities {
        var capabilities = base.capabilities
        capabilities.isVolatile = isVolatile
        return capabilities
    }
    func bulkLoad(_ rows: inout some SortedRows, at position: LogPosition) throws(EngineError) {
        var watched = WatchedRows(base: rows, hook: hook)
        try base.bulkLoad(&watched, at: position)
    }
    func sync() throws(EngineError) {
        try base.sync()
        try hook(.synced)
    }
    func close() throws(EngineError) {
        try hook(.closing)
        try base.close()
    }
}

private struct WatchedRows<Base: SortedRows>: SortedRows {
    var base: Base
    let hook: @Sendable (WatchedEngine.Moment) throws(EngineError) -> Void
    var count = 0

    init(base: Base, hook: @escaping @Sendable (WatchedEngine.Moment) throws(EngineError) -> Void) {
        self.base = base
        self.hook = hook
    }

    mutating func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool {
        count += 1
        try hook(.row(count))
        return try base.next(visit: visit)
    }
}
