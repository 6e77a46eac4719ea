import Foundation
import Logging
import T4BuiltIns
import T4Protocols
import Testing

/// Goal: what only the rocksdb engine has: what is left of it when it is not closed, merging of files, damage told, its
/// settings.
/// Method: copies of the files of an engine that is open, files changed behind its back, small write buffers.
@Suite(.enabled(if: BackendRegistry.builtIn.engineNames.contains("rocksdb")))
struct RocksDBEngineTests {
    private static let smallBuffers = #"{"write_buffer_size": "1MiB", "write_buffer_count": 2}"#
    private static let keyCount = 20

    // MARK: What is left without a close

    @Test func filesOfAnOpenEngineHoldAWholeBatchAtTheDurablePosition() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory, Self.smallBuffers)
            var last: UInt64 = 0
            for round in 1...4 as ClosedRange<UInt64> {
                // More than both buffers hold, so that some of it is in files without a sync.
                for index in (last + 1)...(round * 100) { try Self.write(engine, at: index) }
                last = round * 100
                let durable = try engine.durablePosition.index
                #expect(durable > last - 100 && durable <= last)
                let left = try Self.checkCopy(of: directory)
                #expect(left >= durable && left <= last)
            }
            try engine.sync()
            #expect(try engine.durablePosition.index == last)
            #expect(try Self.checkCopy(of: directory) == last)
            try engine.close()
        }
    }

    @Test func whatIsInMemoryOnlyIsNeitherDurableNorLeft() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory)
            try Self.write(engine, at: 1)
            try engine.sync()
            try Self.write(engine, at: 2)
            #expect(try engine.appliedPosition.index == 2)
            #expect(try engine.durablePosition.index == 1)
            #expect(try Self.checkCopy(of: directory) == 1)
            try engine.close()
        }
    }

    @Test func aLoadIsLeftWhole() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory)
            // More than one file.
            var rows = RandomRows(count: 70, valueSize: 1 << 20)
            try engine.bulkLoad(&rows, at: LogPosition(term: 1, index: 5))
            let files = try FileManager.default.contentsOfDirectory(atPath: directory)
            #expect(files.count { $0.hasSuffix(".sst") } > 1)
            #expect(!files.contains("load"))
            try Self.withCopy(of: directory) { copy in
                let left = try Self.open(copy)
                #expect(try left.appliedPosition.index == 5)
                #expect(try Self.count(left) == 70)
                try left.close()
            }
            try engine.close()
        }
    }

    @Test func aLoadThatFailsLeavesNothing() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory)
            var rows = RandomRows(count: 1000, valueSize: 100, failsAtEnd: true)
            let error = try #require(throws: EngineError.self) {
                try engine.bulkLoad(&rows, at: LogPosition(term: 1, index: 5))
            }
            #expect(error.code == .invalidArgument)
            #expect(try Self.count(engine) == 0)
            #expect(try engine.appliedPosition == .zero)
            try engine.close()
            #expect(try !FileManager.default.contentsOfDirectory(atPath: directory).contains("load"))
        }
    }

    @Test func whatACutOffLoadLeftIsRemovedAtOpen() throws {
        try Self.withDirectory { directory in
            try FileManager.default.createDirectory(atPath: "\(directory)/load", withIntermediateDirectories: false)
            try Data([1, 2, 3]).write(to: URL(fileURLWithPath: "\(directory)/load/0"))
            let engine = try Self.open(directory)
            #expect(try !FileManager.default.contentsOfDirectory(atPath: directory).contains("load"))
            var rows = RandomRows(count: 10, valueSize: 100)
            try engine.bulkLoad(&rows, at: LogPosition(term: 1, index: 5))
            #expect(try Self.count(engine) == 10)
            try engine.close()
        }
    }

    // MARK: Files in the background

    @Test func overwrittenRowsAreMergedAwayAndASnapshotKeepsItsOwn() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory, Self.smallBuffers)
            try Self.write(engine, at: 1)
            var held: (any EngineSnapshot)? = try engine.snapshot()
            // 48 MB, of which 80 KB are left.
            for index in 2...600 as ClosedRange<UInt64> { try Self.write(engine, at: index) }
            try Self.check(#require(held), at: 1)
            held = nil
            try Self.check(engine.snapshot(), at: 600)
            #expect(try engine.sizeOnDisk() < 20 << 20)
            try engine.close()
            let again = try Self.open(directory)
            try Self.check(again.snapshot(), at: 600)
            try again.close()
        }
    }

    @Test func keepsFewFilesOfMessages() throws {
        try Self.withDirectory { directory in
            for index in 1...5 as ClosedRange<UInt64> {
                let engine = try Self.open(directory)
                try Self.write(engine, at: index)
                try engine.close()
            }
            let files = try FileManager.default.contentsOfDirectory(atPath: directory)
            #expect(files.count { $0.hasPrefix("LOG") } <= 2)
        }
    }

    // MARK: Damage

    @Test(arguments: ["table cut", "table missing", "list overwritten", "list missing", "name of the list"])
    func damageIsToldAtOpen(_ damage: String) throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory)
            for index in 1...3 as ClosedRange<UInt64> { try Self.write(engine, at: index) }
            try engine.close()
            switch damage {
            case "table cut": try Self.change(directory, ".sst") { $0.prefix($0.count / 2) }
            case "table missing": try Self.remove(directory, ".sst")
            case "list overwritten": try Self.change(directory, "MANIFEST") { Data(repeating: 0x5A, count: $0.count) }
            case "list missing": try Self.remove(directory, "MANIFEST")
            default: try Self.change(directory, "CURRENT") { _ in Data("MANIFEST-999999\n".utf8) }
            }
            for isReadOnly in [true, false] {
                let error = try #require(throws: EngineError.self) { try Self.open(directory, isReadOnly: isReadOnly) }
                #expect(error.code == .corrupted, "\(error)")
                #expect(error.message.contains(directory))
            }
            // The refusal lets go of the directory.
            for file in try FileManager.default.contentsOfDirectory(atPath: directory) {
                try FileManager.default.removeItem(atPath: "\(directory)/\(file)")
            }
            try Self.open(directory).close()
        }
    }

    @Test func aChangedRowIsToldWhenItIsRead() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory, #"{"compression": "none"}"#)
            var batch = WriteBatch()
            for key in 0..<100 {
                batch.put([UInt8(key)], Array("value \(key) of many".utf8) + Array(repeating: 1, count: 2000))
            }
            try engine.apply(batch, at: LogPosition(term: 1, index: 1))
            try engine.close()
            try Self.change(directory, ".sst") { content in
                var content = content
                let place = try #require(content.firstRange(of: Data("value 57 of many".utf8)))
                content[place.lowerBound] ^= 1
                return content
            }
            let damaged = try Self.open(directory)
            let (sound, changed) = ([3] as [UInt8], [57] as [UInt8])
            #expect(try damaged.snapshot().read(sound.span.bytes) { _ in })
            let scan = try #require(throws: EngineError.self) { try Self.count(damaged) }
            #expect(scan.code == .corrupted, "\(scan)")
            let read = try #require(throws: EngineError.self) {
                try damaged.snapshot().read(changed.span.bytes) { _ in }
            }
            #expect(read.code == .corrupted, "\(read)")
            try damaged.close()
        }
    }

    // MARK: Opening

    @Test func anInspectionOfFilesAloneShowsWhatIsInThem() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory, Self.smallBuffers)
            for index in 1...300 as ClosedRange<UInt64> { try Self.write(engine, at: index) }
            try Self.withCopy(of: directory) { copy in
                let inspection = try Self.open(copy, isReadOnly: true)
                let position = try inspection.appliedPosition
                #expect(position.index > 0)
                #expect(try inspection.durablePosition == position)
                try Self.check(inspection.snapshot(), at: position.index)
                try inspection.close()
            }
            try engine.close()
        }
    }

    @Test func inspectsOnlyWhatIsThere() throws {
        try Self.withDirectory { directory in
            let error = try #require(throws: EngineError.self) { try Self.open(directory, isReadOnly: true) }
            #expect(error.code == .ioFailed)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
            let missing = try #require(throws: EngineError.self) { try Self.open("\(directory)/none") }
            #expect(missing.code == .ioFailed)
        }
    }

    @Test func aDirectoryIsOneByAnyPath() throws {
        try Self.withDirectory { directory in
            try FileManager.default.createDirectory(atPath: "\(directory)/real", withIntermediateDirectories: false)
            try FileManager.default.createSymbolicLink(
                atPath: "\(directory)/link", withDestinationPath: "\(directory)/real")
            let engine = try Self.open("\(directory)/real")
            let error = try #require(throws: EngineError.self) { try Self.open("\(directory)/link") }
            #expect(error.code == .inUse)
            try Self.write(engine, at: 1)
            let inspection = try Self.open("\(directory)/link", isReadOnly: true)
            try Self.check(inspection.snapshot(), at: 1)
            try inspection.close()
            try engine.close()
            try Self.open("\(directory)/link").close()
        }
    }

    @Test func everyCompressionReadsWhatTheOthersWrote() throws {
        try Self.withDirectory { directory in
            for (number, name) in ["none", "snappy", "lz4", "zstd", "none"].enumerated() {
                let engine = try Self.open(directory, #"{"compression": "\#(name)", "bloom_bits": \#(number)}"#)
                let index = UInt64(number + 1)
                if number > 0 { try Self.check(engine.snapshot(), at: index - 1) }
                try Self.write(engine, at: index)
                try engine.close()
            }
        }
    }

    @Test(arguments: [
        #"{"block_cache_size": "64GB"}"#, #"{"block_cache_size": 1000}"#, #"{"write_buffer_size": "lots"}"#,
        #"{"write_buffer_size": "99999999999TiB"}"#, #"{"write_buffer_size": "5GiB"}"#,
        #"{"write_buffer_count": 1}"#, #"{"max_background_jobs": 0}"#, #"{"max_background_jobs": "two"}"#,
        #"{"compression": "gzip"}"#, #"{"bloom_bits": 21}"#, #"{"max_open_files": -1}"#,
    ])
    func refusesSettingsOutOfRange(_ settings: String) throws {
        try Self.withDirectory { directory in
            #expect(throws: DecodingError.self) { try Self.open(directory, settings) }
            let files = try FileManager.default.contentsOfDirectory(atPath: directory)
            #expect(files.isEmpty)
        }
    }
}

extension RocksDBEngineTests {
    private static func open(
        _ directory: String, _ settings: String = "{}", isReadOnly: Bool = false
    ) throws -> any LocalEngine {
        try BackendRegistry.builtIn.makeEngine(
            "rocksdb", settings: JSONSettings(settings),
            context: EngineContext(directory: directory, isReadOnly: isReadOnly, logger: Logger(label: "test")))
    }

    private static func withDirectory(_ body: (String) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("t4-rocksdb-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        do {
            try body(directory.path)
        } catch {
            try FileManager.default.removeItem(at: directory)
            throw error
        }
        try FileManager.default.removeItem(at: directory)
    }

    /// Every batch sets all keys to values that tell its index and cannot be packed; 80 KB.
    private static func write(_ engine: any LocalEngine, at index: UInt64) throws {
        var batch = WriteBatch()
        for key in 0..<keyCount { batch.put([UInt8(key)], value(index, key)) }
        try engine.apply(batch, at: LogPosition(term: 1, index: index))
    }

    private static func value(_ index: UInt64, _ key: Int) -> [UInt8] {
        var number = index &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(key)
        return (0..<500).flatMap { _ in
            number = number &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return withUnsafeBytes(of: number) { Array($0) }
        }
    }

    /// Expects exactly the rows of the batch with that index.
    private static func check(_ snapshot: any EngineSnapshot, at index: UInt64) throws {
        var count = 0
        try snapshot.scan(.all, order: .ascending) { key, row in
            let expected = value(index, count)
            let isRow = key.byteCount == 1 && row.withUnsafeBytes { $0.elementsEqual(expected) }
            #expect(isRow, "key \(count) is not of batch \(index)")
            count += 1
            return isRow ? .next : .stop
        }
        #expect(count == (index == 0 ? 0 : keyCount))
    }

    private static func count(_ engine: any LocalEngine) throws -> Int {
        var count = 0
        try engine.snapshot().scan(.all, order: .ascending) { _, _ in
            count += 1
            return .next
        }
        return count
    }

    /// Opens what a kill at this moment would leave, expects a whole batch and returns its index.
    private static func checkCopy(of directory: String) throws -> UInt64 {
        var left: UInt64 = 0
        try withCopy(of: directory) { copy in
            let engine = try open(copy)
            left = try engine.appliedPosition.index
            #expect(try engine.durablePosition.index == left)
            try check(engine.snapshot(), at: left)
            try engine.close()
        }
        return left
    }

    /// Lends a copy of the files as they are at one moment.
    private static func withCopy(of directory: String, _ body: (String) throws -> Void) throws {
        try withDirectory { parent in
            let copy = "\(parent)/copy"
            // Background work ends soon, as nothing is written meanwhile.
            while try !copyFiles(directory, to: copy) { try FileManager.default.removeItem(atPath: copy) }
            try body(copy)
        }
    }

    /// - Returns: False when files came, went or grew meanwhile.
    private static func copyFiles(_ directory: String, to copy: String) throws -> Bool {
        try FileManager.default.createDirectory(atPath: copy, withIntermediateDirectories: false)
        let before = try sizes(directory)
        for name in before.keys {
            guard let content = FileManager.default.contents(atPath: "\(directory)/\(name)") else { return false }
            try content.write(to: URL(fileURLWithPath: "\(copy)/\(name)"))
        }
        return try before == sizes(directory) && before == sizes(copy)
    }

    /// Sizes of the files that matter. The lock file is left alone: closing it anywhere in the process drops the lock.
    private static func sizes(_ directory: String) throws -> [String: Int] {
        var sizes: [String: Int] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: directory)
        where name != "LOCK" && !name.hasPrefix("LOG") {
            let attributes = try? FileManager.default.attributesOfItem(atPath: "\(directory)/\(name)")
            sizes[name] = attributes?[.size] as? Int ?? -1
        }
        return sizes
    }

    private static func files(_ directory: String, _ part: String) throws -> [String] {
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.contains(part) }
        #expect(!names.isEmpty)
        return names.map { "\(directory)/\($0)" }
    }

    private static func change(_ directory: String, _ part: String, _ change: (Data) throws -> Data) throws {
        for file in try files(directory, part) {
            let url = URL(fileURLWithPath: file)
            try change(Data(contentsOf: url)).write(to: url)
        }
    }

    private static func remove(_ directory: String, _ part: String) throws {
        for file in try files(directory, part) { try FileManager.default.removeItem(atPath: file) }
    }
}

/// Rows that cannot be packed; with `failsAtEnd` the last is out of order.
private struct RandomRows: SortedRows {
    let count: Int
    let valueSize: Int
    var failsAtEnd = false
    private var index = 0
    private var number: UInt64 = 1

    init(count: Int, valueSize: Int, failsAtEnd: Bool = false) {
        self.count = count
        self.valueSize = valueSize
        self.failsAtEnd = failsAtEnd
    }

    mutating func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool {
        guard index < count else { return false }
        index += 1
        let key = failsAtEnd && index == count ? [0] : Array("key \(1_000_000 + index)".utf8)
        var value: [UInt8] = []
        value.reserveCapacity(valueSize + 8)
        while value.count < valueSize {
            number = number &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            withUnsafeBytes(of: number) { value.append(contentsOf: $0) }
        }
        visit(key.span.bytes, value.span.bytes)
        return true
    }
}
