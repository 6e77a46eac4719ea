import Foundation
import Synchronization
import T4Core
import T4Protocols
import Testing

/// Goal: the log works on real files with its thread, can be read while it is written, and names failing calls.
/// Method: a temporary directory; a writer's thread and readers in step by an atomic counter of synced entries.
@Suite struct LogFileTests {
    private final class Directory {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("t4-log-\(UUID().uuidString)").path
        var log: String { path + "/log" }

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false) }

        deinit {
            do { try FileManager.default.removeItem(atPath: path) } catch { Issue.record(error) }
        }
    }

    private final class Counter: Sendable { let value = Atomic<Int>(0) }

    private static let configuration: LogConfiguration = {
        var configuration = LogConfiguration()
        configuration.segmentSizeMax = 128 << 10
        configuration.preallocationSizeMin = 16 << 10
        return configuration
    }()

    private static func open(_ directory: Directory, visit: (LogEntry) -> Void = { _ in }) throws -> Log.Opened {
        try Log.open(directory: directory.log, databaseID: LogFixture.databaseID, configuration: configuration) {
            entry in
            visit(entry)
            return .next
        }
    }

    @Test func survivesRestartsOnRealFiles() throws {
        let directory = try Directory()
        var written: [LogEntry] = []
        for _ in 0..<3 {
            var seen: [LogEntry] = []
            let writer = try Self.open(directory) { seen.append($0) }.writer
            #expect(seen == written)
            for _ in 0..<40 {
                let entries = LogFixture.entries(written.count + 1...written.count + 20, bodySize: 200)
                try writer.appendAndSync(entries)
                written += entries
            }
            try writer.measureRoom()
            #expect(writer.hasRoom(forBytes: 100))
            writer.close()
        }
        let names = try FileManager.default.contentsOfDirectory(atPath: directory.log)
        #expect(names.count > 3 && names.allSatisfy { $0.hasSuffix(".wal") })
        let removed = try Log.removeSegments(below: 1000, in: directory.log)
        #expect(removed > 0)
        let opened = try Self.open(directory)
        #expect(opened.end.index == 2400 && opened.start.index > 0 && opened.start.index < 1000)
        opened.writer.close()
    }

    @Test func readersSeeEverythingSyncedWhileTheLogIsWritten() throws {
        let directory = try Directory()
        let total = 3000
        let synced = Counter()
        // Only the thread uses the writer.
        nonisolated(unsafe) let writer = try Self.open(directory).writer
        let failure = Monitor<String?>(nil)
        let thread = SystemThread(name: "test-writer") {
            do {
                for first in stride(from: 1, through: total, by: 5) {
                    try writer.appendAndSync(LogFixture.entries(first...first + 4, bodySize: 300))
                    synced.value.store(first + 4, ordering: .releasing)
                    if first % 500 == 1 { _ = try writer.seal() }
                }
            } catch {
                failure.withLock { $0 = "\(error)" }
                synced.value.store(total, ordering: .releasing)
            }
        }
        let reader = LogReader(directory: directory.log, databaseID: LogFixture.databaseID)
        var last = 0
        while last < total && failure.withLock({ $0 == nil }) {
            let promised = synced.value.load(ordering: .acquiring)
            let from = max(1, last - 50)
            var next = from
            do {
                _ = try reader.read(from: UInt64(from)) { entry in
                    #expect(entry == LogFixture.entries(next...next, bodySize: 300)[0])
                    next += 1
                    return .next
                }
            } catch {
                Issue.record("after \(last): \(error)")
                break
            }
            #expect(next - 1 >= promised)
            last = next - 1
        }
        thread.join()
        #expect(failure.withLock { $0 } == nil)
        writer.close()
        #expect(try Self.open(directory).end.index == UInt64(total))
    }

    @Test func readingChangesNothing() throws {
        let directory = try Directory()
        let writer = try Self.open(directory).writer
        try writer.appendAndSync(LogFixture.entries(1...10))
        writer.close()
        let name = directory.log + "/00000000000000000001.wal"
        // A torn tail, which `Log.open` would repair.
        let handle = try #require(FileHandle(forWritingAtPath: name))
        try handle.seek(toOffset: UInt64(LogFixture.headerSize + LogFixture.size(frames: 9) + 10))
        try handle.write(contentsOf: [9, 9, 9])
        try handle.close()
        let before = try Data(contentsOf: URL(fileURLWithPath: name))
        let reader = LogReader(directory: directory.log, databaseID: nil)
        #expect(try reader.read { _ in .next }.end.index == 9)
        #expect(try reader.segments().map(\.header.firstIndex) == [1])
        #expect(try Data(contentsOf: URL(fileURLWithPath: name)) == before)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.log).count == 1)
    }

    @Test func errorsNameCallFileAndReason() throws {
        let directory = try Directory()
        let files = POSIXFileSystem()
        let missing = directory.path + "/missing"
        let open = #expect(throws: LogError.self) { try files.open(missing) }
        #expect(open?.code == .notFound)
        #expect(open?.message == "\(missing): open: No such file or directory")
        let list = #expect(throws: LogError.self) { try files.list(missing) }
        #expect(list?.message == "\(missing): opendir: No such file or directory")
        let readOnly = directory.path + "/file"
        let made = try files.create(readOnly)
        try made.write(([1, 2, 3] as [UInt8]).span.bytes, at: 5)
        #expect(try made.size() == 8)
        #expect(try made.read(10, at: 4) == [0, 1, 2, 3])
        #expect(try made.read(4, at: 8) == [])
        let file = try files.open(readOnly)
        let write = #expect(throws: LogError.self) { try file.write(([1] as [UInt8]).span.bytes, at: 7) }
        #expect(write?.message == "\(readOnly), offset 7: pwrite: Bad file descriptor" && write?.offset == 7)
        let exists = #expect(throws: LogError.self) { try files.create(readOnly) }
        #expect(exists?.code == .ioFailed)
        #expect(try files.freeBytes(directory.path) > 0)
    }
}
