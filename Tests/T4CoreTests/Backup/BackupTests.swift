import Foundation
import Synchronization
import T4BuiltIns
import T4Conformance
import T4Protocols
import Testing

@testable import T4Core

/// Goal: a backup is one state, all of it, and nothing of a damaged one is used. Method: backups of made-up histories and of nodes,
/// against a model and against each other.
@Suite struct BackupTests {
    /// Gathers a file in memory, and puts it on disk.
    private final class Sink: Sendable {
        let bytes = Mutex<[UInt8]>([])
        var output: Backup.Output { { piece in self.bytes.withLock { $0 += piece } } }

        func file() throws -> BackupFile { try Sink.file(bytes.withLock { $0 }) }

        static func file(_ bytes: [UInt8]) throws -> BackupFile {
            let path = FileManager.default.temporaryDirectory.appending(path: "t4-backup-\(UUID().uuidString)")
            try Data(bytes).write(to: path)
            defer { unlink(path.path) }
            return try BackupFile(path.path)
        }
    }

    private struct Refusal: Error, Equatable {}

    @Test func everyMomentOfAStoreBecomesAFile() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 7, revisions: 400, checkpointInterval: 90)
            let object = try DatabaseObject(LogFixture.databaseID, created: 5)
            var withLog: Set<Bool> = []
            var targets: [(RestorePoint.Target, RestoreHistory.State?)] = stride(from: 10, through: 400, by: 30).map {
                (.revision(Revision($0)), fixture.history.state(at: Revision($0)))
            }
            targets.append((.end, fixture.history.last))
            for (target, expected) in targets {
                let state = try #require(expected)
                let sink = Sink()
                let course = try fixture.restorer.course(to: target)
                let report = try Backup.write(course, of: object, fixture.restorer, to: sink.output)
                #expect(report.revision == state.revision && report.end == state.position)
                let file = try sink.file()
                #expect(report.size == file.size)
                #expect(file.isCut == !course.plan.keepsDatabase)
                let restorer = fixture.restorer(on: file)
                let engine = try restorer.restore(to: RestorePoint(file).target) { course in
                    #expect(course.plan.end == state.position && course.plan.keepsDatabase == !file.isCut)
                    withLog.insert(course.plan.entryCount > 0)
                    let engine = try CheckpointHistory.makeEngine()
                    _ = try restorer.fill(engine, course)
                    return engine
                }
                try fixture.expectState(engine, state)
                let direct = try fixture.restore(target).engine
                #expect(try dump(engine.snapshot()) == dump(direct.snapshot()), "with its history")
                let found = try DatabaseObject.read(BlockingStore(file))
                #expect(found == object)
            }
            #expect(withLog == [true, false])
        }
    }

    @Test func nothingOfAChangedFileIsUsed() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 8, revisions: 30, checkpointInterval: 20)
            let sink = Sink()
            _ = try Backup.write(
                fixture.restorer.course(to: .end), of: DatabaseObject(LogFixture.databaseID, created: 5),
                fixture.restorer, to: sink.output)
            let bytes = sink.bytes.withLock { $0 }
            func code(_ bytes: [UInt8]) -> BackupError.Code? {
                do {
                    _ = try Sink.file(bytes)
                    return nil
                } catch {
                    return (error as? BackupError)?.code
                }
            }
            #expect(code(bytes) == nil)
            var codes: Set<BackupError.Code> = []
            for place in bytes.indices {
                var changed = bytes
                changed[place] ^= UInt8(1 << (place % 8))
                // Bytes without a meaning are covered by the hash, too.
                let found = try #require(code(changed), "byte \(place)")
                codes.insert(found)
                if place % 7 == 0 { #expect(code(Array(bytes[..<place])) != nil, "cut at \(place)") }
            }
            #expect(codes == [.damaged, .notABackup, .laterVersion])
            #expect(code(bytes + [0]) == .damaged)
            #expect(code([]) == .notABackup)
        }
    }

    @Test func anOutputThatFailsEndsTheBackup() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let fixture = try RestoreFixture(base, seed: 9, revisions: 60, checkpointInterval: 25)
            let object = try DatabaseObject(LogFixture.databaseID, created: 5)
            let course = try fixture.restorer.course(to: .end)
            let count = Mutex(0)
            _ = try Backup.write(course, of: object, fixture.restorer) { _ in count.withLock { $0 += 1 } }
            for last in 0..<count.withLock({ $0 }) {
                let left = Mutex(last)
                let error = #expect(throws: (any Error).self) {
                    _ = try Backup.write(course, of: object, fixture.restorer) { _ in
                        let isOver = left.withLock { left in
                            defer { left -= 1 }
                            return left <= 0
                        }
                        if isOver { throw Refusal() }
                    }
                }
                let cause = (error as? ObjectStoreError)?.cause ?? error
                #expect(cause is Refusal, "\(String(describing: error))")
            }
        }
    }

    /// What a running node gives is restored into every engine, and is what its own store gives.
    @Test func aNodeGivesWhatItShows() async throws {
        let node = try await StoreNode(.objectStore, engine: "lmdb")
        try await node.start()
        for number in 0..<300 { try await node.put("key\(number % 70)", "value \(number)") }
        _ = try await node.node.grantLease(id: 7, ttl: 1000)
        try await node.node.put(PutRequest(key: Array("leased"), value: [65], lease: 7))
        let sink = Sink()
        let report = try await node.node.backup(to: sink.output)
        #expect(report.revision == node.node.revision)
        let rows = try dump(node.node.engine.snapshot())
        let file = try sink.file()
        for engine in ["lmdb", "rocksdb", "leveldb"] {
            let folder = FileManager.default.temporaryDirectory.appending(path: "t4-restored-\(UUID().uuidString)")
            let restored = try await RestorePoint(store: file, target: .end).restore(
                into: RestoreDestination(dataDirectory: folder.path, engine: engine), registry: .builtIn,
                logger: quietLogger)
            #expect(restored.revision == report.revision && restored.databaseID == report.databaseID)
            let found = try await onThread {
                let inspection = try Inspection(dataDirectory: folder.path, registry: .builtIn, logger: quietLogger)
                #expect(inspection.summary.lastEntry == report.end)
                return try dump(inspection.reader.snapshot)
            }
            #expect(found == rows, "\(engine)")
            // And from that directory once more.
            let again = Sink()
            let second = try await onThread {
                try Backup.write(
                    dataDirectory: folder.path, registry: .builtIn, logger: quietLogger, by: "test", software: "test",
                    to: again.output)
            }
            #expect(second.end == report.end && second.databaseID == report.databaseID)
            try FileManager.default.removeItem(at: folder)
        }
        try await node.stop()
    }

    /// A branch has tables that lie in the store of its parent: the file has them all.
    @Test func aBranchStandsOnItsOwn() async throws {
        let world = try await BranchWorld()
        let branch = try await world.branch("branch/", at: BranchPoint(prefix: "db/", checkpoint: world.checkpoints[1]))
        try await branch.start()
        try await branch.put("own", "value")
        try await branch.node.checkpoint()
        let rows = try dump(branch.node.engine.snapshot())
        try await branch.stop()
        let sink = Sink()
        let report = try await RestorePoint(store: world.base, prefix: "branch/", target: .end).backup(to: sink.output)
        let file = try sink.file()
        let folder = FileManager.default.temporaryDirectory.appending(path: "t4-restored-\(UUID().uuidString)")
        _ = try await RestorePoint(store: file, target: .end).restore(
            into: RestoreDestination(dataDirectory: folder.path, engine: "lmdb"), registry: .builtIn,
            logger: quietLogger)
        let found = try await onThread {
            let inspection = try Inspection(dataDirectory: folder.path, registry: .builtIn, logger: quietLogger)
            #expect(inspection.summary.revision == report.revision)
            return try dump(inspection.reader.snapshot)
        }
        #expect(found == rows)
        try FileManager.default.removeItem(at: folder)
        try await world.parent.stop()
    }
}
