import T4Core
import T4Protocols
import Testing

/// Goal: what a cut leaves behind: files, terms, times, what the uploader is told, and what may follow.
/// Method: logs of a few segments in the simulated file system.
@Suite struct LogTruncationTests {
    /// Segments 1 to 5 of term 1, 6 to 10 of terms 1 and 2, 11 to 15 of term 3; the last one open.
    private static func log() throws -> (SimulatedFileSystem, LogWriter, [LogEntry]) {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        let entries =
            LogFixture.entries(1...8) + LogFixture.entries(9...10, term: 2) + LogFixture.entries(11...15, term: 3)
        for start in [0, 5, 10] {
            _ = try writer.seal()
            try writer.appendAndSync(Array(entries[start..<start + 5]))
        }
        return (fileSystem, writer, entries)
    }

    @Test(arguments: 0...15)
    func keepsWhatIsBeforeTheCutAndTakesAnythingBehindIt(_ index: Int) throws {
        let (fileSystem, writer, entries) = try Self.log()
        var sealed: [LogSegment] = []
        writer.onSeal = { sealed.append($0) }
        try writer.truncate(after: UInt64(index))
        let last = index == 0 ? .zero : entries[index - 1].position
        #expect(writer.lastPosition == last && writer.syncedPosition == last)
        #expect(writer.lastTime == (index == 0 ? 0 : entries[index - 1].time))
        let kept = [1, 6, 11].filter { $0 <= index }
        #expect(fileSystem.paths == kept.map { LogFixture.segment($0) })
        // Only a segment that was cut inside is sealed by the cut.
        #expect(sealed.map(\.header.firstIndex) == (index % 5 == 0 ? [] : [UInt64(kept.last!)]))
        for segment in sealed {
            #expect(segment.footer?.tally.lastPosition == last)
            #expect(segment.sealedSize == UInt64(fileSystem.contents(segment.path).count))
        }
        // A lower term than what was cut off had, as long as the log has no higher one; and earlier times.
        var next = LogFixture.entries(index + 1...index + 3, term: max(last.term, 2))
        for number in next.indices { next[number].time = writer.lastTime }
        try writer.appendAndSync(next)
        writer.close()
        #expect(try LogFixture.recover(fileSystem) == Array(entries.prefix(index)) + next)
        let reader = LogReader(directory: LogFixture.directory, databaseID: nil, fileSystem: fileSystem)
        // 15 is the end of the log, so nothing was cut.
        let begun = index < 15 ? [index + 1] : []
        #expect(try reader.segments().map(\.header.firstIndex) == (kept + begun).map(UInt64.init))
        #expect(try reader.segments().last?.header.term == (index < 15 ? max(last.term, 2) : 3))
    }

    @Test func refusesWhatIsNotThereAndStaysUsable() throws {
        let (fileSystem, writer, entries) = try Self.log()
        #expect(try writer.entries.removeSegments(below: 6) == 1)
        for index in [0, 4, 16] as [UInt64] {
            let error = #expect(throws: LogError.self) { try writer.truncate(after: index) }
            #expect(error?.code == .invalidArgument)
        }
        #expect(writer.isUsable && fileSystem.paths == [LogFixture.segment(6), LogFixture.segment(11)])
        try writer.truncate(after: 5)
        #expect(writer.lastPosition == entries[4].position && fileSystem.paths == [])
        try writer.appendAndSync(LogFixture.entries(6...6))
        writer.close()
        #expect(try LogFixture.open(fileSystem).start == entries[4].position)
    }

    @Test func atTheEndItSyncs() throws {
        let (fileSystem, writer, entries) = try Self.log()
        try writer.append(LogFixture.entries(16...16, term: 3))
        try writer.truncate(after: 16)
        #expect(writer.syncedPosition.index == 16)
        #expect(try LogFixture.recover(fileSystem) == entries + LogFixture.entries(16...16, term: 3))
    }

    @Test func entriesOfSeveralTermsLieInOneSegment() throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        let terms: [UInt64] = [2, 2, 3, 7, 7, 7, 9]
        let batch = terms.enumerated().flatMap { LogFixture.entries($0.offset + 1...$0.offset + 1, term: $0.element) }
        try writer.appendAndSync(batch)
        let sealed = try #require(try writer.seal())
        #expect(sealed.header.term == 2 && sealed.footer?.tally.lastPosition == LogPosition(term: 9, index: 7))
        try writer.appendAndSync(LogFixture.entries(8...8, term: 9))
        writer.close()
        #expect(try LogFixture.recover(fileSystem) == batch + LogFixture.entries(8...8, term: 9))
        let opened = try LogFixture.open(fileSystem)
        #expect(opened.terms.runs(from: 1, through: 8).map(\.term) == [2, 3, 7, 9])
        #expect(opened.terms.runs(from: 1, through: 8).map(\.count) == [2, 1, 3, 2])
    }

    @Test func termsOfSealedSegmentsComeFromHeadersAndFooters() throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        var terms = TermLog()
        for number in 0..<30 {
            // Every tenth segment has two terms.
            let term = UInt64(number / 10 + 1)
            let first = number * 40 + 1
            let later = number % 10 == 9 ? term + 1 : term
            try writer.append(LogFixture.entries(first...first + 19, term: term))
            try writer.appendAndSync(LogFixture.entries(first + 20...first + 39, term: later))
            terms.append(term: term, count: 20)
            terms.append(term: later, count: 20)
            _ = try writer.seal()
        }
        writer.close()
        fileSystem.arm(nil)
        let opened = try Log.open(
            directory: LogFixture.directory, databaseID: LogFixture.databaseID, fileSystem: fileSystem,
            configuration: LogFixture.small, from: .max)
        #expect(opened.terms == terms)
        // Header and footer of each, and the frames of three and the last.
        #expect(fileSystem.count(.read) < 2 * (30 * 2) + 40, "\(fileSystem.count(.read)) reads")
    }
}
