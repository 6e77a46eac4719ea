import T4Protocols
import Testing

@testable import T4Core

/// Goal: the bytes of version 1 never change by accident.
/// Method: a segment is put together from the description in docs/formats.md, with a checksum of its own, and compared.
@Suite struct LogFormatTests {
    /// CRC-32C bit by bit.
    private static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var crc = UInt32.max
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
        }
        return ~crc
    }

    private static func little(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
    private static func little(_ value: UInt32) -> [UInt8] { Array(little(UInt64(value)).prefix(4)) }

    private static func hash(_ bytes: [UInt8]) -> [UInt8] {
        let hash = SHA256()
        hash.update(bytes.span.bytes)
        return hash.digest()
    }

    @Test func segmentIsWhatTheDescriptionSays() throws {
        let fileSystem = SimulatedFileSystem()
        let opened = try Log.open(
            directory: LogFixture.directory, databaseID: LogFixture.databaseID,
            startingAfter: LogPosition(term: 3, index: 9), fileSystem: fileSystem, configuration: LogFixture.small)
        let first = LogEntry(
            position: LogPosition(term: 4, index: 10), time: 77, revision: .none, kind: .term, body: [])
        let second = LogEntry(
            position: LogPosition(term: 4, index: 11), time: 78, revision: Revision(5), kind: .mutations,
            body: [1, 2, 3])
        try opened.writer.appendAndSync([first, second])
        _ = try opened.writer.seal()

        var expected = Array("T4LOGSEG".utf8) + Self.little(UInt32(1)) + Self.little(UInt32(0)) + Array(0..<16)
        for number: UInt64 in [4, 10, 3, 9] { expected += Self.little(number) }
        expected += Self.little(UInt32(0))
        let seed = Self.little(Self.checksum(expected))
        expected += seed
        for (entry, word) in [(first, UInt32(33) | 1 << 31), (second, UInt32(36))] {
            var payload = Self.little(entry.position.term) + Self.little(entry.position.index) + Self.little(entry.time)
            payload += Self.little(UInt64(entry.revision.rawValue)) + [entry.kind.rawValue] + entry.body
            let length = Self.little(word)
            expected += length + Self.little(Self.checksum(seed + length + payload)) + payload
        }
        let mark: [UInt8] = [255, 255, 255, 255]
        var footer: [UInt8] = []
        for number: UInt64 in [2, 5, 5, 77, 78, 4, 11, UInt64(expected.count)] { footer += Self.little(number) }
        footer += Self.hash(expected)
        expected += mark + Self.little(Self.checksum(seed + mark + footer)) + footer
        #expect(fileSystem.paths == [LogFixture.segment(10)])
        #expect(fileSystem.contents(LogFixture.segment(10)) == expected)
    }

    @Test func checksumIsCastagnoli() {
        #expect(CRC32C.checksum(Array("123456789".utf8).span.bytes) == 0xE306_9283)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32).span.bytes) == 0x8A91_36AA)
        #expect(CRC32C.checksum([UInt8](repeating: 255, count: 32).span.bytes) == 0x62A8_AB43)
        for count in 0..<70 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 41 &+ 3) }
            #expect(CRC32C.checksum(bytes.span.bytes) == Self.checksum(bytes))
        }
    }

    @Test func hashIsSHA256() {
        // The digest of "abc" from FIPS 180-2.
        let expected: [UInt64] = [
            0xba78_16bf_8f01_cfea, 0x4141_40de_5dae_2223, 0xb003_61a3_9617_7a9c, 0xb410_ff61_f200_15ad,
        ]
        #expect(Self.hash(Array("abc".utf8)) == expected.flatMap { Self.little($0).reversed() })
        // Asking in between does not end it.
        let hash = SHA256()
        hash.update(Array("a".utf8).span.bytes)
        _ = hash.digest()
        hash.update(Array("bc".utf8).span.bytes)
        #expect(hash.digest() == Self.hash(Array("abc".utf8)))
    }

    @Test func lengthsNobodyWritesAreNotBelieved() throws {
        // A length far beyond the file must not be allocated, nor end anything but the log.
        for word: UInt32 in [1, 32, 1 << 30, 0x4000_0001, 0x7FFF_FFFF, 0xFFFF_FFFE, 0xC000_0000] {
            let fileSystem = try LogFixture.log([LogFixture.entries(1...2), LogFixture.entries(3...3)])
            var bytes = fileSystem.contents(LogFixture.segment(1))
            let last = LogFixture.headerSize + LogFixture.size(frames: 2)
            bytes.replaceSubrange(last..<last + 4, with: Self.little(word))
            fileSystem.setContents(LogFixture.segment(1), bytes)
            #expect(try LogFixture.recover(fileSystem) == LogFixture.entries(1...2))
        }
    }

    @Test func footerThatDisagreesWithTheEntriesIsDamage() throws {
        let fileSystem = SimulatedFileSystem()
        let writer = try LogFixture.open(fileSystem).writer
        try writer.appendAndSync(LogFixture.entries(1...3))
        let segment = try #require(try writer.seal())
        let good = try #require(segment.footer)
        var hash = good
        hash.hash[31] ^= 1
        var count = good
        count.tally.entryCount = 4
        var revision = good
        revision.tally.lastRevision = Revision(9)
        for (footer, text) in [(hash, "SHA-256"), (count, "does not agree"), (revision, "does not agree")] {
            let frames = fileSystem.contents(segment.path).prefix(Int(good.offset))
            fileSystem.setContents(segment.path, frames + footer.encoded(seed: segment.header.checksumSeed))
            let error = #expect(throws: LogError.self) { try LogFixture.recover(fileSystem) }
            #expect(error?.code == .corrupted && error?.offset == good.offset)
            #expect(error?.message.contains(text) == true)
        }
    }

    /// Readers count one further than the last entry, so none may have the highest index; what is behind it does not count.
    @Test func theHighestIndexIsRefused() throws {
        let previous = LogPosition(term: 3, index: .max - 2)
        let header = SegmentHeader(databaseID: LogFixture.databaseID, term: 3, previous: previous)
        var bytes = header.encoded()
        for index in [UInt64.max - 1, .max, 0] {
            let entry = LogEntry(
                position: LogPosition(term: 3, index: index), time: 77, revision: .none, kind: .term, body: [])
            bytes.appendFrame(entry, isFirstOfBatch: true, seed: header.checksumSeed)
        }
        let fileSystem = SimulatedFileSystem()
        fileSystem.setContents(LogFixture.directory + "/18446744073709551614.wal", bytes)
        let reader = LogReader(
            directory: LogFixture.directory, databaseID: LogFixture.databaseID, fileSystem: fileSystem)
        var indexes: [UInt64] = []
        let error = #expect(throws: LogError.self) {
            try reader.read { entry in
                indexes.append(entry.position.index)
                return .next
            }
        }
        #expect(error?.code == .corrupted && error?.offset == UInt64(72 + 41))
        #expect(indexes == [.max - 1])
    }

    @Test func namesSortAsTheLogDoes() {
        #expect(LogFormat.segmentName(firstIndex: 1) == "00000000000000000001.wal")
        #expect(LogFormat.segmentName(firstIndex: .max) == "18446744073709551615.wal")
        #expect(LogFormat.firstIndex(ofName: "18446744073709551615.wal") == .max)
        for name in ["1.wal", "18446744073709551616.wal", "0000000000000000001x.wal", "00000000000000000001.tmp", ""] {
            #expect(LogFormat.firstIndex(ofName: name) == nil)
        }
    }

    @Test func preparedSizesGrowAndShrinkWithUse() {
        let configuration = LogConfiguration()
        let mebibyte: UInt64 = 1 << 20
        #expect(configuration.preparedSize(afterUsing: mebibyte, of: mebibyte) == 4 * mebibyte)
        #expect(configuration.preparedSize(afterUsing: 16 * mebibyte, of: 16 * mebibyte) == 50 * mebibyte)
        #expect(configuration.preparedSize(afterUsing: 3 * mebibyte, of: 50 * mebibyte) == 6 * mebibyte)
        #expect(configuration.preparedSize(afterUsing: 100, of: 50 * mebibyte) == mebibyte)
        #expect(configuration.filledSize(atLeast: 0) == mebibyte)
        #expect(configuration.filledSize(atLeast: mebibyte) == 2 * mebibyte)
        #expect(configuration.filledSize(atLeast: 60 * mebibyte) == 60 * mebibyte)
    }
}
