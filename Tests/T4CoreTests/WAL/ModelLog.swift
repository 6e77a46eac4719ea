import T4Conformance
import T4Core
import T4Protocols
import Testing

/// A log, and beside it an array of what it holds or may hold after a crash.
struct ModelLog {
    var fileSystem = SimulatedFileSystem()
    /// Every entry behind `base` that may be there, in order.
    private(set) var entries: [LogEntry] = []
    /// The position before them.
    private(set) var base = LogPosition.zero
    /// Everything up to here has to be there.
    private(set) var promised: UInt64 = 0
    /// Segments may be gone up to here.
    private var removable: UInt64 = 0
    /// Marks entries, so that one shows that was cut off or lost earlier and comes back.
    private var era: UInt8 = 0
    private var opened: Log.Opened?
    private let name: String

    /// - Parameter name: For messages.
    init(_ name: String) { self.name = name }

    var writer: LogWriter { opened!.writer }
    var last: LogPosition { entries.last?.position ?? base }

    /// Opens the log, and compares what it finds.
    mutating func open(_ configuration: LogConfiguration = LogFixture.small) throws(LogError) {
        var found: [LogEntry] = []
        // What a node knows from elsewhere of a log without a segment: all that was promised, and removed since.
        let end = position(of: promised)
        let log = try Log.open(
            directory: LogFixture.directory, databaseID: LogFixture.databaseID, startingAfter: end,
            fileSystem: fileSystem, configuration: configuration
        ) { entry in
            found.append(entry)
            return .next
        }
        let start = log.start.index
        #expect(start >= base.index && start <= max(base.index, removable), "\(name): begins behind \(start)")
        #expect(log.end.index >= promised, "\(name): \(promised) promised, \(log.end) found")
        #expect(log.end.index == start + UInt64(found.count), "\(name)")
        let kept = entries.dropFirst(Int(start - min(start, base.index)))
        #expect(found[...] == kept.prefix(found.count), "\(name): entries differ from what was appended")
        #expect(log.lastTime == found.last?.time ?? 0 || found.isEmpty, "\(name)")
        var terms = TermLog(base: log.start)
        for entry in found { terms.append(term: entry.position.term) }
        #expect(log.terms == terms, "\(name)")
        (entries, base, promised, opened) = (found, log.start, log.end.index, log)
        era &+= 1
    }

    /// Appends entries of these terms, which follow the last one.
    mutating func append(terms: [UInt64], bodySize: Int = 40) throws(LogError) {
        var new: [LogEntry] = []
        for (number, term) in terms.enumerated() {
            let index = Int(last.index) + 1 + number
            var entry = LogFixture.entries(index...index, term: term, bodySize: bodySize)[0]
            entry.kind = LogEntry.Kind(rawValue: era)
            new.append(entry)
        }
        // First: one that fails may have written any part.
        entries += new
        defer { promised = max(promised, writer.syncedPosition.index) }
        try writer.append(new)
    }

    mutating func sync() throws(LogError) {
        defer { promised = max(promised, writer.syncedPosition.index) }
        try writer.sync()
    }

    mutating func seal() throws(LogError) {
        defer { promised = max(promised, writer.syncedPosition.index) }
        _ = try writer.seal()
    }

    mutating func truncate(after index: UInt64) throws(LogError) {
        promised = min(promised, index)
        try writer.truncate(after: index)
        entries.removeLast(Int(last.index - index))
        promised = index
        era &+= 1
        #expect(writer.lastPosition == last && writer.syncedPosition == last, "\(name)")
    }

    /// Only what is promised is ever removed.
    mutating func removeSegments(below index: UInt64) throws(LogError) {
        precondition(index <= promised + 1)
        removable = max(removable, index - 1)
        _ = try opened!.entries.removeSegments(below: index)
        let start = opened!.entries.start
        #expect(start.index < max(index, base.index + 1), "\(name)")
        #expect(start == position(of: start.index), "\(name)")
        entries.removeFirst(Int(start.index - base.index))
        base = start
    }

    /// Reads through `LogEntries`, and compares.
    func read(from first: UInt64, through last: UInt64, maxBytes: Int) throws(LogError) {
        let answer = try opened!.entries.entries(from: first, through: last, maxBytes: maxBytes)
        guard first > base.index else {
            #expect(answer == .begins(behind: base), "\(name)")
            return
        }
        guard case .entries(let found) = answer else {
            Issue.record("\(name): \(answer) for \(first), behind \(base)")
            return
        }
        let wanted = entries.dropFirst(Int(first - base.index - 1)).prefix(while: { $0.position.index <= last })
        #expect(found[...] == wanted.prefix(found.count), "\(name): \(first) through \(last)")
        #expect(found.isEmpty == wanted.isEmpty, "\(name): \(first) through \(last)")
        let size = found.reduce(0) { $0 + LogFixture.size(frames: 1, bodySize: $1.body.count) }
        #expect(size <= maxBytes || found.count == 1, "\(name)")
    }

    /// Lets go of the log; the files stay as they are.
    mutating func close() {
        opened?.writer.close()
        opened = nil
    }

    private func position(of index: UInt64) -> LogPosition {
        index == base.index ? base : entries[Int(index - base.index) - 1].position
    }
}
