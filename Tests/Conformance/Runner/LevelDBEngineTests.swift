import Foundation
import Logging
import Synchronization
import T4BuiltIns
import T4Protocols
import Testing

/// Goal: what only the leveldb engine has: damage that shows late, inspections that work on a copy, its settings.
/// Method: files changed behind its back, a small write buffer so that there are many tables, copies of its directory.
@Suite(.enabled(if: BackendRegistry.builtIn.engineNames.contains("leveldb")))
struct LevelDBEngineTests {
    /// Settings with which a few MiB make many tables and logs.
    private static let smallBuffer = #"{"write_buffer_size": "64KiB", "compression": "none"}"#

    private static func open(
        _ directory: String, _ settings: String = "{}", isReadOnly: Bool = false
    ) throws -> any LocalEngine {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return try BackendRegistry.builtIn.makeEngine(
            "leveldb", settings: JSONSettings(settings),
            context: EngineContext(directory: directory, isReadOnly: isReadOnly, logger: logger))
    }

    private static func withDirectory(_ body: (String) async throws -> Void) async throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("t4-level-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        do {
            try await body(path)
        } catch {
            try FileManager.default.removeItem(atPath: path)
            throw error
        }
        try FileManager.default.removeItem(atPath: path)
    }

    /// Sets ten keys to the batch's number, and adds a key of its own with a value that fills buffers.
    private static func apply(
        _ index: Int, to engine: any LocalEngine, valueBytes: Int = 1000, value: [UInt8]? = nil
    ) throws {
        var batch = WriteBatch()
        for key in 0..<10 { batch.put([UInt8(key)], number(index)) }
        batch.put([100] + number(index), value ?? [UInt8](repeating: UInt8(index & 0xFF), count: valueBytes))
        try engine.apply(batch, at: LogPosition(term: 1, index: UInt64(index)))
    }

    /// Expects exactly the batches up to the engine's position.
    private static func check(_ engine: any LocalEngine) throws -> Int {
        let index = Int(try engine.appliedPosition.index)
        var shared = 0
        var own = 0
        try engine.snapshot().scan(.all, order: .ascending) { key, value in
            let key = key.withUnsafeBytes { Array($0) }
            if key.count == 1 {
                shared += value.withUnsafeBytes { Array($0) } == number(index) ? 1 : 0
            } else {
                own += 1
                if key != [100] + number(own) { Issue.record("batch \(own) is missing, the position is \(index)") }
            }
            return .next
        }
        #expect(shared == (index > 0 ? 10 : 0))
        #expect(own == index)
        return index
    }

    private static func number(_ number: Int) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    /// Names of the tables.
    private static func tables(_ directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".ldb") }.sorted()
    }

    /// Copies the files as they are now, again if LevelDB's thread changed any of them meanwhile.
    private static func copy(_ directory: String, to target: String) throws {
        let files = FileManager.default
        func sizes() throws -> [String: UInt64] {
            var sizes: [String: UInt64] = [:]
            // Another descriptor of LevelDB's lock file, opened and closed by this process, would drop the lock.
            for name in try files.contentsOfDirectory(atPath: directory) where name != "LOCK" && name != "LOG" {
                sizes[name] = try files.attributesOfItem(atPath: "\(directory)/\(name)")[.size] as? UInt64
            }
            return sizes
        }
        while true {
            try files.createDirectory(atPath: target, withIntermediateDirectories: false)
            do {
                let before = try sizes()
                for name in before.keys {
                    let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)"))
                    try bytes.write(to: URL(fileURLWithPath: "\(target)/\(name)"))
                }
                if try sizes() == before { return }
            } catch let error as CocoaError where error.code == .fileReadNoSuchFile {}
            try files.removeItem(atPath: target)
        }
    }

    /// Directories of inspections whose own files hold `bytes`. Those of others come and go meanwhile, or stay behind
    /// after a kill.
    private static func copies(holding bytes: [UInt8]) throws -> [String] {
        let files = FileManager.default
        let parent = files.temporaryDirectory.path
        return try files.contentsOfDirectory(atPath: parent).filter { $0.hasPrefix("t4-leveldb-") }
            .map { "\(parent)/\($0)" }
            .filter { copy in
                (files.subpaths(atPath: copy) ?? []).contains { name in
                    // Links lead to the tables of the inspected directory, by numbers that mean something else here.
                    guard (try? files.destinationOfSymbolicLink(atPath: "\(copy)/\(name)")) == nil else { return false }
                    return files.contents(atPath: "\(copy)/\(name)")?.range(of: Data(bytes)) != nil
                }
            }
    }

    @Test func aCopyThatAKilledProcessLeftGoesWithTheNextInspection() async throws {
        try await Self.withDirectory { directory in
            let source = "\(directory)/source"
            try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: false)
            try Self.open(source).close()
            let parent = FileManager.default.temporaryDirectory.path
            let left = "\(parent)/t4-leveldb-left-\(UUID().uuidString)"
            let inUse = "\(parent)/t4-leveldb-used-\(UUID().uuidString)"
            for path in [left, inUse] {
                try FileManager.default.createDirectory(atPath: "\(path)/000009.ldb", withIntermediateDirectories: true)
                try Data("rows".utf8).write(to: URL(fileURLWithPath: "\(path)/000003.log"))
            }
            let lock = Foundation.open(inUse, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            try #require(flock(lock, LOCK_SH) == 0)
            try Self.open(source, isReadOnly: true).close()
            #expect(!FileManager.default.fileExists(atPath: left))
            #expect(FileManager.default.fileExists(atPath: "\(inUse)/000003.log"))
            flock(lock, LOCK_UN)
            Foundation.close(lock)
            try Self.open(source, isReadOnly: true).close()
            #expect(!FileManager.default.fileExists(atPath: inUse))
        }
    }

    @Test(arguments: ["{}", smallBuffer])
    func whatAKilledProcessLeavesOpensAtTheLastPosition(_ settings: String) async throws {
        try await Self.withDirectory { directory in
            let source = "\(directory)/source"
            try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: false)
            let engine = try Self.open(source, settings)
            for index in 1...300 {
                try Self.apply(index, to: engine)
                guard index % 60 == 0 else { continue }
                #expect(try engine.durablePosition.index == index)
                // Nothing was synced or closed: this is what the page cache holds.
                let target = "\(directory)/copy-\(index)"
                try Self.copy(source, to: target)
                let copy = try Self.open(target, settings)
                #expect(try Self.check(copy) == index)
                try copy.close()
            }
            try engine.close()
        }
    }

    @Test func aBatchThatIsCutOffIsLeftOut() async throws {
        try await Self.withDirectory { directory in
            let engine = try Self.open(directory)
            for index in 1...5 { try Self.apply(index, to: engine, valueBytes: 100_000) }
            try engine.close()
            let name = try #require(
                FileManager.default.contentsOfDirectory(atPath: directory).first { $0.hasSuffix(".log") })
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: "\(directory)/\(name)"))
            try file.truncate(atOffset: file.seekToEnd() - 50_000)
            try file.close()
            let again = try Self.open(directory)
            #expect(try Self.check(again) == 4)
            // It is the same as if the batch had never been: the log goes on behind the cut.
            try Self.apply(5, to: again)
            try again.close()
            let last = try Self.open(directory)
            #expect(try Self.check(last) == 5)
            try last.close()
        }
    }

    @Test func damageInTheMiddleOfTheLogIsToldAtOpen() async throws {
        try await Self.withDirectory { directory in
            let engine = try Self.open(directory)
            for index in 1...5 { try Self.apply(index, to: engine, valueBytes: 100_000) }
            try engine.close()
            let name = try #require(
                FileManager.default.contentsOfDirectory(atPath: directory).first { $0.hasSuffix(".log") })
            let file = try FileHandle(forUpdating: URL(fileURLWithPath: "\(directory)/\(name)"))
            try file.seek(toOffset: 250_000)
            try file.write(contentsOf: Data("damage".utf8))
            try file.close()
            for isReadOnly in [true, false] {
                let error = try #require(throws: EngineError.self) { try Self.open(directory, isReadOnly: isReadOnly) }
                #expect(error.code == .corrupted, "\(error)")
            }
        }
    }

    @Test(arguments: ["bytes", "cut", "empty", "missing"])
    func aDamagedTableIsToldAndNotForgotten(_ damage: String) async throws {
        try await Self.withDirectory { directory in
            let engine = try Self.open(directory, #"{"compression": "none"}"#)
            for index in 1...20 { try Self.apply(index, to: engine, valueBytes: 10_000) }
            try engine.sync()
            try engine.close()
            for name in try Self.tables(directory) {
                let path = "\(directory)/\(name)"
                if damage == "missing" {
                    try FileManager.default.removeItem(atPath: path)
                    continue
                }
                let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
                switch damage {
                case "bytes":
                    try file.seek(toOffset: file.seekToEnd() / 2)
                    try file.write(contentsOf: Data("damage".utf8))
                case "cut": try file.truncate(atOffset: file.seekToEnd() / 2)
                default: try file.truncate(atOffset: 0)
                }
                try file.close()
            }
            for isReadOnly in [true, false] {
                let error = try #require(throws: EngineError.self) {
                    let engine = try Self.open(directory, isReadOnly: isReadOnly)
                    defer { #expect(throws: Never.self) { try engine.close() } }
                    try engine.snapshot().scan(.all, order: .ascending) { _, _ in .next }
                }
                #expect(error.code == .corrupted, "\(error)")
            }
            // LevelDB itself would open all but the last of these again.
            let error = try #require(throws: EngineError.self) { try Self.open(directory) }
            #expect(error.code == .corrupted, "\(error)")
        }
    }

    @Test func aDatabaseThatIsNotOursIsRefused() async throws {
        try await Self.withDirectory { directory in
            try Self.open(directory).close()
            try Data("nonsense".utf8).write(to: URL(fileURLWithPath: "\(directory)/CURRENT"))
            for isReadOnly in [true, false] {
                let error = try #require(throws: EngineError.self) { try Self.open(directory, isReadOnly: isReadOnly) }
                #expect(error.code == .corrupted, "\(error)")
            }
        }
    }

    @Test func nothingIsWrittenAfterAFailedWrite() async throws {
        try await Self.withDirectory { directory in
            let path = "\(directory)/engine"
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
            let engine = try Self.open(path, Self.smallBuffer)
            try Self.apply(1, to: engine)
            // Away from its path, LevelDB cannot make the files that the next full buffer needs.
            try FileManager.default.moveItem(atPath: path, toPath: "\(directory)/moved")
            var index = 1
            let error = try #require(throws: EngineError.self) {
                while true {
                    try Self.apply(index + 1, to: engine)
                    index += 1
                }
            }
            // Files are missing, which is damage.
            #expect(error.code == .corrupted, "\(error)")
            try FileManager.default.moveItem(atPath: "\(directory)/moved", toPath: path)
            #expect(throws: EngineError.self) { try Self.apply(index + 1, to: engine) }
            #expect(throws: EngineError.self) { try engine.sync() }
            #expect(try Self.check(engine) == index)
            try engine.close()
            let again = try Self.open(path, Self.smallBuffer)
            #expect(try Self.check(again) == index)
            try again.close()
        }
    }

    @Test func aLoadThatWasCutOffIsToldAtOpen() async throws {
        try await Self.withDirectory { directory in
            let engine = try Self.open(directory)
            var rows = CountedRows(count: 20_000, failsAtEnd: true)
            #expect(throws: EngineError.self) { try engine.bulkLoad(&rows, at: LogPosition(term: 1, index: 5)) }
            try engine.close()
            let error = try #require(throws: EngineError.self) { try Self.open(directory) }
            #expect(error.code == .corrupted)
        }
    }

    @Test func afterASyncNoRowIsInALogAlone() async throws {
        try await Self.withDirectory { directory in
            let engine = try Self.open(directory, Self.smallBuffer)
            for index in 1...200 { try Self.apply(index, to: engine) }
            try engine.sync()
            try engine.close()
            // A log that the sync left unsynced would be gone after power loss.
            for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasSuffix(".log") {
                try FileManager.default.removeItem(atPath: "\(directory)/\(name)")
            }
            let again = try Self.open(directory, Self.smallBuffer)
            #expect(try Self.check(again) == 200)
            try again.close()
        }
    }

    /// Opens a copy. On a busy machine a writer of this speed can be quicker than one copy after the other.
    private static func inspection(_ directory: String) throws -> any LocalEngine {
        for _ in 0..<20 {
            do {
                return try open(directory, isReadOnly: true)
            } catch let error as EngineError where "\(error)".contains("changed during each") {}
        }
        return try open(directory, isReadOnly: true)
    }

    @Test func inspectionsBesideAWriterShowWholePrefixes() async throws {
        try await Self.withDirectory { directory in
            let writer = try Self.open(directory, Self.smallBuffer)
            try Self.apply(1, to: writer)
            let isDone = Flag()
            // So many for each inspection: they take the longer the more there is.
            let wanted = Count()
            // A copy that is put together wrongly shows in one of some hundred inspections.
            let count = ProcessInfo.processInfo.environment["T4_TEST_SLOW"] == "1" ? 200 : 40
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    var index = 1
                    while !isDone.isSet {
                        guard index < wanted.value.withLock({ $0 }) else {
                            await Task.yield()
                            continue
                        }
                        index += 1
                        try Self.apply(index, to: writer, valueBytes: 4000)
                    }
                }
                group.addTask {
                    defer { isDone.set() }
                    for _ in 0..<count {
                        wanted.value.withLock { $0 += 1000 }
                        let before = Int(try writer.appliedPosition.index)
                        let reader = try Self.inspection(directory)
                        #expect(try Self.check(reader) >= before)
                        try reader.close()
                        await Task.yield()
                    }
                }
                try await group.waitForAll()
            }
            // The writer's own tables are as they were.
            #expect(try Self.check(writer) > 1)
            try writer.close()
        }
    }

    @Test func anInspectionKeepsWhatTheWriterRemovesAndLeavesNothing() async throws {
        try await Self.withDirectory { directory in
            let writer = try Self.open(directory, Self.smallBuffer)
            for index in 1...199 { try Self.apply(index, to: writer) }
            try writer.sync()
            // In the log, of which an inspection makes a table of its own.
            let mark = Array(UUID().uuidString.utf8)
            try Self.apply(200, to: writer, value: mark)
            let reader = try Self.open(directory, isReadOnly: true)
            let tables = try Self.tables(directory)
            for index in 201...1000 { try Self.apply(index, to: writer) }
            try #require(try !Set(tables).isSubset(of: Self.tables(directory)))
            #expect(try Self.check(reader) == 200)
            let copies = try Self.copies(holding: mark)
            #expect(copies.count == 1)
            try reader.close()
            for copy in copies { #expect(!FileManager.default.fileExists(atPath: copy)) }
            try writer.close()
        }
    }

    @Test func inspectsOnlyWhatIsThere() async throws {
        try await Self.withDirectory { directory in
            let error = try #require(throws: EngineError.self) { try Self.open(directory, isReadOnly: true) }
            #expect(error.code == .ioFailed)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
            let missing = try #require(throws: EngineError.self) { try Self.open("\(directory)/none") }
            #expect(missing.code == .ioFailed)
        }
    }

    @Test func aSecondWriterIsRefusedUnderAnotherPathToo() async throws {
        try await Self.withDirectory { directory in
            let engine = try Self.open(directory)
            let link = "\(directory)-link"
            try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: directory)
            for path in [directory, "\(directory)/.", link] {
                let error = try #require(throws: EngineError.self) { try Self.open(path) }
                #expect(error.code == .inUse, "\(error)")
                #expect(error.message.contains("engine.lock"))
            }
            try FileManager.default.removeItem(atPath: link)
            try Self.apply(1, to: engine)
            try engine.close()
            try Self.open(directory).close()
        }
    }

    @Test(arguments: [
        #"{"cache_size": "64GB"}"#, #"{"cache_size": "lots"}"#, #"{"cache_size": 1000}"#,
        #"{"write_buffer_size": "2GiB"}"#, #"{"block_size": "99999999999TiB"}"#, #"{"block_size": 512}"#,
        #"{"max_open_files": 10}"#, #"{"max_open_files": "many"}"#, #"{"bloom_bits": 33}"#, #"{"bloom_bits": -1}"#,
        #"{"compression": "zstd"}"#, #"{"compression": 1}"#,
    ])
    func refusesSettingsOutOfRange(_ settings: String) async throws {
        try await Self.withDirectory { directory in
            #expect(throws: DecodingError.self) { try Self.open(directory, settings) }
            let files = try FileManager.default.contentsOfDirectory(atPath: directory)
            #expect(files.isEmpty)
        }
    }

    @Test func opensWithOtherSettingsThanBefore() async throws {
        try await Self.withDirectory { directory in
            let first = """
                {"cache_size": "1 MiB", "write_buffer_size": 65536, "block_size": "64KiB", "max_open_files": 74,
                 "bloom_bits": 0, "compression": "none"}
                """
            let settings = [first, "{}", #"{"compression": "snappy", "bloom_bits": 5}"#]
            for (number, settings) in settings.enumerated() {
                let engine = try Self.open(directory, settings)
                #expect(try Self.check(engine) == number * 100)
                for index in 1...100 { try Self.apply(number * 100 + index, to: engine) }
                try engine.sync()
                try engine.close()
            }
        }
    }
}

/// Tells the writer that the inspections are through.
private final class Flag: Sendable {
    private let state = Atomic(false)

    var isSet: Bool { state.load(ordering: .sequentiallyConsistent) }

    func set() { state.store(true, ordering: .sequentiallyConsistent) }
}

/// Rows made up on the way; with `failsAtEnd` the last is out of order.
private struct CountedRows: SortedRows {
    let count: Int
    let failsAtEnd: Bool
    private var index = 0

    init(count: Int, failsAtEnd: Bool) {
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

private final class Count: Sendable {
    let value = Mutex(0)
}
