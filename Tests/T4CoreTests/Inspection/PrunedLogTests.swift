// Goal: an inspection beside a running node shows the state after the last entry, or says that it cannot; it never leaves out entries
// that the node removed from the log while it looked.
// Method: a made-up log in small segments, and an engine that is opened at one entry after the other while the log before a
// later one is removed.
import Foundation
import T4BuiltIns
import T4Protocols
import Testing

@testable import T4Core

@Suite struct PrunedLogTests {
    private struct Settings: Decodable {}

    /// A data directory whose engine stands elsewhere each time that it is opened.
    private final class Directory: Sendable {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("t4-pruned-\(UUID().uuidString)").path
        let history: CheckpointHistory
        let entries: [LogEntry]
        private let openings = Monitor(0)

        var openedCount: Int { openings.withLock { $0 } }

        init(_ count: Int) throws {
            var history = try CheckpointHistory(seed: 3)
            entries = try (0..<count).map { _ in try history.next() }
            self.history = history
            try DurableFile.makeDirectory(path + "/engine/1")
            try DataDirectory.writeIdentity(
                .init(database: LogFixture.databaseID, instance: LogFixture.databaseID), path)
            try DurableFile.write(
                "generation 1\ntype moving\nkept on-disk\nboot none\nclosed open\n", to: path + "/engine/state")
            let log = try Log.open(
                directory: path + "/wal", databaseID: LogFixture.databaseID, configuration: LogFixture.small)
            for entry in entries { try log.writer.appendAndSync([entry]) }
            log.writer.close()
        }

        deinit { do { try DurableFile.removeTree(path) } catch { Issue.record(error) } }

        /// - Parameter move: Where the engine stands, and the entry that the log reaches back to from then on, at each
        ///   opening.
        func inspect(_ move: @escaping @Sendable (_ opening: Int) -> (applied: Int, pruned: UInt64)) throws
            -> Inspection
        {
            var registry = BackendRegistry.builtIn
            let (entries, wal, openings) = (entries, path + "/wal", openings)
            registry.register(engine: "moving", settings: Settings.self) { _, _ in
                let opening = openings.withLock { count in
                    count += 1
                    return count
                }
                let (applied, pruned) = move(opening)
                let engine = try CheckpointHistory.makeEngine()
                var replay = try LogReplay(on: engine)
                for entry in entries.prefix(applied) { try replay.add(entry) }
                try engine.apply(replay.finish(), at: replay.position)
                _ = try Log.removeSegments(below: pruned, in: wal)
                return engine
            }
            return try Inspection(dataDirectory: path, registry: registry, logger: quietLogger)
        }
    }

    @Test func aLogThatWasPrunedMeanwhileIsReadBehindANewView() throws {
        let directory = try Directory(400)
        let inspection = try directory.inspect { $0 < 3 ? (10 * $0, UInt64(100 * $0)) : (250, 200) }
        #expect(directory.openedCount == 3)
        #expect(inspection.reader.meta == (try StateReader(directory.history.engine.snapshot()).meta))
        #expect(inspection.summary.lastEntry == directory.history.position)
    }

    @Test func aLogThatNeverReachesBackIsAnError() throws {
        let directory = try Directory(400)
        let error = #expect(throws: Inspection.Failure.self) { try directory.inspect { _ in (10, 200) } }
        #expect(error?.description.contains("missing") == true)
    }

    @Test func aReplayTakesNoEntryButTheNextOne() throws {
        var history = try CheckpointHistory(seed: 3)
        let entries = try (0..<5).map { _ in try history.next() }
        for wrong in [0, 1, 3] {
            var replay = try LogReplay(on: CheckpointHistory.makeEngine())
            for entry in entries.prefix(2) { try replay.add(entry) }
            let error: EngineError?
            do throws(EngineError) {
                try replay.add(entries[wrong])
                error = nil
            } catch let refusal {
                error = refusal
            }
            #expect(error?.code == .corrupted)
            #expect(replay.position == entries[1].position)
        }
    }
}
