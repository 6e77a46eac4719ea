import T4Core
import T4Protocols

/// Short ways to a log in a simulated file system.
enum LogFixture {
    static let directory = "log"
    static let databaseID = DatabaseID(Array(0..<16))!

    /// Small segments, everything on the calling thread.
    static let small: LogConfiguration = {
        var configuration = LogConfiguration()
        configuration.segmentSizeMax = 4 << 10
        configuration.preallocationSizeMin = 2 << 10
        configuration.preparesInBackground = false
        return configuration
    }()

    static func segment(_ firstIndex: Int) -> String {
        let digits = String(firstIndex)
        return directory + "/" + String(repeating: "0", count: 20 - digits.count) + digits + ".wal"
    }

    static func open(
        _ fileSystem: any LogFileSystem, _ configuration: LogConfiguration = small,
        visit: (LogEntry) -> Void = { _ in }
    ) throws(LogError) -> Log.Opened {
        try Log.open(
            directory: directory, databaseID: databaseID, fileSystem: fileSystem,
            configuration: configuration
        ) { entry in
            visit(entry)
            return .next
        }
    }

    /// Opens, collects every entry, and closes.
    static func recover(_ fileSystem: any LogFileSystem) throws(LogError) -> [LogEntry] {
        var entries: [LogEntry] = []
        let opened = try open(fileSystem) { entries.append($0) }
        opened.writer.close()
        return entries
    }

    /// Entries of one term with bodies that tell them apart.
    static func entries(_ indexes: ClosedRange<Int>, term: UInt64 = 1, bodySize: Int = 40)
        -> [LogEntry]
    {
        indexes.map { index in
            LogEntry(
                position: LogPosition(term: term, index: UInt64(index)), time: 1000 + UInt64(index),
                revision: Revision(Int64(index) + 1), kind: .mutations,
                body: (0..<bodySize).map { UInt8(truncatingIfNeeded: index &* 31 &+ $0 &* 7) | 1 })
        }
    }

    /// A closed log of batches, each appended and synced by itself, and the disk it lies on.
    static func log(_ batches: [[LogEntry]]) throws -> SimulatedFileSystem {
        let fileSystem = SimulatedFileSystem()
        let writer = try open(fileSystem).writer
        for batch in batches { try writer.appendAndSync(batch) }
        writer.close()
        return fileSystem
    }

    /// Bytes that frames with bodies of that size take.
    static func size(frames count: Int, bodySize: Int = 40) -> Int { count * (41 + bodySize) }

    static let headerSize = 72
    static let footerSize = 104
}
