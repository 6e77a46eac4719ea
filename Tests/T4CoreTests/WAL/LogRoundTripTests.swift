import T4Protocols
import Testing

@testable import T4Core

/// Goal: what is appended is read back, over segments, restarts and terms, and rules of use are enforced.
/// Method: logs in the simulated file system, read by `Log.open` and `LogReader`.
@Suite struct LogRoundTripTests {
    @Test func entriesComeBackOverSegmentsAndRestarts() throws {
        let fileSystem = SimulatedFileSystem()
        var written: [LogEntry] = []
        for round in 0..<4 {
            var seen: [LogEntry] = []
            let opened = try LogFixture.open(fileSystem) { seen.append($0) }
            #expect(seen == written)
            #expect(opened.end == written.last?.position ?? .zero)
            #expect(opened.lastTime == written.last?.time ?? 0)
            for batch in 0..<20 {
                let first = written.count + 1
                let entries = LogFixture.entries(first...first + batch % 5, term: UInt64(round + 1))
                try opened.writer.appendAndSync(entries)
                written += entries
                #expect(opened.writer.syncedPosition == entries.last?.position)
            }
            opened.writer.close()
        }
        #expect(try LogFixture.recover(fileSystem) == written)
        let segments = try LogReader(
            directory: LogFixture.directory, databaseID: LogFixture.databaseID, fileSystem: fileSystem
        ).segments()
        #expect(segments.count > 3)
        #expect(segments.dropLast().allSatisfy { $0.footer != nil })
        #expect(segments.first?.header.previous == .zero)
    }

    @Test func emptyDirectoryIsANewLogThatStartsWhereToldTo() throws {
        let fileSystem = SimulatedFileSystem()
        let start = LogPosition(term: 7, index: 41)
        let opened = try Log.open(
            directory: LogFixture.directory, databaseID: LogFixture.databaseID, startingAfter: start,
            fileSystem: fileSystem, configuration: LogFixture.small)
        #expect(opened.end == start && opened.start == start && opened.sealedSegments.isEmpty)
        let entries = LogFixture.entries(42...43, term: 8)
        try opened.writer.appendAndSync(entries)
        opened.writer.close()
        #expect(try LogFixture.recover(fileSystem) == entries)
        #expect(try LogFixture.open(fileSystem).start == start)
    }

    @Test func emptyBodiesAndOtherKindsSurvive() throws {
        let entries = [
            LogEntry(
                position: LogPosition(term: 1, index: 1), time: 0, revision: .none, kind: .term, body: []),
            LogEntry(
                position: LogPosition(term: .max, index: 2), time: .max, revision: Revision(.max),
                kind: LogEntry.Kind(rawValue: 255), body: [0]),
        ]
        #expect(try LogFixture.recover(LogFixture.log([entries])) == entries)
    }

    @Test func sealedSegmentTellsWhatItHolds() throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        var sealed: [LogSegment] = []
        writer.onSeal = { sealed.append($0) }
        var entries = LogFixture.entries(1...3)
        entries[0].revision = .none
        entries[2].revision = .none
        try writer.append(entries)
        let segment = try #require(try writer.seal())
        #expect(sealed == [segment])
        #expect(segment.path == LogFixture.segment(1))
        #expect(
            segment.header == SegmentHeader(databaseID: LogFixture.databaseID, term: 1, previous: .zero))
        let tally = try #require(segment.footer?.tally)
        #expect(
            tally.entryCount == 3 && tally.firstRevision == Revision(3)
                && tally.lastRevision == Revision(3))
        #expect(tally.firstTime == 1001 && tally.lastTime == 1003 && tally.lastPosition.index == 3)
        #expect(segment.sealedSize == UInt64(fileSystem.contents(segment.path).count))
        #expect(try writer.seal() == nil)
        #expect(writer.syncedPosition.index == 3)
        writer.close()
        let opened = try LogFixture.open(fileSystem)
        #expect(opened.sealedSegments == [segment])
        try opened.writer.appendAndSync(LogFixture.entries(4...4))
        #expect(fileSystem.paths == [LogFixture.segment(1), LogFixture.segment(4)])
    }

    @Test func segmentsAreSealedByTheAgeOfTheirFirstEntry() throws {
        let writer = try LogFixture.open(SimulatedFileSystem()).writer
        #expect(try writer.sealIfOlder(than: .seconds(1), now: .max) == nil)
        try writer.appendAndSync(LogFixture.entries(1...2))
        #expect(try writer.sealIfOlder(than: .nanoseconds(10), now: 1011) == nil)
        #expect(try writer.sealIfOlder(than: .nanoseconds(10), now: 5) == nil)
        #expect(try writer.sealIfOlder(than: .nanoseconds(10), now: 1012)?.header.firstIndex == 1)
    }

    @Test(arguments: [3_000, 4_000, 4_096, 9_000, 300_000])
    func entryLargerThanTheRestGetsASegmentOfItsOwn(_ size: Int) throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        let entries =
            LogFixture.entries(1...20) + LogFixture.entries(21...21, bodySize: size)
            + LogFixture.entries(22...24)
        try writer.appendAndSync(entries)
        writer.close()
        #expect(fileSystem.paths.contains(LogFixture.segment(21)))
        #expect(try LogFixture.recover(fileSystem) == entries)
        let sizeMax = LogFixture.small.segmentSizeMax
        for path in fileSystem.paths where path != LogFixture.segment(21) {
            #expect(fileSystem.contents(path).count <= sizeMax)
        }
    }

    @Test func oneBatchIsOneWriteAndOneSync() throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        try writer.appendAndSync(LogFixture.entries(1...1))
        fileSystem.arm(nil)
        try writer.appendAndSync(LogFixture.entries(2...9))
        #expect(fileSystem.count(.write) == 1 && fileSystem.count(.syncData) == 1)
        try writer.sync()
        #expect(fileSystem.count(.syncData) == 1)
    }

    @Test func entriesOutOfOrderAreRefusedAndNothingIsWritten() throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        let good = LogFixture.entries(1...2, term: 3)
        try writer.appendAndSync(good)
        var early = LogFixture.entries(3...3, term: 3)
        early[0].time = 1001
        let wrong = [
            LogFixture.entries(4...4, term: 3), LogFixture.entries(2...2, term: 3),
            LogFixture.entries(3...3, term: 2),
            early, LogFixture.entries(3...3, term: 3) + LogFixture.entries(5...5, term: 3),
        ]
        for entries in wrong {
            let error = #expect(throws: LogError.self) { try writer.append(entries) }
            #expect(error?.code == .invalidArgument)
        }
        try writer.append([])
        try writer.appendAndSync(LogFixture.entries(3...3, term: 3))
        #expect(try LogFixture.recover(fileSystem) == good + LogFixture.entries(3...3, term: 3))
    }

    @Test func readsFromAnyIndexWithoutTheSegmentsBefore() throws {
        let all = LogFixture.entries(1...200)
        let fileSystem = try LogFixture.log(all.map { [$0] })
        let reader = LogReader(directory: LogFixture.directory, databaseID: nil, fileSystem: fileSystem)
        for index in [0, 1, 2, 57, 199, 200, 201, 1000] {
            var seen: [LogEntry] = []
            let summary = try reader.read(from: UInt64(index)) { entry in
                seen.append(entry)
                return .next
            }
            #expect(seen == all.filter { $0.position.index >= index })
            #expect(
                summary.end.index == 200 && summary.visitedCount == seen.count && summary.start == .zero)
        }
        struct Enough: Error {}
        let error = #expect(throws: LogError.self) { try reader.read { _ in throw Enough() } }
        #expect(error?.code == .stopped && error?.cause is Enough)
        #expect(try reader.read { _ in .stop }.visitedCount == 1)
    }

    @Test func removesOnlySegmentsThatLieWhollyBelow() throws {
        let fileSystem = try LogFixture.log(LogFixture.entries(1...200).map { [$0] })
        let paths = fileSystem.paths
        #expect(try Log.removeSegments(below: 1, in: LogFixture.directory, fileSystem: fileSystem) == 0)
        let second = try #require(UInt64(paths[1].dropFirst(4).prefix(20)))
        #expect(
            try Log.removeSegments(below: second - 1, in: LogFixture.directory, fileSystem: fileSystem)
                == 0)
        #expect(
            try Log.removeSegments(below: second, in: LogFixture.directory, fileSystem: fileSystem) == 1)
        #expect(fileSystem.paths == Array(paths.dropFirst()))
        #expect(try LogFixture.open(fileSystem).start.index == second - 1)
        let removed = try Log.removeSegments(
            below: .max, in: LogFixture.directory, fileSystem: fileSystem)
        #expect(removed == paths.count - 2 && fileSystem.paths == [paths[paths.count - 1]])
        #expect(try LogFixture.open(fileSystem).end.index == 200)
    }

    @Test func refusesAnotherDatabaseAndOtherVersions() throws {
        let fileSystem = try LogFixture.log([LogFixture.entries(1...1)])
        let other = DatabaseID(Array(1...16))!
        let wrong = #expect(throws: LogError.self) {
            try Log.open(directory: LogFixture.directory, databaseID: other, fileSystem: fileSystem)
        }
        #expect(wrong?.code == .wrongDatabase && wrong?.path == LogFixture.segment(1))
        var bytes = fileSystem.contents(LogFixture.segment(1))
        bytes[8] = 2
        // Damage, as long as the checksum is that of the version before.
        fileSystem.setContents(LogFixture.segment(1), bytes)
        let damage = #expect(throws: LogError.self) { try LogFixture.recover(fileSystem) }
        #expect(damage?.code == .corrupted)
        var header = Array(bytes[..<68])
        header.appendLittleEndian(CRC32C.checksum(header.span.bytes))
        bytes.replaceSubrange(..<72, with: header)
        fileSystem.setContents(LogFixture.segment(1), bytes)
        #expect(throws: LogError.self) { try LogFixture.open(fileSystem) }
        let version = #expect(throws: LogError.self) { try LogFixture.recover(fileSystem) }
        #expect(version?.code == .unsupported)
        #expect(fileSystem.contents(LogFixture.segment(1)) == bytes)
    }

    @Test func roomIsWhatIsFilledOrPreparedOrFree() throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        try writer.appendAndSync(LogFixture.entries(1...1))
        let kept = UInt64(LogFixture.small.freeSizeMin)
        func hasRoom(_ size: Int, _ free: UInt64, usingSpare: Bool = false) throws -> Bool {
            fileSystem.setFreeBytes(free)
            try writer.measureRoom()
            return writer.hasRoom(forBytes: size, usingSpare: usingSpare)
        }
        #expect(try hasRoom(1 << 20, 1 << 40))
        // The open segment has zeros for 1 KiB, not for 2; the engine needs space in any case.
        #expect(try hasRoom(1 << 10, kept))
        #expect(try !hasRoom(2 << 10, kept))
        #expect(try hasRoom(2 << 10, kept + (1 << 20)))
        #expect(try !hasRoom(1 << 10, kept - 1))
        #expect(try !hasRoom(1 << 10, 0))
        #expect(try hasRoom(1 << 10, kept / 4, usingSpare: true))
        #expect(try !hasRoom(2 << 10, kept / 4, usingSpare: true))
        #expect(try hasRoom(2 << 10, kept / 4 + (1 << 20), usingSpare: true))
        #expect(try !hasRoom(1 << 10, kept / 4 - 1, usingSpare: true))
    }
}
