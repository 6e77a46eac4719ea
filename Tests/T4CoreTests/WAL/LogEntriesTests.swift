import T4Core
import T4Protocols
import Testing

/// Goal: entries come back from memory while they are there and from segments after that, checked; what is not there is
/// said; a follower that is read for goes on where the last read ended.
/// Method: logs in the simulated file system, which counts reads.
@Suite struct LogEntriesTests {
    private static let size = LogFixture.size(frames: 1)

    /// 200 entries in several segments.
    private static func log(recentSizeMax: Int) throws -> (SimulatedFileSystem, Log.Opened, [LogEntry]) {
        let fileSystem = SimulatedFileSystem()
        var configuration = LogFixture.small
        configuration.recentSizeMax = recentSizeMax
        let log = try LogFixture.open(fileSystem, configuration)
        let entries = LogFixture.entries(1...120) + LogFixture.entries(121...200, term: 2)
        for start in stride(from: 0, to: 200, by: 10) {
            try log.writer.appendAndSync(Array(entries[start..<start + 10]))
        }
        fileSystem.arm(nil)
        return (fileSystem, log, entries)
    }

    @Test func recentOnesComeFromMemoryTheOthersFromSegments() throws {
        // An entry counts with its 40 bytes and 96 more.
        let (fileSystem, log, all) = try Self.log(recentSizeMax: 50 * 136)
        #expect(try log.entries.entries(from: 151, maxBytes: 100_000) == .entries(Array(all[150...])))
        #expect(try log.entries.entries(from: 200, maxBytes: 1) == .entries(Array(all[199...])))
        #expect(try log.entries.entries(from: 201, maxBytes: 1) == .entries([]))
        #expect(try log.entries.entries(from: 300, maxBytes: 1) == .entries([]))
        #expect(
            try log.entries.entries(from: 160, through: 165, maxBytes: 4 * Self.size)
                == .entries(Array(all[159..<163])))
        #expect(try log.entries.entries(from: 160, through: 159, maxBytes: 100) == .entries([]))
        #expect(fileSystem.count(.open) == 0)
        // Where memory takes over a read of segments ends.
        #expect(try log.entries.entries(from: 150, maxBytes: 100_000) == .entries([all[149]]))
        #expect(fileSystem.count(.open) == 1)
        #expect(try log.entries.entries(from: 1, maxBytes: 100_000) == .entries(Array(all[..<150])))
        #expect(try log.entries.entries(from: 0, maxBytes: 1) == .begins(behind: .zero))
    }

    @Test func memoryHoldsNoMoreThanItMay() throws {
        let (fileSystem, log, _) = try Self.log(recentSizeMax: 10 * 136)
        for size in [1265, 1264] {
            let index = Int(log.writer.lastPosition.index) + 1
            let large = LogFixture.entries(index...index, term: 2, bodySize: size)
            try log.writer.appendAndSync(large)
            fileSystem.arm(nil)
            #expect(try log.entries.entries(from: UInt64(index), maxBytes: 1) == .entries(large))
            #expect(fileSystem.count(.open) == (size + 96 > 1360 ? 1 : 0))
        }
    }

    @Test func readingOnIsCheap() throws {
        let (fileSystem, log, all) = try Self.log(recentSizeMax: 0)
        var first: UInt64 = 1
        var read: [LogEntry] = []
        while case .entries(let some) = try log.entries.entries(from: first, maxBytes: 3 * Self.size), !some.isEmpty {
            #expect(some.count <= 3)
            read += some
            first += UInt64(some.count)
        }
        #expect(read == all)
        // A header and a window for each read, and one header more where it goes over into another segment.
        #expect(fileSystem.count(.read) <= 2 * 67 + 2 * 10, "\(fileSystem.count(.read)) reads")
        // Those that were written since are found from there as well.
        try log.writer.append(LogFixture.entries(201...203, term: 4))
        #expect(
            try log.entries.entries(from: 201, maxBytes: 10_000) == .entries(LogFixture.entries(201...203, term: 4)))
    }

    @Test func aPlaceInWhatWasCutOffIsForgotten() throws {
        let (_, log, all) = try Self.log(recentSizeMax: 0)
        #expect(try log.entries.entries(from: 1, through: 190, maxBytes: 100_000) == .entries(Array(all[..<190])))
        try log.writer.truncate(after: 185)
        try log.writer.append(LogFixture.entries(186...191, term: 3, bodySize: 7))
        let later = LogFixture.entries(186...191, term: 3, bodySize: 7)
        #expect(try log.entries.entries(from: 191, maxBytes: 1) == .entries([later[5]]))
        #expect(try log.entries.entries(from: 185, maxBytes: 100_000) == .entries([all[184]] + later))
    }

    @Test func saysWhereTheLogBegins() throws {
        let (fileSystem, log, all) = try Self.log(recentSizeMax: 0)
        #expect(try log.entries.removeSegments(below: 1) == 0)
        let removed = try log.entries.removeSegments(below: 151)
        #expect(removed > 1)
        let start = log.entries.start
        #expect(start.index > 100 && start.index <= 150 && start == all[Int(start.index) - 1].position)
        #expect(fileSystem.paths.first == LogFixture.segment(Int(start.index) + 1))
        #expect(try log.entries.entries(from: start.index, maxBytes: 1) == .begins(behind: start))
        #expect(
            try log.entries.entries(from: start.index + 1, maxBytes: 100_000)
                == .entries(Array(all[Int(start.index)...])))
        log.writer.close()
        #expect(try LogFixture.open(fileSystem).entries.start == start)
    }

    @Test func whatIsReadIsChecked() throws {
        let (fileSystem, log, all) = try Self.log(recentSizeMax: 0)
        let path = fileSystem.paths[1]
        let intact = fileSystem.contents(path)
        let first = Int(path.dropFirst(4).prefix(20))!
        // The header, a frame that is only passed over, and one that is asked for.
        for offset in [40, LogFixture.headerSize + 60, LogFixture.headerSize + 2 * Self.size + 60] {
            var bytes = intact
            bytes[offset] ^= 1
            fileSystem.setContents(path, bytes)
            let error = #expect(throws: LogError.self) {
                try log.entries.entries(from: UInt64(first + 2), maxBytes: 1)
            }
            #expect(error?.code == .corrupted && error?.path == path)
            // The others still come, and this one does once the file is whole.
            #expect(try log.entries.entries(from: 1, maxBytes: 1) == .entries([all[0]]))
        }
        fileSystem.setContents(path, intact)
        #expect(try log.entries.entries(from: UInt64(first + 2), maxBytes: 1) == .entries([all[first + 1]]))
        // A segment of another history in its place: intact by itself, but it does not continue the one before.
        let other = try LogFixture.log([LogFixture.entries(1...first - 1, term: 2)]).copy()
        let writer = try LogFixture.open(other).writer
        _ = try writer.seal()
        try writer.appendAndSync(LogFixture.entries(first...first + 90, term: 2))
        fileSystem.setContents(path, other.contents(path))
        let error = #expect(throws: LogError.self) {
            try log.entries.entries(from: UInt64(first - 2), maxBytes: 100_000)
        }
        #expect(error?.code == .corrupted && error?.path == path)
    }
}
