import Foundation
import LogFileEngine
import Logging
import T4BuiltIns
import T4Core
import T4Protocols

/// What a node writes into an object store must not depend on its engine: the same operations on `logfile` and on `memory`
/// give the same checkpoint, and each restores into the other.
struct Checkpoints {
    let directory: URL
    let logger: Logger

    func check() async throws {
        var registry = BackendRegistry.builtIn
        registry.register(engine: "logfile", settings: LogFileSettings.self) { settings, context in
            try LogFileEngine(settings, context: context)
        }
        let stores = try [await memoryStore(), await memoryStore()]
        let engines = ["logfile", "memory"]
        var ids: [String] = []
        var states: [[KeyValue]] = []
        for (engine, store) in zip(engines, stores) {
            // Ids of databases are random, and part of the checkpoint: the second store begins as the first one did.
            if !ids.isEmpty {
                let identity = try await stores[0].get("database", bytes: nil).bytes
                _ = try await store.put("database", .bytes(identity), when: .absent)
            }
            let node = try await Node.start(configuration(engine, store), registry: registry, logger: logger)
            // The one that each start makes by itself, before anything else happens.
            try await node.checkpoint()
            for number in 0..<200 {
                let key = Array("\(number % 70)".utf8)
                try await node.put(PutRequest(key: key, value: [UInt8](repeating: UInt8(number), count: 500)))
                if number % 9 == 0 { try await node.deleteRange(DeleteRangeRequest(key: key)) }
            }
            guard let name = try await node.checkpoint() else { fatalError("there is no checkpoint") }
            ids.append(try id(await store.get(ObjectKey(name), bytes: nil).bytes))
            states.append(try state(node))
            try await node.stop()
        }
        precondition(ids[0] == ids[1] && states[0] == states[1])
        for (engine, store) in zip(engines.reversed(), stores) {
            let node = try await Node.start(configuration(engine, store), registry: registry, logger: logger)
            let restored = try state(node)
            precondition(restored == states[0])
            try await node.stop()
        }
        print("the engines \"logfile\" and \"memory\" make the same checkpoint, and restore each other's")
    }

    /// Each node in a directory of its own, so that it knows nothing but what is in the store.
    private func configuration(_ engine: String, _ store: any ObjectStore) -> NodeConfiguration {
        let path = directory.appendingPathComponent(UUID().uuidString).path
        var configuration = NodeConfiguration(dataDirectory: path, engine: engine)
        configuration.store = NodeStore(.opened(store))
        configuration.durability = .objectStore
        return configuration
    }

    private func memoryStore() async throws -> any ObjectStore {
        try await BackendRegistry.builtIn.makeStore(
            "memory", settings: NoSettings(), context: StoreContext(dataDirectory: directory.path, logger: logger))
    }

    /// Everything, now and at an older revision.
    private func state(_ node: Node) throws -> [KeyValue] {
        try ([0, 100] as [Int64]).flatMap { revision in
            try node.range(RangeRequest(key: [0], rangeEnd: [0], revision: revision)).kvs
        }
    }

    /// The hash that names what a checkpoint holds, whoever wrote it and when.
    private func id(_ manifest: [UInt8]) throws -> String {
        struct Manifest: Decodable { var id: String }
        return try JSONDecoder().decode(Manifest.self, from: Data(manifest)).id
    }
}
