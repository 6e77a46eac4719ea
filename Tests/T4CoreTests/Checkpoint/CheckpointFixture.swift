import Foundation
import Logging
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

/// A made-up history whose log lies in a store, and checkpoints of it. For one thread.
final class CheckpointFixture {
    private(set) var history: CheckpointHistory
    let store: BlockingStore
    let checkpoints: CheckpointStore
    private var last = LogPosition.zero
    private(set) var time: UInt64 = 0

    static let databaseID = LogFixture.databaseID

    /// - Parameter store: Where log and checkpoints lie.
    init(_ store: any ObjectStore, seed: UInt64 = 1, engine: (any LocalEngine)? = nil) throws {
        history = try CheckpointHistory(seed: seed, engine: engine)
        self.store = BlockingStore(store)
        checkpoints = CheckpointStore(self.store, databaseID: CheckpointFixture.databaseID)
    }

    /// The next entries become one object of the chain.
    @discardableResult
    func extend(_ count: Int) throws -> [LogEntry] {
        let entries = try (0..<count).map { _ in try history.next() }
        let bytes = LogObject.encode(
            entries, databaseID: CheckpointFixture.databaseID, term: history.position.term, previous: last)
        _ = try store.put(StoreLayout.log(firstIndex: last.index + 1), bytes, when: .absent)
        last = history.position
        time = entries.last?.time ?? time
        return entries
    }

    /// Where the state stands.
    func mark() throws -> StateTrail.Mark {
        StateTrail.Mark(
            position: history.position, meta: try StateReader(history.engine.snapshot()).meta, time: time)
    }

    /// Goes on to an entry without a revision, an object of its own. Gives the marks before and behind it.
    func extendToEntryWithoutRevision() throws -> (before: StateTrail.Mark, behind: StateTrail.Mark) {
        while true {
            let before = try mark()
            if try extend(1)[0].revision == .none { return (before, try mark()) }
        }
    }

    /// A writer; others may be on other stores.
    func writer(on other: (any ObjectStore)? = nil) -> CheckpointWriter {
        CheckpointFixture.writer(on: other ?? store.store, log: store)
    }

    /// A writer on a store of its own.
    static func writer(on store: any ObjectStore, log: BlockingStore) -> CheckpointWriter {
        let chain = LogChain(log, databaseID: databaseID)
        return CheckpointWriter(
            CheckpointStore(BlockingStore(store), databaseID: databaseID), databaseID: databaseID,
            author: .init(node: "node", engine: "memory", software: "test"), clock: Clock { 77 }
        ) { start, visit in _ = try chain.read(after: start, visit: visit) }
    }

    /// The newest checkpoint, as a restore finds it.
    func newest() throws -> (head: Head, file: ManifestFile) {
        let head = try #require(try checkpoints.head()).head
        return (head, try checkpoints.manifest(of: head))
    }

    func load(_ file: ManifestFile, into engine: any LocalEngine) throws {
        try CheckpointLoader(checkpoints, file, key: "checkpoint").load(into: engine)
    }

    var names: [String] {
        get throws {
            var names: [String] = []
            try store.list("") { names.append($0.key.rawValue) }
            return names
        }
    }
}

/// An engine in a directory of its own, which goes away with it.
final class EngineFixture {
    let engine: any LocalEngine
    private let directory: String

    init(_ name: String) throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("t4-load-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        engine = try BackendRegistry.builtIn.makeEngine(
            name, settings: NoSettings(),
            context: EngineContext(
                directory: directory, isReadOnly: false, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            ))
    }

    deinit {
        do {
            try engine.close()
            try FileManager.default.removeItem(atPath: directory)
        } catch {
            Issue.record(error)
        }
    }
}
