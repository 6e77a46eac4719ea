package import T4Protocols

/// The log of one node in a directory of its own.
package enum Log {
    /// An opened log.
    package struct Opened {
        /// Appends behind `end`.
        package var writer: LogWriter
        /// Reads entries back, also while the writer goes on.
        package var entries: LogEntries { writer.entries }
        /// The terms of all entries.
        package var terms: TermLog
        /// The position before the oldest entry there is.
        package var start: LogPosition { terms.base }
        /// The last entry; everything up to it is on disk for good.
        package var end: LogPosition
        /// Commit time of the last entry, nanoseconds since 1970; 0 in an empty log.
        package var lastTime: UInt64
        /// The sealed segments, oldest first.
        package var sealedSegments: [LogSegment]
    }

    /// Opens a log for writing: checks it, repairs a torn tail (Rule L1), visits its entries, and readies the writer.
    ///
    /// Entries are visited only once everything is on disk, so a visitor may apply them. Only one process may have a
    /// log open for writing; the caller locks the data directory.
    /// - Parameters:
    ///   - directory: Made if it does not exist; its parent must exist.
    ///   - databaseID: Segments of another database are refused.
    ///   - startingAfter: Where a log without entries starts; not used if there are any.
    ///   - index: The first entry to visit. Segments wholly before it are checked by header and footer only.
    ///   - visit: Called for each entry in order.
    /// - Throws: `.corrupted` with file and offset, nothing was repaired then; `.wrongDatabase`, `.unsupported`;
    /// `.stopped`
    ///   with the error of the visitor; `.noSpace`, `.ioFailed`, after which opening may be tried again.
    package static func open(
        directory: String, databaseID: DatabaseID, startingAfter: LogPosition = .zero,
        fileSystem: any LogFileSystem = POSIXFileSystem(), configuration: LogConfiguration = LogConfiguration(),
        from index: UInt64 = 0, visit: (LogEntry) throws -> LogStep = { _ in .next }
    ) throws(LogError) -> Opened {
        let place = LogDirectory(path: directory, fileSystem: fileSystem)
        let recovery = LogRecovery(directory: place, databaseID: databaseID, configuration: configuration)
        let recovered = try recovery.run(startingAfter: startingAfter)
        let (end, lastTime, sealed) = (recovered.end, recovered.lastTime, recovered.sealed)
        let terms = recovered.terms
        var wasStopped = false
        let reader = LogReader(directory: directory, databaseID: databaseID, fileSystem: fileSystem)
        let summary = try reader.read(from: index) { entry in
            let step = try visit(entry)
            wasStopped = step == .stop
            return step
        }
        if !wasStopped && end != terms.base && summary.end != end {
            throw LogError(.corrupted, "the log ended with \(end) and then with \(summary.end)", path: directory)
        }
        let writer = LogWriter(
            recovered, directory: place, databaseID: databaseID, configuration: configuration)
        return Opened(
            writer: writer, terms: terms, end: end, lastTime: lastTime, sealedSegments: sealed)
    }

    /// Removes the segments whose entries all lie below `index`, oldest first; the newest segment always stays.
    ///
    /// For a log that may be open for writing there is `LogEntries.removeSegments`: this one must not run while the end of
    /// the log is cut off. Dying in the middle leaves a log without gaps.
    /// - Parameter begin: Called before the first one goes, with the first index of the oldest one that stays.
    /// - Returns: How many were removed.
    package static func removeSegments(
        below index: UInt64, in directory: String, fileSystem: any LogFileSystem = POSIXFileSystem(),
        begin: (_ kept: UInt64) throws(LogError) -> Void = { _ in }
    ) throws(LogError) -> Int {
        let place = LogDirectory(path: directory, fileSystem: fileSystem)
        let indexes = try place.firstIndexes()
        let removed = Array(zip(indexes, indexes.dropFirst())).prefix { $0.1 <= index }
        guard let kept = removed.last?.1 else { return 0 }
        try begin(kept)
        for (current, _) in removed {
            try fileSystem.remove(place.segmentPath(firstIndex: current))
            // One by one: a later removal must not get to disk before an earlier one.
            try fileSystem.syncDirectory(directory)
        }
        return removed.count
    }
}
