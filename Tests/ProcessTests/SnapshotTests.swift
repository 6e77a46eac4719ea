import EtcdAPI
import Foundation
import RPC
import Testing

/// Goal: what `etcdctl snapshot save` gets from t4 is what etcd needs to go on in its place. Method: etcdutl restores the
/// file, a real etcd serves it, and a client sees the same in both: every revision, every event, every lease.
@Suite(.enabled(if: TestEnvironment.subject != .etcd, "about t4 itself"))
struct SnapshotTests {
    /// Where the history is compacted before the snapshot.
    enum Compaction: CaseIterable {
        case none
        case inTheMiddle
        /// At a revision that deletes: a watch may start with it.
        case atADeletion
        case atTheEnd
    }

    @Test(arguments: Compaction.allCases)
    func etcdGoesOnWhereT4Was(_ compaction: Compaction) async throws {
        try await withRestored { server, t4 in
            let deletion = try await SnapshotTests.writeOfEverything(t4)
            let newest = try await t4.all().revision
            let target: Int64 =
                switch compaction {
                case .none: 0
                case .inTheMiddle: newest - 9
                case .atADeletion: deletion
                case .atTheEnd: newest
                }
            if target > 0 { try await t4.compact(target, physical: compaction != .inTheMiddle) }
            return target
        } check: { t4, etcd, file, compacted in
            let newest = try await t4.all().revision
            let status = try await SnapshotTools.status(file)
            #expect(status.revision == newest)
            let size = try #require(try FileManager.default.attributesOfItem(atPath: file.path)[.size] as? Int)
            #expect(status.totalSize == size - 32)
            try await SnapshotTests.compare(t4, etcd, from: compacted, revisions: Array(max(1, compacted)...newest))
        }
    }

    @Test func anEmptyDatabase() async throws {
        try await withRestored { _, _ in
            0
        } check: { t4, etcd, file, _ in
            let status = try await SnapshotTools.status(file)
            #expect(status.revision == 0)
            #expect(status.totalKey == 3)
            try await SnapshotTests.compare(t4, etcd, from: 0, revisions: [1])
        }
    }

    @Test func manyKeys() async throws {
        let count = 100_000
        try await withRestored { _, t4 in
            for start in stride(from: 0, to: count, by: 100) {
                try await t4.txn(puts: (start..<start + 100).map { (Array("key\($0 * 7919 % count)".utf8), [1]) })
            }
            // All of the first half has its last version below the compacted revision, in another order than that of
            // the keys.
            let half = try await t4.all().revision
            for start in stride(from: count / 2, to: count, by: 100) {
                try await t4.txn(puts: (start..<start + 100).map { (Array("key\($0)".utf8), Array("\($0)".utf8)) })
            }
            try await t4.delete(Array("key1".utf8), to: Array("key2".utf8))
            try await t4.compact(half, physical: false)
            return half
        } check: { t4, etcd, file, half in
            let newest = try await t4.all().revision
            let deleted = try await t4.all(at: half).kvs.count - t4.all().kvs.count
            #expect(deleted > 10_000)
            // What was there at the compaction, what was written afterwards, and five rows of meta.
            let status = try await SnapshotTools.status(file)
            #expect(status.totalKey == count + count / 2 + deleted + 5)
            #expect(status.revision == newest)
            try await SnapshotTests.compare(t4, etcd, from: half, revisions: [half, half + 250, newest])
        }
    }

    /// Every kind of change that a client can make.
    /// - Returns: A revision in the middle that deletes.
    static func writeOfEverything(_ t4: DatabaseView) async throws -> Int64 {
        try await t4.grant(77, ttl: 1000)
        try await t4.grant(1 << 62, ttl: 9_000_000_000)
        try await t4.grant(78, ttl: 3000)
        for round in 0..<6 {
            try await t4.put(Array("overwritten".utf8), Array("\(round)".utf8))
            try await t4.put(Array("recreated".utf8), Array("\(round)".utf8), lease: 77)
            if round % 2 == 0 { try await t4.delete(Array("recreated".utf8)) }
            try await t4.txn(
                puts: [([0, 1, 255], []), ([0xFF], [UInt8(round)]), ([UInt8](repeating: 7, count: 32 * 1024), [1])],
                deletes: [Array("recreated".utf8)])
            try await t4.put(Array("large".utf8), [UInt8](repeating: UInt8(round), count: 1 << 20))
        }
        try await t4.put(Array("gone".utf8), [])
        let deletion = try await t4.txn(puts: [(Array("beside".utf8), [1])], deletes: [Array("gone".utf8)])
        try await t4.put(Array("leased".utf8), [2], lease: 77)
        try await t4.put(Array("moved".utf8), [2], lease: 77)
        try await t4.put(Array("moved".utf8), [3], lease: 1 << 62)
        try await t4.put(Array("freed".utf8), [2], lease: 77)
        try await t4.put(Array("freed".utf8), [3])
        for number in 0..<8 { try await t4.put(Array("at the end \(number)".utf8), [UInt8(number)]) }
        return deletion
    }

    /// Starts t4, lets `write` fill it, takes a snapshot, and has `check` look at t4 and at an etcd restored from it.
    private func withRestored(
        _ write: @Sendable (ServerUnderTest, DatabaseView) async throws -> Int64,
        check: @Sendable (DatabaseView, DatabaseView, _ file: URL, _ compacted: Int64) async throws -> Void
    ) async throws {
        try await Slots.servers.use {
            try await withTemporaryDirectory { folder in
                let data = folder.appending(path: "data")
                let server = try await ServerUnderTest.start(TestEnvironment.subject, dataDirectory: data)
                let t4 = try await DatabaseView.connect(to: server)
                let compacted = try await write(server, t4)
                let before = try FileManager.default.contentsOfDirectory(atPath: data.path)
                let file = folder.appending(path: "snapshot.db")
                try await SnapshotTools.save(server, to: file)
                #expect(try FileManager.default.contentsOfDirectory(atPath: data.path).sorted() == before.sorted())
                let restored = try await SnapshotTools.restore(file, to: folder.appending(path: "restored"))
                let etcd = try await DatabaseView.connect(to: restored)
                try await check(t4, etcd, file, compacted)
                await t4.rpc.close()
                await etcd.rpc.close()
                await server.crash()
                await restored.crash()
            }
        }
    }

    /// Compares everything that a client can see, and writes a key to both.
    static func compare(
        _ t4: DatabaseView, _ etcd: DatabaseView, from compacted: Int64, revisions: [Int64]
    ) async throws {
        let newest = try await t4.all().revision
        for revision in revisions + [0] {
            let (left, right) = (try await t4.all(at: revision), try await etcd.all(at: revision))
            #expect(left.revision == right.revision)
            // Compared apart from the expectation, which would print every value.
            let isEqual = left.kvs == right.kvs
            #expect(isEqual, "at revision \(revision): \(left.kvs.count) and \(right.kvs.count) keys")
        }
        let first = max(1, compacted)
        if newest > 1 {
            let (left, right) = (
                try await t4.events(from: first, through: newest), try await etcd.events(from: first, through: newest)
            )
            let isEqual = left == right
            #expect(isEqual, "\(left) and \(right)")
            #expect(left.lastRevision == newest && left.events.count >= Int(newest - first))
        }
        if compacted > 1 {
            for database in [t4, etcd] {
                let below = await #expect(throws: RPCStatus.self) { try await database.all(at: compacted - 1) }
                #expect(below?.message == "etcdserver: mvcc: required revision has been compacted")
                let watch = try await database.events(from: compacted - 1, through: newest)
                #expect(watch.compactRevision == compacted)
            }
        }
        let (left, right) = (try await t4.leases(), try await etcd.leases())
        #expect(left.mapValues(\.ttl) == right.mapValues(\.ttl))
        #expect(left.mapValues(\.keys) == right.mapValues(\.keys))
        // Both go on with the same revision.
        for database in [t4, etcd] { #expect(try await database.put([1], [1]) == newest + 1) }
        #expect(try await t4.all().kvs == etcd.all().kvs)
    }
}
