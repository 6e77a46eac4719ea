// Goal: a state becomes tables in files, and only a whole and right one becomes a checkpoint; no file is left and no object that
// is not wanted, whether the disk is full, the engine damaged or the node stopped.
// Method: a made-up history with small tables; the store is compared before and after.
import Foundation
import T4Protocols
import Testing

@testable import T4Core

@Suite struct StateTablesTests {
    /// A few rows each.
    private static let cut = TableCut(sizeMin: 500, sizeMax: 2000, hashBits: 1)

    /// A folder that goes away when the test is over.
    private final class Folder {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("t4-tables-\(UUID().uuidString)").path

        func files(
            expecting size: UInt64 = 0, space: TableFiles.Space = .init(kept: 0) { .max }
        ) throws -> TableFiles { try TableFiles(path, expecting: size, space: space) }

        var names: [String]? {
            get throws {
                guard FileManager.default.fileExists(atPath: path) else { return nil }
                return try FileManager.default.contentsOfDirectory(atPath: path)
            }
        }

        deinit { do { try DurableFile.removeTree(path) } catch { Issue.record(error) } }
    }

    /// A checkpoint, and a state behind it.
    private static func make(
        _ base: any ObjectStore
    ) throws -> (fixture: CheckpointFixture, mark: StateTrail.Mark, state: EngineState) {
        let fixture = try CheckpointFixture(base)
        try fixture.extend(150)
        _ = try #require(try fixture.writer().write(fixture.mark()))
        try fixture.extend(50)
        let mark = try fixture.mark()
        let snapshot = try fixture.history.engine.snapshot()
        return (fixture, mark, EngineState(snapshot: snapshot, position: mark.position, meta: mark.meta))
    }

    @Test func aStateThatDoesNotAddUpIsRefusedBeforeAnythingIsUploaded() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let (fixture, mark, state) = try StateTablesTests.make(base)
            let (folder, before) = (Folder(), try fixture.names)
            var wrong = state
            wrong.meta.keys += 1
            let files = try folder.files()
            #expect(throws: DamagedEngine.self) { try StateTables(of: wrong, cut: nil, in: files) }
            #expect(try fixture.names == before)
            let right = try StateTables(of: state, cut: nil, in: folder.files())
            #expect(try fixture.names == before)
            let written = try #require(try fixture.writer().writeAnew(mark, from: right))
            #expect(written.file.checkpoint.deltas.isEmpty && written.tableCount == right.tables.count)
            try fixture.load(written.file, into: CheckpointHistory.makeEngine())
            try right.files.remove()
            #expect(try folder.names == nil)
        }
    }

    /// The log behind the state goes on top, also where that leads to a new base.
    @Test(arguments: [3, 400]) func whatCameBehindTheStateIsFoldedIn(_ count: Int) async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let (fixture, _, state) = try StateTablesTests.make(base)
            let folder = Folder()
            let tables = try StateTables(of: state, cut: StateTablesTests.cut, in: folder.files())
            #expect(tables.tables.count > 8)
            try fixture.extend(count)
            let written = try #require(try fixture.writer().writeAnew(fixture.mark(), from: tables))
            #expect(written.file.checkpoint.parameters.cut == StateTablesTests.cut)
            let engine = try CheckpointHistory.makeEngine()
            try fixture.load(written.file, into: engine)
            #expect(try StateReader(engine.snapshot()).meta == fixture.mark().meta)
        }
    }

    @Test func aFullDiskIsToldBeforeItIsFull() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let (fixture, _, state) = try StateTablesTests.make(base)
            let folder = Folder()
            // Known from the start.
            let error = #expect(throws: CheckpointError.self) {
                _ = try folder.files(expecting: 1001, space: .init(kept: 5000) { 6000 })
            }
            #expect(error?.code == .interrupted && error?.message.contains("No space left") == true)
            #expect(try folder.names == nil)
            // Less and less, until the first table that would take what is kept for others.
            let free = Monitor<UInt64>(12_000)
            let files = try folder.files(
                expecting: 100,
                space: .init(kept: 5000) {
                    free.withLock { free in
                        free -= 1500
                        return free
                    }
                })
            let late = #expect(throws: CheckpointError.self) {
                _ = try StateTables(of: state, cut: StateTablesTests.cut, in: files)
            }
            #expect(late?.code == .interrupted && late?.message.contains("No space left") == true)
            #expect(try folder.names?.isEmpty == false)
            try files.remove()
            #expect(try folder.names == nil)
            _ = fixture
        }
    }

    @Test func aStopEndsTheWritingAndTheUploading() async throws {
        let base = try await makeMemoryStore()
        try await onThread {
            let (fixture, mark, state) = try StateTablesTests.make(base)
            let (folder, asked) = (Folder(), Monitor(0))
            /// True from the sixth question on.
            let isEnding: () -> Bool = {
                asked.withLock { asked in
                    asked += 1
                    return asked > 5
                }
            }
            let cut = StateTablesTests.cut
            let files = try folder.files()
            let error = #expect(throws: CheckpointError.self) {
                _ = try StateTables(of: state, cut: cut, in: files, isEnding: isEnding)
            }
            #expect(error?.code == .interrupted)
            #expect(try folder.names?.count == 5)
            let tables = try StateTables(of: state, cut: cut, in: folder.files())
            asked.withLock { $0 = 0 }
            let (before, head) = (Set(try fixture.names), try fixture.newest().head)
            let late = #expect(throws: CheckpointError.self) {
                _ = try fixture.writer().writeAnew(mark, from: tables, isEnding: isEnding)
            }
            #expect(late?.code == .interrupted)
            // The uploads that had begun are over: their files may go.
            #expect(Set(try fixture.names).subtracting(before).count == 5)
            #expect(try fixture.newest().head == head)
            #expect(try fixture.writer().writeAnew(mark, from: tables) != nil)
        }
    }
}
