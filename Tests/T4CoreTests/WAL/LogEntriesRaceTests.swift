import Foundation
import T4Conformance
import T4Core
import T4Protocols
import Testing

/// Goal: what readers get is the log as it stood at some moment of the read, whatever the writer does meanwhile.
/// Method: threads that read random ranges beside one that appends, seals, cuts and removes. It notes each state before and
/// after it; what was read must fit one of those between the beginning and the end of the read.
@Suite(.serialized) struct LogEntriesRaceTests {
    private struct History {
        /// The log after each step; the last one may be under way.
        var logs = [TermLog()]
        var removable = [UInt64(0)]
        var done = 0
        var isOver = false
        var failures: [String] = []

        mutating func begin(_ log: TermLog, removable: UInt64) {
            logs.append(log)
            self.removable.append(max(removable, self.removable.last!))
        }
    }

    private static func entry(_ index: UInt64, term: UInt64) -> LogEntry {
        LogFixture.entries(Int(index)...Int(index), term: term, bodySize: Int((index + term) % 90))[0]
    }

    private static func write(_ log: Log.Opened, _ history: Monitor<History>, steps: Int, seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var terms = TermLog()
        var start: UInt64 = 0
        func step(_ next: TermLog, removable: UInt64 = 0, _ body: () throws -> Void) throws {
            history.withLock { $0.begin(next, removable: removable) }
            try body()
            terms = next
            history.withLock { $0.done = $0.logs.count - 1 }
        }
        for _ in 0..<steps {
            var next = terms
            switch Int.random(in: 0..<30, using: &random) {
            case 0: try step(next) { _ = try log.writer.seal() }
            case 1...4:
                let back = min(next.last.index, UInt64.random(in: 0...60, using: &random))
                let first = max(start, next.last.index - back)
                next.cut(after: first)
                try step(next) { try log.writer.truncate(after: first) }
                // What takes the place of something has a higher term, so that it can be told apart.
                next.append(term: (history.withLock { $0.logs.map(\.last.term).max()! }) + 1)
                try step(next) { try log.writer.append([entry(next.last.index, term: next.last.term)]) }
            case 5:
                let below = UInt64.random(in: start...max(start, next.last.index), using: &random)
                try step(next, removable: below) { _ = try log.entries.removeSegments(below: below + 1) }
                start = log.entries.start.index
            default:
                let count = UInt64.random(in: 1...12, using: &random)
                let term = max(next.last.term, 1)
                let first = next.last.index + 1
                next.append(term: term, count: count)
                try step(next) { try log.writer.append((first..<first + count).map { entry($0, term: term) }) }
                if Bool.random(using: &random) { try log.writer.sync() }
            }
        }
    }

    /// Why an answer fits none of the states; nil if it does.
    private static func fault(
        _ answer: LogEntries.Answer, from first: UInt64, through last: UInt64, _ logs: ArraySlice<TermLog>,
        removable: UInt64
    ) -> String? {
        switch answer {
        case .begins(let start):
            let isKnown = logs.contains { $0.term(at: start.index) == start.term }
            return isKnown && start.index >= first && start.index <= removable
                ? nil : "begins behind \(start), asked for \(first), while \(removable) might be removed"
        case .entries(let entries):
            for (number, entry) in entries.enumerated() {
                guard entry == self.entry(first + UInt64(number), term: entry.position.term) else {
                    return "\(entry.position) is not what was appended"
                }
            }
            let end = first + UInt64(entries.count) - 1
            let fits = logs.contains { log in
                guard end <= log.last.index, entries.isEmpty == (first > min(last, log.last.index)) else {
                    return entries.isEmpty && first > log.last.index
                }
                return entries.allSatisfy { log.term(at: $0.position.index) == $0.position.term }
            }
            return fits ? nil : "\(first) through \(end) fits no state of the log"
        }
    }

    private static func read(_ log: Log.Opened, _ history: Monitor<History>, seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        while true {
            let (isOver, begin, end) = history.withLock { ($0.isOver, $0.done, $0.logs[$0.done].last.index) }
            if isOver { return }
            let first = UInt64.random(in: max(end, 90) - 89...end + 2, using: &random)
            let last = first + UInt64.random(in: 0...100, using: &random)
            let found = Result { try log.entries.entries(from: first, through: last, maxBytes: 4000) }
            history.withLock { history in
                switch found {
                case .success(let answer):
                    let fault = fault(
                        answer, from: first, through: last, history.logs[begin...],
                        removable: history.removable.last!)
                    if let fault { history.failures.append(fault) }
                case .failure(let error): history.failures.append("\(error)")
                }
            }
        }
    }

    @Test(arguments: [false, true], [0, 3000])
    func readersSeeTheLogAsItStood(onRealFiles: Bool, recentSizeMax: Int) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("t4-log-\(UUID().uuidString)").path
        defer { if onRealFiles { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: path) } } }
        var configuration = LogFixture.small
        configuration.recentSizeMax = recentSizeMax
        configuration.preparesInBackground = onRealFiles
        // Only one thread uses the writer.
        nonisolated(unsafe) let log = try Log.open(
            directory: path, databaseID: LogFixture.databaseID,
            fileSystem: onRealFiles ? POSIXFileSystem() : SimulatedFileSystem(), configuration: configuration)
        let history = Monitor(History())
        let readers = (1...2).map { number in
            SystemThread(name: "test-reader") { Self.read(log, history, seed: UInt64(number)) }
        }
        let writer = SystemThread(name: "test-writer") {
            do {
                try Self.write(log, history, steps: 600, seed: 7)
            } catch {
                history.withLock { $0.failures.append("\(error)") }
            }
            history.withLock { $0.isOver = true }
        }
        writer.join()
        for reader in readers { reader.join() }
        let (failures, last) = history.withLock { ($0.failures, $0.logs.last!.last) }
        #expect(failures.isEmpty, "\(failures.count) failures, first \(failures.first ?? "")")
        #expect(log.writer.lastPosition == last)
        log.writer.close()
    }
}
