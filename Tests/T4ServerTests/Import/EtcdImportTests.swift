import CodingReference
import Foundation
import Logging
import T4BuiltIns
import T4Core
import T4Protocols
import Testing

@testable import T4Server

/// Goal: an imported engine has the very rows that t4 would have written. Method: a node with a random history, its
/// snapshot, and a comparison of all rows; and rows that no etcd writes.
struct EtcdImportTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func engine() throws -> any LocalEngine {
        try BackendRegistry.builtIn.makeEngine(
            "memory", settings: NoSettings(),
            context: EngineContext(directory: "", isReadOnly: false, logger: Self.logger))
    }

    private func rows(_ snapshot: any EngineSnapshot) throws -> [[UInt8]: [UInt8]] {
        var rows: [[UInt8]: [UInt8]] = [:]
        try snapshot.scan(.all, order: .ascending) { key, value in
            rows[key.copyBytes()] = value.copyBytes()
            return .next
        }
        return rows
    }

    /// The snapshot of a database, as `etcdctl snapshot save` has it.
    private func file(_ reader: StateReader, _ folder: String) throws -> [UInt8] {
        let file = try SnapshotFile.write(
            reader, position: .init(term: 3, index: 77), directory: folder, checkCancellation: {})
        let bytes = try file.content()
        return bytes + SHA256.digest(of: bytes.span.bytes)
    }

    @Test(arguments: [UInt64](1...12)) func sameRows(_ seed: UInt64) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "t4-import-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let node = try Node(
            NodeConfiguration(dataDirectory: folder, engine: "memory"), registry: .builtIn, logger: Self.logger,
            clock: .system)
        var random = SeededGenerator(seed: seed)
        for id in 1...3 { _ = try await node.grantLease(id: Int64(id), ttl: Int64(1000 * id)) }
        for _ in 0..<200 {
            let key = {
                [UInt8]("k\(UInt8.random(in: 0...30, using: &random))".utf8) + (Bool.random(using: &random) ? [0] : [])
            }
            switch Int.random(in: 0..<10, using: &random) {
            case 0: try await node.deleteRange(DeleteRangeRequest(key: key()))
            case 1: try await node.deleteRange(DeleteRangeRequest(key: Array("k1".utf8), rangeEnd: Array("k2".utf8)))
            case 2:
                let keys = Set((0..<4).map { _ in key() }).sorted { $0.lexicographicallyPrecedes($1) }
                let changes = keys.enumerated().map { place, key -> RequestOperation in
                    place == 0 ? .deleteRange(DeleteRangeRequest(key: key)) : .put(PutRequest(key: key, value: [1]))
                }
                try await node.txn(TxnRequest(compares: [], success: changes))
            default:
                var put = PutRequest(
                    key: key(), value: [UInt8](repeating: 7, count: Int.random(in: 0...50, using: &random)))
                put.lease = Int64.random(in: 0...3, using: &random)
                try await node.put(put)
            }
        }
        if seed % 3 > 0 {
            let target = seed % 3 == 1 ? node.revision.rawValue : node.revision.rawValue / 2
            _ = try await node.compact(CompactionRequest(revision: target, physical: true))
        }
        try await node.raise(Alarm(.noSpace, member: 5))
        if seed % 2 == 0 { try await account(node) }
        let reader = try node.read()
        let bytes = try file(reader, folder)
        let wanted = try rows(reader.snapshot)

        let snapshot = try EtcdSnapshot(MemoryFile(bytes), checksHash: true)
        let engine = try engine()
        // With little memory everything goes through files.
        var found = try EtcdSnapshotRows(snapshot, directory: folder, memoryBytes: seed % 4 < 2 ? 3000 : 1 << 20)
        try engine.bulkLoad(&found, at: ForeignDatabase.position)
        var imported = try rows(engine.snapshot())
        let rowsMeta = found.meta
        let alarm = SystemRow.alarm(Alarm(.noSpace, member: 5))
        // etcd's snapshots of t4 have no alarms.
        #expect(imported[alarm] == nil)
        imported[alarm] = []
        var (meta, was) = (rowsMeta, reader.meta)
        meta.digest.add(name: alarm, value: [])
        imported[SystemRow.meta] = nil
        var left = wanted
        left[SystemRow.meta] = nil
        #expect(imported == left)
        was.hasAuth = meta.hasAuth
        #expect(meta == was)
        try node.stopAndWait()
    }

    private func account(_ node: Node) async throws {
        let requests: [AuthRequest] = [
            .addUser(AuthUser(Array("root".utf8), password: Array("$2b$04$hash".utf8))), .addRole(Array("r".utf8)),
        ]
        for request in requests {
            let outcome = FirstValue<Result<ProposalResponse, DatabaseError>>()
            node.submit(.auth(request)) { outcome.give($0) }
            _ = try await outcome.wait().get()
        }
    }

    // MARK: Files that are no database of etcd's

    private func file(
        keys: [([UInt8], KeyValue?)] = [], lease: [([UInt8], [UInt8])] = [], meta: [([UInt8], [UInt8])] = []
    ) throws -> [UInt8] {
        try withTemporaryFolder { folder in
            var writer = try BoltFileWriter(TemporaryFile(in: folder))
            for (name, value) in keys {
                var bytes: [UInt8] = []
                if let value {
                    bytes.appendMessage(size: ProtoSize.message(value.protobufSize)) { value.put(field: 1, to: &$0) }
                    bytes.removeFirst(bytes.count - value.protobufSize)
                } else {
                    bytes = [0xFF]
                }
                try writer.add(key: name.span.bytes, value: bytes.span.bytes)
            }
            try writer.endBucket("key")
            for (name, value) in lease { try writer.add(key: name.span.bytes, value: value.span.bytes) }
            try writer.endBucket("lease")
            for (name, value) in meta { try writer.add(key: name.span.bytes, value: value.span.bytes) }
            try writer.endBucket("meta")
            let file = try writer.finish()
            return try file.content()
        }
    }

    private func name(_ revision: Int64, _ sub: Int64 = 0, isTombstone: Bool = false) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: revision)
        bytes.append(UInt8(ascii: "_"))
        bytes.append(bigEndian: sub)
        return bytes + (isTombstone ? [UInt8(ascii: "t")] : [])
    }

    private func version(_ key: String, _ create: Int64, _ mod: Int64, _ version: Int64) -> KeyValue {
        KeyValue(
            key: Array(key.utf8), createRevision: Revision(create), modRevision: Revision(mod), version: version,
            lease: 0,
            value: [1])
    }

    private func load(_ bytes: [UInt8]) throws -> MetaRow {
        try withTemporaryFolder { folder in
            let snapshot = try EtcdSnapshot(MemoryFile(bytes), checksHash: false)
            var rows = try EtcdSnapshotRows(snapshot, directory: folder)
            let engine = try engine()
            do throws(EngineError) {
                try engine.bulkLoad(&rows, at: ForeignDatabase.position)
            } catch {
                throw error.cause ?? error
            }
            return rows.meta
        }
    }

    @Test func whatACompactionHidesStaysBehind() throws {
        let versions = [
            (name(2), version("a", 2, 2, 1)), (name(3), version("a", 2, 3, 2)), (name(4), version("b", 4, 4, 1)),
            (name(5, isTombstone: true), version("b", 0, 0, 0)), (name(6), version("a", 2, 6, 3)),
        ]
        // Begun, and cut off before anything was removed.
        let scheduled = (Array("scheduledCompactRev".utf8), name(6))
        let finished = (Array("finishedCompactRev".utf8), name(3))
        let meta = try load(file(keys: versions, meta: [finished, scheduled]))
        #expect(meta.compacted == Revision(6) && meta.revision == Revision(6) && meta.keys == 1)
        // All that there was is gone.
        let empty = try load(file(meta: [(finished.0, name(9))]))
        #expect(empty.revision == Revision(9) && empty.compacted == Revision(9) && empty.keys == 0)
    }

    @Test func rowsThatNoEtcdWritesAreRefused() throws {
        let good = (name(2), version("a", 2, 2, 1))
        #expect(try load(file(keys: [good])).keys == 1)
        let bad: [(String, [UInt8])] = [
            ("no revision", try file(keys: [(Array("x".utf8), version("a", 2, 2, 1))])),
            ("no message", try file(keys: [(name(2), nil)])),
            ("another revision", try file(keys: [(name(3), version("a", 2, 2, 1))])),
            ("the empty revision", try file(keys: [(name(1), version("a", 1, 1, 1))])),
            ("the last revision", try file(keys: [(name(.max), version("a", 2, .max, 1))])),
            ("no key", try file(keys: [(name(2), version("", 2, 2, 1))])),
            ("a long key", try file(keys: [(name(2), version(String(repeating: "k", count: 32769), 2, 2, 1))])),
            ("no version", try file(keys: [(name(2), version("a", 2, 2, 0))])),
            ("too many versions", try file(keys: [(name(2), version("a", 2, 2, 2))])),
            ("created later", try file(keys: [(name(2), version("a", 3, 2, 1))])),
            ("twice in a revision", try file(keys: [good, (name(2, 1), version("a", 2, 2, 1))])),
            (
                "put and deleted at one place",
                try file(keys: [good, (name(2, isTombstone: true), version("b", 0, 0, 0))])
            ),
            ("a large sub-revision", try file(keys: [(name(2, 1 << 40), version("a", 2, 2, 1))])),
            ("a lease of another name", try file(lease: [([0, 0, 0, 0, 0, 0, 0, 1], [8, 2, 16, 9])])),
            (
                "a lease for ever",
                try file(lease: [([0, 0, 0, 0, 0, 0, 0, 2], [8, 2, 16] + [UInt8](repeating: 0xFF, count: 8) + [1])])
            ),
            ("no compacted revision", try file(meta: [(Array("finishedCompactRev".utf8), [1])])),
        ]
        for (what, bytes) in bad { #expect(throws: BoltDatabase.Failure.self, "\(what)") { try load(bytes) } }
    }

    @Test func laterSchemasAreRefused() throws {
        func bytes(_ version: String) throws -> [UInt8] {
            try file(meta: [(Array("storageVersion".utf8), Array(version.utf8))])
        }
        for known in ["3.5.0", "3.6.0", "3.6.9"] { #expect(try load(bytes(known)).revision == .initial) }
        for later in ["3.7.0", "3.10.0", "4.0.0", "three"] {
            #expect(throws: BoltDatabase.Failure.self, "\(later)") { try load(bytes(later)) }
        }
    }

    @Test func theHashCounts() throws {
        let bytes = try file(keys: [(name(2), version("a", 2, 2, 1))])
        let hashed = bytes + SHA256.digest(of: bytes.span.bytes)
        #expect(try EtcdSnapshot(MemoryFile(hashed), checksHash: true).byteCount == UInt64(bytes.count))
        #expect(try EtcdSnapshot(MemoryFile(hashed), checksHash: false).byteCount == UInt64(bytes.count))
        #expect(throws: BoltDatabase.Failure.self) { try EtcdSnapshot(MemoryFile(bytes), checksHash: true) }
        for offset in stride(from: 0, to: hashed.count, by: 997) {
            var bad = hashed
            bad[offset] ^= 4
            #expect(throws: BoltDatabase.Failure.self) { try EtcdSnapshot(MemoryFile(bad), checksHash: true) }
            #expect(throws: BoltDatabase.Failure.self) {
                try EtcdSnapshot(MemoryFile(Array(hashed.prefix(offset))), checksHash: true)
            }
        }
    }
}
