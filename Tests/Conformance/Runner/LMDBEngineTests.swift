import Foundation
import Logging
import T4BuiltIns
import T4Protocols
import Testing

/// Goal: what only the lmdb engine has: damage told at open, a map and a reader table that can be full, its settings.
/// Method: files changed behind its back, and small limits in its settings.
@Suite(.enabled(if: BackendRegistry.builtIn.engineNames.contains("lmdb")))
struct LMDBEngineTests {
    private static func open(
        _ directory: String, _ settings: String = "{}", isReadOnly: Bool = false
    ) throws -> any LocalEngine {
        try BackendRegistry.builtIn.makeEngine(
            "lmdb", settings: JSONSettings(settings),
            context: EngineContext(directory: directory, isReadOnly: isReadOnly, logger: Logger(label: "test")))
    }

    private static func withDirectory(_ body: (String) throws -> Void) throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("t4-lmdb-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        do {
            try body(directory.path)
        } catch {
            try FileManager.default.removeItem(at: directory)
            throw error
        }
        try FileManager.default.removeItem(at: directory)
    }

    private static func fill(_ engine: any LocalEngine, _ keys: Range<Int>, size: Int, at index: UInt64) throws {
        var batch = WriteBatch()
        for key in keys { batch.put(Array("key \(1_000_000 + key)".utf8), [UInt8](repeating: 7, count: size)) }
        try engine.apply(batch, at: LogPosition(term: 1, index: index))
    }

    private static func count(_ engine: any LocalEngine) throws -> Int {
        var count = 0
        try engine.snapshot().scan(.all, order: .ascending) { _, _ in
            count += 1
            return .next
        }
        return count
    }

    @Test func growsItsMapUpToTheLimitAndStaysUsableWhenFull() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(
                directory, #"{"map_size_initial": "1MiB", "map_size_max": "8 MiB", "write_buffer_size": 0}"#)
            var index: UInt64 = 0
            let error = try #require(throws: EngineError.self) {
                while true {
                    let start = Int(index) * 100
                    try Self.fill(engine, start..<(start + 100), size: 1000, at: index + 1)
                    index += 1
                }
            }
            #expect(error.code == .noSpace)
            #expect(error.message.contains("map_size_max"))
            // Well past the first map, and nothing of the refused batch.
            #expect(try engine.sizeOnDisk() > 4 << 20)
            #expect(try engine.appliedPosition.index == index)
            let rows = Int(index) * 100
            #expect(try Self.count(engine) == rows)
            // Changes copy the pages they touch, so deletes go in small batches where little is left.
            for start in stride(from: 0, to: 2000, by: 20) {
                var batch = WriteBatch()
                for key in start..<(start + 20) { batch.delete(Array("key \(1_000_000 + key)".utf8)) }
                index += 1
                try engine.apply(batch, at: LogPosition(term: 1, index: index))
            }
            try Self.fill(engine, 0..<100, size: 1000, at: index + 1)
            #expect(try Self.count(engine) == rows - 1900)
            try engine.close()
        }
    }

    @Test func growsItsMapWhileOtherThreadsRead() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("t4-lmdb-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let engine = try Self.open(
            directory.path, #"{"map_size_initial": "1MiB", "map_size_max": "64MiB", "write_buffer_size": 0}"#)
        let batches = 300
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for index in 0..<batches {
                    try Self.fill(engine, (index * 50)..<(index * 50 + 50), size: 1000, at: UInt64(index + 1))
                }
            }
            for _ in 0..<2 {
                group.addTask {
                    while try engine.appliedPosition.index < batches {
                        #expect(try Self.count(engine) % 50 == 0)
                        await Task.yield()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(try Self.count(engine) == batches * 50)
        try engine.close()
        try FileManager.default.removeItem(at: directory)
    }

    @Test func loadsMoreThanTheFirstMap() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(
                directory, #"{"map_size_initial": "1MiB", "map_size_max": "64MiB", "write_buffer_size": 0}"#)
            var rows = CountedRows(count: 30_000)
            try engine.bulkLoad(&rows, at: LogPosition(term: 1, index: 5))
            #expect(try Self.count(engine) == 30_000)
            try engine.close()
        }
    }

    @Test func aLoadThatWasCutOffIsToldAtOpen() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory)
            var rows = CountedRows(count: 50_000, failsAtEnd: true)
            #expect(throws: EngineError.self) { try engine.bulkLoad(&rows, at: LogPosition(term: 1, index: 5)) }
            try engine.close()
            let error = try #require(throws: EngineError.self) { try Self.open(directory) }
            #expect(error.code == .corrupted)
        }
    }

    @Test func tooManySnapshotsAreRefusedAndTheEngineGoesOn() throws {
        try Self.withDirectory { directory in
            let engine = try Self.open(directory, #"{"max_readers": 4}"#)
            try Self.fill(engine, 0..<10, size: 10, at: 1)
            var held: [any EngineSnapshot] = []
            let error = try #require(throws: EngineError.self) {
                while held.count < 1000 { held.append(try engine.snapshot()) }
            }
            #expect(error.code == .noSpace)
            #expect(error.message.contains("max_readers"))
            #expect(held.count >= 4)
            try Self.fill(engine, 10..<20, size: 10, at: 2)
            held.removeAll()
            #expect(try Self.count(engine) == 20)
            try engine.close()
        }
    }

    @Test(arguments: ["garbage", "zeros", "short", "half", "no metadata"])
    func damageIsToldAtOpen(_ damage: String) throws {
        try Self.withDirectory { directory in
            let file = URL(fileURLWithPath: "\(directory)/data.mdb")
            let engine = try Self.open(directory)
            try Self.fill(engine, 0..<1000, size: 1000, at: 1)
            try engine.close()
            var bytes = try Data(contentsOf: file)
            switch damage {
            case "garbage": bytes = Data((0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 131) })
            case "zeros": bytes = Data(count: 100_000)
            case "short": bytes = bytes.prefix(100)
            case "half": bytes = bytes.prefix(bytes.count / 2)
            default: bytes.replaceSubrange(0..<8192, with: Data(repeating: 0xFF, count: 8192))
            }
            try bytes.write(to: file)
            for isReadOnly in [false, true] {
                let error = try #require(throws: EngineError.self) { try Self.open(directory, isReadOnly: isReadOnly) }
                #expect(error.code == .corrupted, "\(error)")
                #expect(error.message.contains(file.path))
            }
            // The refusal lets go of the directory.
            try FileManager.default.removeItem(at: file)
            try Self.open(directory).close()
        }
    }

    @Test func aFileThatEndsInUnwrittenPagesOpensAgain() throws {
        try Self.withDirectory { directory in
            for index in 1...5 as ClosedRange<UInt64> {
                let engine = try Self.open(directory)
                #expect(try engine.appliedPosition.index == index - 1)
                // The pages of the large value are taken at the end of the file and let go before they are written.
                var batch = WriteBatch()
                batch.put([1], [UInt8](repeating: 1, count: 3_000_000))
                batch.delete([1])
                batch.put([2], [UInt8(index)])
                try engine.apply(batch, at: LogPosition(term: 1, index: index))
                try engine.close()
            }
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

    @Test func aWriterIsRefusedWhileAnInspectionIsOpen() throws {
        try Self.withDirectory { directory in
            try Self.open(directory).close()
            let first = try Self.open(directory, isReadOnly: true)
            let second = try Self.open(directory, isReadOnly: true)
            let error = try #require(throws: EngineError.self) { try Self.open(directory) }
            #expect(error.code == .inUse)
            try first.close()
            #expect(try second.appliedPosition == .zero)
            try second.close()
            try Self.open(directory).close()
        }
    }

    @Test(arguments: [
        #"{"map_size_max": "64GB"}"#, #"{"map_size_max": "lots"}"#, #"{"map_size_max": 1000}"#,
        #"{"map_size_max": "99999999999TiB"}"#, #"{"map_size_initial": "2GiB", "map_size_max": "1GiB"}"#,
        #"{"max_readers": 0}"#, #"{"max_readers": "many"}"#,
    ])
    func refusesSettingsOutOfRange(_ settings: String) throws {
        try Self.withDirectory { directory in
            #expect(throws: DecodingError.self) { try Self.open(directory, settings) }
            let files = try FileManager.default.contentsOfDirectory(atPath: directory)
            #expect(files.isEmpty)
        }
    }
}

/// Rows made up on the way; with `failsAtEnd` the last is out of order.
private struct CountedRows: SortedRows {
    let count: Int
    var failsAtEnd = false
    private var index = 0

    init(count: Int, failsAtEnd: Bool = false) {
        self.count = count
        self.failsAtEnd = failsAtEnd
    }

    mutating func next(visit: (RawSpan, RawSpan) -> Void) throws(EngineError) -> Bool {
        guard index < count else { return false }
        index += 1
        let key = failsAtEnd && index == count ? [0] : Array("key \(1_000_000 + index)".utf8)
        let value = [UInt8](repeating: 5, count: 300)
        visit(key.span.bytes, value.span.bytes)
        return true
    }
}
