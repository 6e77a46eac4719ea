import T4Core
import T4Protocols
import Testing

/// Goal: damage of anything that was synced stops the start with an error that names file and offset, and changes
/// nothing.
/// Method: every byte of a small log is flipped in turn; segments and frames are moved and removed.
@Suite struct LogCorruptionTests {
    /// Two sealed segments and an open one of three batches: 10, 5 and 2 + 3 + 2 entries.
    private static func disk() throws -> SimulatedFileSystem {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        try writer.appendAndSync(LogFixture.entries(1...10))
        _ = try writer.seal()
        try writer.appendAndSync(LogFixture.entries(11...15))
        _ = try writer.seal()
        for indexes in [16...17, 18...20, 21...22] {
            try writer.appendAndSync(LogFixture.entries(indexes))
        }
        writer.close()
        #expect(fileSystem.paths == [1, 11, 16].map(LogFixture.segment))
        return fileSystem
    }

    private static let frame = LogFixture.size(frames: 1)

    /// Where the structure that holds this byte starts: the header, a frame or the footer.
    private static func place(of offset: Int, frames: Int) -> Int {
        if offset < LogFixture.headerSize { return 0 }
        return LogFixture.headerSize + min((offset - LogFixture.headerSize) / frame, frames) * frame
    }

    private static func flipped(_ fileSystem: SimulatedFileSystem, _ path: String, _ offset: Int)
        -> SimulatedFileSystem
    {
        let copy = fileSystem.copy()
        var bytes = copy.contents(path)
        bytes[offset] ^= UInt8(1 << (offset % 8))
        copy.setContents(path, bytes)
        return copy
    }

    private static func expectDamage(
        _ fileSystem: SimulatedFileSystem, in path: String, at place: Int?, from index: UInt64 = 0,
        _ location: SourceLocation = #_sourceLocation
    ) {
        let before = fileSystem.paths.map(fileSystem.contents)
        let error = #expect(throws: LogError.self, sourceLocation: location) {
            try Log.open(
                directory: LogFixture.directory, databaseID: LogFixture.databaseID, fileSystem: fileSystem,
                configuration: LogFixture.small, from: index)
        }
        guard let error else { return }
        #expect(error.code == .corrupted, sourceLocation: location)
        #expect(error.path == path && error.message.contains(path), sourceLocation: location)
        if let place {
            let offset = Int(error.offset ?? .max)
            // A damaged header is named by its start or the field concerned.
            let allowed = place == 0 ? 0...71 : place...place
            #expect(allowed.contains(offset), "\(error)", sourceLocation: location)
            #expect(error.message.contains("offset \(offset)"), sourceLocation: location)
        }
        // The copy of a tail may have been swapped in by then; the bytes that count are the same.
        for (old, new) in zip(before, fileSystem.paths.map(fileSystem.contents)) {
            #expect(
                old == new || new.starts(with: old.prefix(LogFixture.headerSize)), sourceLocation: location)
        }
    }

    @Test(arguments: [(1, 10), (11, 5)])
    func flippedByteInASealedSegmentIsFound(_ segment: Int, frames: Int) throws {
        let source = try Self.disk()
        let path = LogFixture.segment(segment)
        let size = source.contents(path).count
        #expect(size == LogFixture.headerSize + frames * Self.frame + LogFixture.footerSize)
        for offset in 0..<size {
            Self.expectDamage(
                Self.flipped(source, path, offset), in: path, at: Self.place(of: offset, frames: frames))
        }
    }

    @Test func flippedByteBeforeTheLastBatchIsFound() throws {
        let source = try Self.disk()
        let path = LogFixture.segment(16)
        let lastBatch = LogFixture.headerSize + 5 * Self.frame
        for offset in 0..<lastBatch {
            let copy = Self.flipped(source, path, offset)
            let bytes = copy.contents(path)
            Self.expectDamage(copy, in: path, at: Self.place(of: offset, frames: 7))
            #expect(copy.contents(path) == bytes, "a damaged tail was rewritten")
        }
        // Where the last batch itself is damaged nothing tells it from one that was never synced.
        for offset in lastBatch..<lastBatch + 2 * Self.frame {
            let copy = Self.flipped(source, path, offset)
            let kept = 20 + (offset - lastBatch) / Self.frame
            #expect(try LogFixture.recover(copy) == LogFixture.entries(1...kept))
        }
    }

    @Test func zerosInsideTheLastSegmentAreFound() throws {
        // A sector that was synced and is gone reads as zeros, like the end of the log.
        let source = try Self.disk()
        let path = LogFixture.segment(16)
        for first in 0..<5 {
            let copy = source.copy()
            var bytes = copy.contents(path)
            let start = LogFixture.headerSize + first * Self.frame
            for offset in start..<start + Self.frame { bytes[offset] = 0 }
            copy.setContents(path, bytes)
            Self.expectDamage(copy, in: path, at: start)
        }
    }

    @Test func flippedByteInASealedTailIsFound() throws {
        let source = try Self.disk()
        let writer = try LogFixture.open(source).writer
        _ = try writer.seal()
        writer.close()
        let path = LogFixture.segment(16)
        let footer = source.contents(path).count - LogFixture.footerSize
        for offset in 0..<footer {
            Self.expectDamage(
                Self.flipped(source, path, offset), in: path, at: Self.place(of: offset, frames: 7))
        }
    }

    @Test func headersAndFootersOfSkippedSegmentsAreChecked() throws {
        let source = try Self.disk()
        let path = LogFixture.segment(1)
        let size = source.contents(path).count
        for offset in Array(0..<LogFixture.headerSize) + Array(size - LogFixture.footerSize..<size) {
            Self.expectDamage(Self.flipped(source, path, offset), in: path, at: nil, from: 20)
        }
    }

    @Test func missingSegmentIsAGap() throws {
        let source = try Self.disk()
        try source.remove(LogFixture.segment(11))
        Self.expectDamage(source, in: LogFixture.segment(16), at: nil)
    }

    @Test func segmentUnderAnotherNameIsRefused() throws {
        let source = try Self.disk()
        try source.rename(LogFixture.segment(11), to: LogFixture.segment(12))
        Self.expectDamage(source, in: LogFixture.segment(12), at: nil)
        let other = try Self.disk()
        try other.rename(LogFixture.segment(11), to: "log/11.wal")
        Self.expectDamage(other, in: "log/11.wal", at: nil)
    }

    @Test func segmentOfAnotherHistoryIsRefused() throws {
        let source = try Self.disk()
        let other = SimulatedFileSystem()
        let writer = try LogFixture.open(other).writer
        try writer.appendAndSync(LogFixture.entries(1...10, term: 2))
        _ = try writer.seal()
        try writer.appendAndSync(LogFixture.entries(11...15, term: 2))
        _ = try writer.seal()
        source.setContents(LogFixture.segment(11), other.contents(LogFixture.segment(11)))
        Self.expectDamage(source, in: LogFixture.segment(11), at: nil)
    }

    @Test func unsealedSegmentBeforeAnotherIsRefused() throws {
        let source = try Self.disk()
        let path = LogFixture.segment(11)
        var bytes = source.contents(path)
        bytes.removeLast(LogFixture.footerSize)
        source.setContents(path, bytes)
        Self.expectDamage(source, in: path, at: bytes.count)
    }

    @Test func intactFramesInTheWrongPlaceAreFound() throws {
        let source = try Self.disk()
        let path = LogFixture.segment(16)
        var bytes = source.contents(path)
        let first = LogFixture.headerSize + 2 * Self.frame
        let second = first + Self.frame
        let moved = Array(bytes[second..<second + Self.frame]) + Array(bytes[first..<second])
        bytes.replaceSubrange(first..<second + Self.frame, with: moved)
        source.setContents(path, bytes)
        Self.expectDamage(source, in: path, at: first)
        let reader = LogReader(directory: LogFixture.directory, databaseID: nil, fileSystem: source)
        let error = #expect(throws: LogError.self) { try reader.read { _ in .next } }
        #expect(error?.message.contains("entry 1/19 where index 18 belongs") == true)
    }
}
