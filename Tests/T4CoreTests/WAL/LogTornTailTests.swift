import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: Rule L1, an unfinished last batch ends the log whatever part of it got to disk, and never comes back.
/// Method: the bytes of a log are edited as a power failure could leave them.
@Suite struct LogTornTailTests {
    private static let kept = LogFixture.entries(1...5)
    private static let last = LogFixture.entries(6...9)
    /// Where the last batch starts and ends.
    private static let start = LogFixture.headerSize + LogFixture.size(frames: 5)
    private static let end = start + LogFixture.size(frames: 4)

    private static func disk(_ edit: (inout [UInt8]) -> Void) throws -> SimulatedFileSystem {
        let fileSystem = try LogFixture.log([Array(kept[0..<2]), Array(kept[2..<5]), last])
        var bytes = fileSystem.contents(LogFixture.segment(1))
        edit(&bytes)
        fileSystem.setContents(LogFixture.segment(1), bytes)
        return fileSystem
    }

    /// Recovers, then appends and recovers once more: nothing of the old tail may be there.
    private static func check(_ fileSystem: SimulatedFileSystem, keeps count: Int) throws {
        let expected = Array((kept + last).prefix(count))
        let opened = try LogFixture.open(fileSystem)
        #expect(Int(opened.end.index) == count)
        // A later term and shorter entries, so that old frames would stand behind the new end if they had stayed.
        let next = LogFixture.entries(count + 1...count + 1, term: 2, bodySize: 3)
        try opened.writer.appendAndSync(next)
        opened.writer.close()
        #expect(try LogFixture.recover(fileSystem) == expected + next)
        #expect(!fileSystem.paths.contains { $0.hasSuffix(".tmp") })
    }

    @Test func endsAtTheLastWholeEntryWhereverTheTailIsCut() throws {
        let frame = LogFixture.size(frames: 1)
        for cut in Self.start...Self.end {
            let zeroed = try Self.disk { bytes in
                for offset in cut..<Self.end { bytes[offset] = 0 }
            }
            let truncated = try Self.disk { $0.removeLast($0.count - cut) }
            let garbage = try Self.disk { bytes in
                for offset in cut..<Self.end { bytes[offset] = UInt8(truncatingIfNeeded: offset &* 37) }
            }
            // The last body bytes are odd, so each missing byte shows.
            let whole = 5 + (cut - Self.start) / frame
            try Self.check(zeroed, keeps: whole)
            try Self.check(truncated, keeps: whole)
            try Self.check(garbage, keeps: cut == Self.end ? 9 : whole)
        }
    }

    @Test func endsBeforeTheFirstMissingFrameWhicheverOthersAreThere() throws {
        let frame = LogFixture.size(frames: 1)
        for present in 0..<16 {
            let fileSystem = try Self.disk { bytes in
                for number in 0..<4 where present & (1 << number) == 0 {
                    for offset in 0..<frame { bytes[Self.start + number * frame + offset] = 0 }
                }
            }
            let whole = (0..<4).first { present & (1 << $0) == 0 } ?? 4
            try Self.check(fileSystem, keeps: 5 + whole)
        }
    }

    @Test func segmentWithoutAnEntryIsGivenUp() throws {
        let fileSystem = try LogFixture.log([LogFixture.entries(1...3, term: 4)])
        let bytes = Array(fileSystem.contents(LogFixture.segment(1)).prefix(LogFixture.headerSize + 60))
        fileSystem.setContents(LogFixture.segment(1), bytes)
        let opened = try LogFixture.open(fileSystem)
        #expect(opened.end == .zero && fileSystem.paths.isEmpty)
        // Entries of an older term than the lost ones may follow.
        try opened.writer.appendAndSync(LogFixture.entries(1...1, term: 2))
        #expect(try LogFixture.recover(fileSystem) == LogFixture.entries(1...1, term: 2))
    }

    @Test func copyOfTheLogInsideAnUnfinishedEntryIsNoEntry() throws {
        // A value that holds this very segment: its frames have valid checksums, but are not behind the end.
        let fileSystem = try LogFixture.log([Self.kept])
        let image = Array(fileSystem.contents(LogFixture.segment(1)).prefix(Self.start))
        let writer = try LogFixture.open(fileSystem).writer
        var entry = LogFixture.entries(6...6)[0]
        entry.body = image
        try writer.appendAndSync([entry])
        writer.close()
        var bytes = fileSystem.contents(LogFixture.segment(1))
        bytes[Self.start + 20] ^= 1
        fileSystem.setContents(LogFixture.segment(1), bytes)
        #expect(try LogFixture.recover(fileSystem) == Self.kept)
    }

    @Test func frameOfAnotherSegmentIsNoEntry() throws {
        // The frames of entries 6 to 9 as another history of the same database wrote them, behind this log's end.
        let other = try LogFixture.log([
            LogFixture.entries(1...5, term: 2), LogFixture.entries(6...9, term: 2),
        ])
        let stale = other.contents(LogFixture.segment(1))[Self.start..<Self.end]
        let fileSystem = try Self.disk { $0.replaceSubrange(Self.start..<Self.end, with: stale) }
        try Self.check(fileSystem, keeps: 5)
    }

    @Test func unsealedFooterIsDroppedAndASealedTailStays() throws {
        let fileSystem = try LogFixture.log([Self.kept])
        let writer = try LogFixture.open(fileSystem).writer
        let sealed = try #require(try writer.seal())
        writer.close()
        let bytes = fileSystem.contents(sealed.path)
        for cut in Self.start..<bytes.count {
            let torn = fileSystem.copy()
            var image = Array(bytes[..<cut])
            image += [UInt8](repeating: 0, count: 300)
            torn.setContents(sealed.path, image)
            let opened = try LogFixture.open(torn)
            #expect(opened.end.index == 5 && opened.sealedSegments.isEmpty)
            try opened.writer.appendAndSync(LogFixture.entries(6...6))
            #expect(torn.paths == [sealed.path])
            #expect(try LogFixture.recover(torn) == LogFixture.entries(1...6))
        }
        // Sealed, but the zeros behind were not cut off yet.
        fileSystem.setContents(sealed.path, bytes + [UInt8](repeating: 0, count: 900))
        let opened = try LogFixture.open(fileSystem)
        #expect(opened.sealedSegments == [sealed])
        try opened.writer.appendAndSync(LogFixture.entries(6...6))
        #expect(try LogFixture.recover(fileSystem) == LogFixture.entries(1...6))
    }

    @Test func processThatDiesInRecoveryLosesNothing() throws {
        let source = try Self.disk { bytes in
            for offset in Self.end - 20..<Self.end { bytes[offset] = 0 }
        }
        source.arm(nil)
        let probe = source.copy()
        #expect(try LogFixture.recover(probe).count == 8)
        let calls = probe.changeCount
        #expect(calls > 5)
        for nth in 1...calls {
            for seed in 0..<8 {
                let fileSystem = source.copy()
                fileSystem.arm(.dying(nth: nth))
                #expect(throws: LogError.self) { try LogFixture.open(fileSystem) }
                fileSystem.arm(nil)
                var random = SeededGenerator(seed: UInt64(nth * 100 + seed))
                try Self.check(fileSystem.powerLoss(&random), keeps: 8)
                try Self.check(fileSystem, keeps: 8)
            }
        }
    }
}
