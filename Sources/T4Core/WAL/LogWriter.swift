package import T4Protocols

/// Appends to the log.
///
/// One thread at a time uses a writer. After any error of a system call it refuses everything: what it wrote last may
/// or may not be on disk, and a repeated fsync could report success for bytes the first one lost. Opening the log again
/// tells.
package final class LogWriter {
    /// The last entry appended; it may not be synced yet.
    package private(set) var lastPosition: LogPosition
    /// The last entry that is on disk for good.
    package private(set) var syncedPosition: LogPosition
    /// Commit time of the last entry, nanoseconds since 1970; the next one may not be earlier.
    package private(set) var lastTime: UInt64
    /// Called on the writer's thread with each segment it sealed, after it is on disk.
    package var onSeal: ((LogSegment) -> Void)?
    /// Reads entries back, from any thread.
    package let entries: LogEntries
    /// Told how long each sync of a batch took.
    var syncTimes: Histogram?

    private let directory: LogDirectory
    private let databaseID: DatabaseID
    private let configuration: LogConfiguration
    private let preparer: SegmentPreparer
    private var open: LogRecovery.OpenSegment?
    private var headerTerm: UInt64
    private var failure: LogError?
    private var hasUnsynced = false
    private var buffer: [UInt8] = []
    private var seed: UInt32 = 0
    private var requestedAt: UInt64 = 0
    private var freeSize: UInt64 = 0
    /// End of frames and of zeros in the segment sealed last.
    private var used: (size: UInt64, filled: UInt64)?
    private static let bufferSizeKept = 16 << 20
    private static let requestInterval: UInt64 = 1 << 20

    init(
        _ recovered: consuming LogRecovery.Result, directory: LogDirectory, databaseID: DatabaseID,
        configuration: LogConfiguration
    ) {
        precondition(configuration.segmentSizeMax >= 1 << 10 && configuration.preallocationSizeMin > 0)
        self.directory = directory
        self.databaseID = databaseID
        self.configuration = configuration
        (lastPosition, syncedPosition) = (recovered.end, recovered.end)
        lastTime = recovered.lastTime
        headerTerm = recovered.sealed.last?.header.term ?? 0
        preparer = SegmentPreparer(directory, inBackground: configuration.preparesInBackground)
        var segments = recovered.sealed.map(\.header.firstIndex)
        let terms = recovered.terms
        open = recovered.open.take()
        if let firstIndex = open?.header.firstIndex { segments.append(firstIndex) }
        entries = LogEntries(
            directory, databaseID: databaseID, terms: terms, segments: segments, configuration: configuration)
        if let header = open?.header {
            seed = header.checksumSeed
            headerTerm = header.term
        }
        requestSegment()
    }

    deinit { preparer.close() }

    /// Whether every append and sync so far succeeded and the writer was not closed.
    package var isUsable: Bool { failure == nil }

    /// Why no segment could be prepared ahead lately, for a warning; the log works without, slower.
    package var preparationFailure: LogError? { preparer.failure }

    /// Writes entries behind the last one, with one write per segment they touch; not on disk before `sync` returns.
    ///
    /// Indexes continue without a gap, terms and times never fall.
    /// - Throws: `.invalidArgument`, nothing was written and the writer stays usable; everything else ends it.
    package func append(_ entries: [LogEntry]) throws(LogError) {
        try guardUsable()
        try check(entries)
        do {
            for entry in entries {
                let size = LogFormat.frameSize(entry)
                if !fits(size) {
                    try writeBuffer()
                    try startSegment(term: entry.position.term)
                }
                buffer.appendFrame(entry, isFirstOfBatch: !hasUnsynced, seed: seed)
                hasUnsynced = true
                open?.tally.add(position: entry.position, time: entry.time, revision: entry.revision)
                (lastPosition, lastTime) = (entry.position, entry.time)
            }
            try writeBuffer()
            self.entries.appended(entries)
        } catch {
            throw fail(error)
        }
    }

    /// Returns when everything appended is on disk; one fdatasync, none if nothing is new.
    /// - Throws: What was appended since the last sync may or may not be kept; the writer is unusable.
    package func sync() throws(LogError) {
        try guardUsable()
        let isMeasured = hasUnsynced
        let stopwatch = Stopwatch()
        do { try syncOpen() } catch { throw fail(error) }
        if isMeasured { syncTimes?.observe(stopwatch.nanoseconds()) }
    }

    /// `append`, then `sync`.
    package func appendAndSync(_ entries: [LogEntry]) throws(LogError) {
        try append(entries)
        try sync()
    }

    /// Cuts off everything behind the entry of that index; the next entry goes behind it, into a new segment.
    ///
    /// When it returns, that is on disk, and so is everything up to the cut. Dying in it leaves the log as it was, or a
    /// beginning of it that holds everything up to the cut that was synced. The segment with the cut is sealed; `onSeal` is
    /// told of it, also if it was sealed before. A log of which nothing is left has no file: until the next entry is synced,
    /// only the caller knows where it begins (`Log.open`, `startingAfter`).
    /// - Parameter index: Not before the beginning of the log. At its end this is `sync`.
    /// - Throws: `.invalidArgument`, nothing was changed and the writer stays usable; everything else ends it.
    package func truncate(after index: UInt64) throws(LogError) {
        try guardUsable()
        guard index < lastPosition.index else {
            guard index == lastPosition.index else {
                throw LogError(.invalidArgument, "the log cannot be cut behind \(index): it ends with \(lastPosition)")
            }
            return try sync()
        }
        do {
            let truncation = LogTruncation(directory: directory, databaseID: databaseID)
            let outcome = try entries.cut(after: index) { begin throws(LogError) in
                try truncation.run(after: index) {
                    begin()
                    open = nil
                    hasUnsynced = false
                }
            }
            (lastPosition, syncedPosition) = (outcome.end, outcome.end)
            (lastTime, headerTerm) = (outcome.lastTime, outcome.headerTerm)
            if let segment = outcome.resealed { onSeal?(segment) }
        } catch {
            throw error.code == .invalidArgument ? error : fail(error)
        }
    }

    /// Ends the open segment: syncs, writes its footer and syncs again. The next entry starts a new one.
    /// - Returns: The sealed segment, on disk and never changed again; nil if there was nothing to seal.
    package func seal() throws(LogError) -> LogSegment? {
        try guardUsable()
        do { return try sealOpen() } catch { throw fail(error) }
    }

    /// Seals the open segment if its first entry is older than `age` at `now` (nanoseconds since 1970).
    package func sealIfOlder(than age: Duration, now: UInt64) throws(LogError) -> LogSegment? {
        try guardUsable()
        guard let firstTime = open?.tally.firstTime, now > firstTime else { return nil }
        guard Duration.nanoseconds(Int64(clamping: now - firstTime)) > age else { return nil }
        return try seal()
    }

    /// Looks how much space the disk has, for `hasRoom`.
    package func measureRoom() throws(LogError) {
        freeSize = try directory.fileSystem.freeBytes(directory.path)
    }

    /// Whether a group of entries of `size` bytes in all, frames included, can be written, going by the last measurement.
    ///
    /// Zeros that wait for entries do not suffice: the engine, which mostly lies on the same disk, has to apply them.
    /// - Parameter usingSpare: For what frees space: a quarter of what else stays free is enough to be left.
    package func hasRoom(forBytes size: Int, usingSpare: Bool = false) -> Bool {
        let needed = UInt64(size + SegmentHeader.byteCount + SegmentFooter.byteCount)
        let kept = UInt64(configuration.freeSizeMin) / (usingSpare ? 4 : 1)
        var isWritten = usingSpare && preparer.readySize >= needed
        if let filled = open?.filled, let end = open?.offset, end + needed <= filled { isWritten = true }
        return freeSize >= kept + (isWritten ? 0 : needed)
    }

    /// Stops the thread behind and refuses everything from now on. Does not sync: what was not synced was not promised.
    package func close() {
        if failure == nil { failure = LogError(.failed, "the log was closed") }
        open = nil
        preparer.close()
    }

    private func guardUsable() throws(LogError) {
        if let failure { throw LogError(.failed, "the log takes no more entries", cause: failure) }
    }

    private func fail(_ error: LogError) -> LogError {
        failure = error
        open = nil
        return error
    }

    private func check(_ entries: [LogEntry]) throws(LogError) {
        var last = lastPosition
        var time = lastTime
        for entry in entries {
            guard entry.position.index == last.index + 1, entry.position.term >= last.term, entry.time >= time else {
                throw LogError(
                    .invalidArgument, "entry \(entry.position) at time \(entry.time) cannot follow \(last) at \(time)")
            }
            guard entry.body.count <= LogFormat.payloadSizeMax - LogFormat.payloadSizeMin else {
                throw LogError(.invalidArgument, "entry \(entry.position) has a body of \(entry.body.count) bytes")
            }
            (last, time) = (entry.position, entry.time)
        }
    }

    // MARK: - The open segment

    /// Whether a frame goes into the open segment behind what is in the buffer.
    private func fits(_ frameSize: Int) -> Bool {
        guard let filled = open?.filled, let offset = open?.offset else { return false }
        let end = offset + UInt64(buffer.count)
        let needed = end + UInt64(frameSize + SegmentFooter.byteCount)
        if needed <= filled || end == UInt64(SegmentHeader.byteCount) { return true }
        if needed > UInt64(configuration.segmentSizeMax) { return false }
        // Beyond the zeros each sync costs more: go on only while the next segment is not ready.
        if preparer.readySize > 0 { return false }
        if end >= requestedAt + Self.requestInterval { requestSegment() }
        return true
    }

    private func writeBuffer() throws(LogError) {
        guard !buffer.isEmpty, var segment = open.take() else { return }
        // Both are gone if this throws, and so is the writer.
        var frames: [UInt8] = []
        swap(&frames, &buffer)
        try segment.file.write(frames.span.bytes, at: segment.offset)
        segment.hash.update(frames.span.bytes)
        segment.offset += UInt64(frames.count)
        open = consume segment
        guard frames.capacity <= Self.bufferSizeKept else { return }
        frames.removeAll(keepingCapacity: true)
        swap(&frames, &buffer)
    }

    private func syncOpen() throws(LogError) {
        guard hasUnsynced, let file = open?.file else { return }
        try file.syncData()
        hasUnsynced = false
        syncedPosition = lastPosition
    }

    private func sealOpen() throws(LogError) -> LogSegment? {
        // The footer is a promise that everything before it was synced, so it must not reach the disk earlier.
        try syncOpen()
        guard let segment = open.take() else { return nil }
        let footer = SegmentFooter(tally: segment.tally, offset: segment.offset, hash: segment.hash.digest())
        try segment.file.write(footer.encoded(seed: seed).span.bytes, at: segment.offset)
        try segment.file.syncData()
        let sealed = LogSegment(path: segment.path, header: segment.header, footer: footer)
        // Only gives back the zeros. Readers stop at the footer, so it need not be synced.
        try segment.file.truncate(to: segment.offset + UInt64(SegmentFooter.byteCount))
        used = (segment.offset, segment.filled)
        onSeal?(sealed)
        return sealed
    }

    private func startSegment(term: UInt64) throws(LogError) {
        _ = try sealOpen()
        let prepared: SegmentPreparer.Prepared
        if let ready = preparer.take() {
            prepared = ready
        } else {
            prepared = try preparer.make(UInt64(min(configuration.preallocationSizeMin, configuration.segmentSizeMax)))
        }
        let header = SegmentHeader(databaseID: databaseID, term: max(term, headerTerm), previous: lastPosition)
        let bytes = header.encoded()
        // A file with the name of a segment has a whole header, and its predecessor a whole footer, whatever happens.
        try prepared.file.write(bytes.span.bytes, at: 0)
        try prepared.file.syncData()
        let path = directory.segmentPath(firstIndex: header.firstIndex)
        try directory.fileSystem.rename(prepared.path, to: path)
        try directory.fileSystem.syncDirectory(directory.path)
        let hash = SHA256()
        hash.update(bytes.span.bytes)
        open = LogRecovery.OpenSegment(
            path: path, file: prepared.file, header: header, tally: SegmentTally(after: lastPosition), hash: hash,
            offset: UInt64(bytes.count), filled: prepared.size)
        seed = header.checksumSeed
        headerTerm = header.term
        entries.began(segment: header.firstIndex)
        requestSegment()
    }

    private func requestSegment() {
        requestedAt = open?.offset ?? 0
        if let filled = open?.filled {
            // A segment that was sealed early is the best guess of what the next will hold; else assume they fill up.
            let early = used.flatMap { $0.size < $0.filled / 2 ? $0 : nil }
            let last = early ?? (size: filled, filled: filled)
            preparer.request(configuration.preparedSize(afterUsing: last.size, of: last.filled))
        } else {
            preparer.request(UInt64(configuration.preallocationSizeMin))
        }
    }
}
