import EtcdAPI
import Foundation
import Logging
import SwiftProtobuf
import T4BuiltIns
import T4Core
import T4Protocols
import Testing

@testable import T4Server

/// Goal: the file holds the rows that etcd would have. Method: random writes, deletions, transactions and compactions on
/// a node, and the rule of etcd's compaction applied to the list of everything that was written.
struct SnapshotFileTests {
    /// One row of the bucket `key`.
    private struct Version: Equatable {
        var revision: Int64
        var sub: Int64
        var isTombstone: Bool
        var kv: EtcdKeyValue
    }

    /// Everything that was written, in order.
    private struct Model {
        var versions: [Version] = []
        var compacted: Int64 = 0
        var alive: [String: EtcdKeyValue] = [:]

        mutating func put(_ key: String, _ value: String, lease: Int64, _ revision: Int64, sub: Int64) {
            var kv = EtcdKeyValue()
            kv.key = Data(key.utf8)
            kv.value = Data(value.utf8)
            kv.createRevision = alive[key]?.createRevision ?? revision
            kv.modRevision = revision
            kv.version = (alive[key]?.version ?? 0) + 1
            kv.lease = lease
            alive[key] = kv
            versions.append(Version(revision: revision, sub: sub, isTombstone: false, kv: kv))
        }

        mutating func delete(_ key: String, _ revision: Int64, sub: Int64) {
            alive[key] = nil
            var kv = EtcdKeyValue()
            kv.key = Data(key.utf8)
            versions.append(Version(revision: revision, sub: sub, isTombstone: true, kv: kv))
        }

        /// What etcd has after compacting: all above, and of what was there the newest of each key.
        var kept: [Version] {
            var newest: [Data: Int] = [:]
            for (index, version) in versions.enumerated() where version.revision <= compacted {
                newest[version.kv.key] = index
            }
            return versions.enumerated().filter { index, version in
                if version.revision > compacted { return true }
                return newest[version.kv.key] == index && (!version.isTombstone || version.revision == compacted)
            }.map(\.element)
        }
    }

    private static func withNode(_ engine: String, _ body: (Node, String) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "t4-snapshot-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let node = try Node(
            NodeConfiguration(dataDirectory: folder.path, engine: engine), registry: .builtIn,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, clock: .system)
        try await body(node, folder.path)
        try node.stopAndWait()
    }

    private func write(_ node: Node) throws -> BoltReader {
        let position = SnapshotFile.Position(term: 3, index: 77)
        let file = try SnapshotFile.write(
            try node.read(), position: position, directory: node.temporaryFilesDirectory, checkCancellation: {})
        return try BoltReader(file.content())
    }

    private func versions(in file: BoltReader) throws -> [Version] {
        try file.rows(of: "key").map { row in
            try #require(row.key.count == 17 || row.key.count == 18 && row.key[17] == UInt8(ascii: "t"))
            #expect(row.key[8] == UInt8(ascii: "_"))
            let numbers = row.key.span.bytes
            return Version(
                revision: numbers.bigEndian(at: 0), sub: numbers.bigEndian(at: 9), isTombstone: row.key.count == 18,
                kv: try EtcdKeyValue(serializedBytes: row.value))
        }
    }

    @Test(arguments: BackendRegistry.builtIn.engineNames, [UInt64](1...6))
    func holdsWhatEtcdWouldHave(_ engine: String, _ seed: UInt64) async throws {
        try await SnapshotFileTests.withNode(engine) { node, _ in
            var random = SeededGenerator(seed: seed)
            var model = Model()
            let lease = try await node.grantLease(id: 4711, ttl: 500_000).id
            for step in 0..<300 {
                let key = "key\(Int.random(in: 0..<12, using: &random))"
                let revision = node.revision.rawValue + 1
                switch Int.random(in: 0..<100, using: &random) {
                case 0..<45:
                    let lease = Bool.random(using: &random) ? lease : 0
                    try await node.put(PutRequest(key: Array(key.utf8), value: Array("\(step)".utf8), lease: lease))
                    model.put(key, "\(step)", lease: lease, revision, sub: 0)
                case 45..<65:
                    guard model.alive[key] != nil else { continue }
                    try await node.deleteRange(DeleteRangeRequest(key: Array(key.utf8)))
                    model.delete(key, revision, sub: 0)
                case 65..<92:
                    let keys = Set((0..<5).map { _ in "key\(Int.random(in: 0..<12, using: &random))" }).sorted()
                    var operations: [RequestOperation] = []
                    for (sub, key) in keys.enumerated() {
                        if sub % 2 == 1, model.alive[key] != nil {
                            operations.append(.deleteRange(DeleteRangeRequest(key: Array(key.utf8))))
                            model.delete(key, revision, sub: Int64(sub))
                        } else {
                            operations.append(.put(PutRequest(key: Array(key.utf8), value: [])))
                            model.put(key, "", lease: 0, revision, sub: Int64(sub))
                        }
                    }
                    try await node.txn(TxnRequest(compares: [], success: operations))
                case 92..<95 where revision > 2:
                    let target = Int64.random(in: model.compacted...revision - 1, using: &random)
                    guard target > max(model.compacted, 1) else { continue }
                    // With and without waiting for the rows to be gone: the file must not differ.
                    try await node.compact(
                        CompactionRequest(revision: target, physical: Bool.random(using: &random)))
                    model.compacted = target
                case 95...: try check(try write(node), model)
                default: continue
                }
            }
            try check(try write(node), model)
            // All that is left is the deletion of everything, with which a watch may start.
            try await node.deleteRange(DeleteRangeRequest(key: [0], rangeEnd: [0]))
            let last = node.revision.rawValue
            for (sub, key) in model.alive.keys.sorted().enumerated() { model.delete(key, last, sub: Int64(sub)) }
            try await node.compact(CompactionRequest(revision: last))
            model.compacted = last
            try check(try write(node), model)
        }
    }

    private func check(_ file: BoltReader, _ model: Model) throws {
        #expect(try versions(in: file) == model.kept)
        let meta = try Dictionary(uniqueKeysWithValues: file.rows(of: "meta").map { ($0.key, $0.value) })
        var wanted: [[UInt8]: [UInt8]] = [
            Array("term".utf8): [0, 0, 0, 0, 0, 0, 0, 3], Array("consistent_index".utf8): [0, 0, 0, 0, 0, 0, 0, 77],
            Array("storageVersion".utf8): Array("3.6.0".utf8),
        ]
        if model.compacted > 0 {
            var compacted: [UInt8] = []
            compacted.append(bigEndian: model.compacted)
            compacted += [UInt8(ascii: "_")] + [UInt8](repeating: 0, count: 8)
            wanted[Array("finishedCompactRev".utf8)] = compacted
            wanted[Array("scheduledCompactRev".utf8)] = compacted
        }
        #expect(meta == wanted)
        // Field 1 is the id, field 2 the granted time: 4711 and 500,000 as protobuf writes them.
        #expect(
            try file.rows(of: "lease") == [
                BoltReader.Row(key: [0, 0, 0, 0, 0, 0, 0x12, 0x67], value: [0x08, 0xE7, 0x24, 0x10, 0xA0, 0xC2, 0x1E])
            ])
    }

    @Test func anEmptyDatabaseHasEveryBucket() async throws {
        try await SnapshotFileTests.withNode("memory") { node, _ in
            let file = try write(node)
            #expect(
                file.buckets.map(\.name) == [
                    "alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed",
                    "meta",
                ])
            for bucket in file.buckets where bucket.name != "meta" { #expect(bucket.rows.isEmpty) }
            #expect(try file.rows(of: "meta").count == 3)
        }
    }

    @Test func nothingIsLeftOfACancelledOne() async throws {
        try await SnapshotFileTests.withNode("memory") { node, folder in
            for number in 0..<20 { try await node.put(PutRequest(key: [UInt8(number + 1)], value: [1])) }
            let before = try FileManager.default.contentsOfDirectory(atPath: folder)
            var rows = 0
            #expect(throws: CancellationError.self) {
                _ = try SnapshotFile.write(
                    try node.read(), position: .init(term: 1, index: 1), directory: folder,
                    checkCancellation: {
                        rows += 1
                        if rows == 10 { throw CancellationError() }
                    })
            }
            #expect(rows == 10)
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == before)
        }
    }
}
