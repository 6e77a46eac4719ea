import T4Protocols

/// Cuts the end off the files of a log.
///
/// Segments behind the cut are removed, the newest first and each for good before the next; then the one with the cut is
/// shortened, synced, and sealed. Dying at any point leaves the old log or a beginning of it that reaches to the cut.
struct LogTruncation {
    let directory: LogDirectory
    let databaseID: DatabaseID

    /// The log as it is then.
    struct Outcome {
        /// Its last entry.
        var end: LogPosition
        /// The time of that.
        var lastTime: UInt64 = 0
        /// The term in the header of the last segment.
        var headerTerm: UInt64 = 0
        /// The last segment if it was cut.
        var resealed: LogSegment?
    }

    /// Cuts everything behind `index` off; returns when that is on disk.
    /// - Parameter begin: Called before the first change.
    /// - Throws: `.invalidArgument` where the log begins behind `index`; nothing was changed then.
    func run(after index: UInt64, begin: () -> Void) throws(LogError) -> Outcome {
        let indexes = try directory.firstIndexes()
        guard let first = indexes.first else {
            throw LogError(.corrupted, "the segments are gone", path: directory.path)
        }
        let start = try directory.cursor(firstIndex: first, databaseID: databaseID).header.previous
        guard index >= start.index else {
            throw LogError(
                .invalidArgument, "the log cannot be cut behind entry \(index), as it begins behind \(start)")
        }
        begin()
        for firstIndex in indexes.reversed() where firstIndex > index {
            try directory.fileSystem.remove(directory.segmentPath(firstIndex: firstIndex))
            try directory.fileSystem.syncDirectory(directory.path)
        }
        guard let last = indexes.last(where: { $0 <= index }) else { return Outcome(end: start) }
        return try cut(segment: last, after: index)
    }

    private func cut(segment firstIndex: UInt64, after index: UInt64) throws(LogError) -> Outcome {
        var cursor = try directory.cursor(firstIndex: firstIndex, databaseID: databaseID)
        while cursor.tally.lastPosition.index < index {
            switch try cursor.next(withBody: false) {
            case .entry: continue
            case .footer: throw cursor.damaged("the segment ends before entry \(index), behind which it is to be cut")
            case .bad(let what): throw cursor.damaged("\(what), but the log has entries up to \(index) and more")
            }
        }
        let (offset, tally, hash) = (cursor.offset, cursor.tally, cursor.hash.digest())
        var outcome = Outcome(end: tally.lastPosition, lastTime: tally.lastTime, headerTerm: cursor.header.term)
        // A segment that ends there stays as it is.
        if case .footer = try cursor.next(withBody: false) { return outcome }
        let file = try directory.fileSystem.openForWriting(cursor.path)
        try file.truncate(to: offset)
        // Before the footer is written: a part of it before frames that are still there would be damage.
        try file.syncData()
        let footer = SegmentFooter(tally: tally, offset: offset, hash: hash)
        try file.write(footer.encoded(seed: cursor.header.checksumSeed).span.bytes, at: offset)
        try file.syncData()
        outcome.resealed = LogSegment(path: cursor.path, header: cursor.header, footer: footer)
        return outcome
    }
}
