import Foundation
import Logging
import T4BuiltIns
import T4Core

/// A database inside a program: no server, no port. Run it with `swift run` in this folder; every step is checked.
@main
struct EmbeddedNode {
    static func main() async throws {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("t4-embedded-\(UUID().uuidString)")
        let configuration = NodeConfiguration(dataDirectory: directory.path, engine: "lmdb")
        var logger = Logger(label: "embedded")
        logger.logLevel = .warning

        var node = try await Node.start(configuration, registry: .builtIn, logger: logger)

        // Writes return once they survive power loss.
        let first = try await node.put(PutRequest(key: Array("/service/a".utf8), value: Array("10.0.0.1".utf8)))
        try await node.put(PutRequest(key: Array("/service/a".utf8), value: Array("10.0.0.2".utf8)))
        print("first write made revision \(first.revision)")

        // Create only if absent, as one revision.
        let absent = Compare(key: Array("/service/b".utf8), result: .equal, target: .create(0))
        let created = try await node.txn(
            TxnRequest(
                compares: [absent],
                success: [.put(PutRequest(key: Array("/service/b".utf8), value: Array("10.0.0.3".utf8)))]))
        precondition(created.succeeded)

        // Ranges, now and then.
        let now = try node.range(RangeRequest(key: Array("/service/".utf8), rangeEnd: Array("/service0".utf8)))
        let then = try node.range(
            RangeRequest(key: Array("/service/a".utf8), revision: first.revision.rawValue))
        precondition(now.count == 2)
        precondition(then.kvs[0].value == Array("10.0.0.1".utf8))

        // A lease takes its keys along.
        let lease = try await node.grantLease(ttl: 60)
        try await node.put(PutRequest(key: Array("/session".utf8), value: [], lease: lease.id))
        try await node.revokeLease(lease.id)
        let session = try node.range(RangeRequest(key: Array("/session".utf8)))
        precondition(session.count == 0)

        // Changes since a revision.
        for try await events in node.changes(prefix: Array("/service/".utf8), from: first.revision) {
            for event in events.events {
                let key = String(decoding: event.current.key, as: UTF8.self)
                print("revision \(events.revision): \(event.kind) \(key)")
            }
            if events.revision == now.revision { break }
        }

        // Everything is there after a restart.
        let revision = node.revision
        try await node.stop()
        node = try await Node.start(configuration, registry: .builtIn, logger: logger)
        precondition(node.revision == revision)
        try await node.stop()
        try FileManager.default.removeItem(at: directory)
        print("done at revision \(revision)")
    }
}
