package import T4Protocols

/// Reads a log without changing anything, also one that another process is writing.
///
/// Entries come in order and each is checked. The end is where the first entry stands that is not whole: behind a log
/// in use that is the entry being written just now. Damage before the end is an error that names file and offset. While the
/// end of a log is cut off it may look damaged; a node reads its own log through `LogEntries` then.
package struct LogReader: Sendable {
    /// What a read came to.
    package struct Summary: Hashable, Sendable {
        /// The position before the oldest entry there is; `.zero` in an empty directory.
        package var start = LogPosition.zero
        /// The last entry read; equals `start` in an empty log.
        package var end = LogPosition.zero
        /// Entries that were visited.
        package var visitedCount: UInt64 = 0
    }

    private let directory: LogDirectory
    private let databaseID: DatabaseID?

    /// Reads `directory`; segments of another database than `databaseID`, if given, are refused.
    package init(directory: String, databaseID: DatabaseID?, fileSystem: any LogFileSystem = POSIXFileSystem()) {
        self.directory = LogDirectory(path: directory, fileSystem: fileSystem)
        self.databaseID = databaseID
    }

    /// The segments, oldest first, with headers and footers checked against each other but no frame read.
    package func segments() throws(LogError) -> [LogSegment] {
        let indexes = try directory.firstIndexes()
        var segments: [LogSegment] = []
        for (number, index) in indexes.enumerated() {
            let cursor = try directory.cursor(firstIndex: index, databaseID: databaseID)
            if let end = segments.last?.footer?.tally.lastPosition, let term = segments.last?.header.term {
                try LogDirectory.checkLink(cursor, after: end, term: term)
            }
            var segment = LogSegment(path: cursor.path, header: cursor.header)
            if number < indexes.count - 1 {
                segment.footer = try directory.footer(of: cursor)
            } else {
                segment.footer = try tailFooter(cursor)
            }
            segments.append(segment)
        }
        return segments
    }

    /// Visits every entry with `index` or a higher one.
    ///
    /// Segments that lie wholly before it are not read beyond header and footer.
    /// - Returns: What was read.
    /// - Throws: `.stopped` with the visitor's error; `.notFound` if segments were removed meanwhile: read again.
    package func read(
        from index: UInt64 = 0, visit: (LogEntry) throws -> LogStep
    ) throws(LogError) -> Summary {
        var summary = Summary()
        var term: UInt64 = 0
        var indexes = try directory.firstIndexes()[...]
        var isFirst = true
        while let current = indexes.popFirst() {
            var cursor = try directory.cursor(firstIndex: current, databaseID: databaseID)
            if isFirst { (summary.start, summary.end) = (cursor.header.previous, cursor.header.previous) }
            if !isFirst { try LogDirectory.checkLink(cursor, after: summary.end, term: term) }
            isFirst = false
            term = cursor.header.term
            if let next = indexes.first, next <= index {
                summary.end = try directory.footer(of: cursor).tally.lastPosition
                continue
            }
            switch try read(&cursor, from: index, isLast: indexes.isEmpty, &summary, visit) {
            case .stopped, .open: return summary
            case .sealed:
                // Segments that appeared meanwhile.
                if indexes.isEmpty { indexes = try directory.firstIndexes().filter { $0 > current }[...] }
            }
        }
        return summary
    }

    private enum Outcome { case sealed, open, stopped }

    /// As `read`, but an error of the visitor comes as it is.
    @discardableResult
    func visit(from index: UInt64, _ visit: (LogEntry) throws -> LogStep) throws -> Summary {
        do {
            return try read(from: index, visit: visit)
        } catch {
            if error.code == .stopped, let cause = error.cause { throw cause }
            throw error
        }
    }

    private func read(
        _ cursor: inout SegmentCursor, from index: UInt64, isLast: Bool, _ summary: inout Summary,
        _ visit: (LogEntry) throws -> LogStep
    ) throws(LogError) -> Outcome {
        var readAgainAt: UInt64?
        while true {
            switch try cursor.next(withBody: cursor.tally.lastPosition.index + 1 >= index) {
            case .entry(let entry):
                summary.end = entry.position
                if entry.position.index < index { continue }
                summary.visitedCount += 1
                if try LogReader.step(entry, visit) == .stop { return .stopped }
            case .footer: return .sealed
            case .bad(let what):
                if !isLast { throw cursor.damaged("\(what), but a later segment follows") }
                guard let mark = try cursor.markBehind() else { return .open }
                // The writer may have been quicker than this reader, but what lies before a mark is whole by then.
                if readAgainAt == cursor.offset {
                    throw cursor.damaged("\(what), but synced entries follow at offset \(mark)")
                }
                readAgainAt = cursor.offset
                cursor.refresh()
            }
        }
    }

    /// Calls the visitor and wraps its error.
    static func step(_ entry: LogEntry, _ visit: (LogEntry) throws -> LogStep) throws(LogError) -> LogStep {
        do {
            return try visit(entry)
        } catch {
            throw LogError(.stopped, "the log was not read beyond entry \(entry.position)", cause: error)
        }
    }

    private func tailFooter(_ cursor: consuming SegmentCursor) throws(LogError) -> SegmentFooter? {
        while true {
            switch try cursor.next(withBody: false) {
            case .entry: continue
            case .footer(let footer): return footer
            case .bad: return nil
            }
        }
    }
}
