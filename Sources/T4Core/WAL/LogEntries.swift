package import T4Protocols

/// Reads entries of a log back, for followers that lack them: also while the log is written, cut off at its end, sealed,
/// and while old segments are removed.
///
/// Recent entries come from memory (`LogConfiguration.recentSizeMax`), the others from the segments, where each one that
/// is read is checked: checksum, index, term, time, and the header of its segment. Safe to use from any thread; readers hold up
/// neither the writer nor each other while they wait for the disk. What is read may not be synced yet.
package final class LogEntries: Sendable {
    /// What a read found.
    package enum Answer: Hashable, Sendable {
        /// Entries without a gap, the first one being the one asked for; empty where the log ends before that.
        case entries([LogEntry])
        /// The log does not reach back so far: it begins behind this entry.
        case begins(behind: LogPosition)
    }

    fileprivate struct State {
        /// The position before the oldest entry.
        var start: LogPosition
        /// The last entry that can be read.
        var end: UInt64
        /// First indexes of the segments, rising; the last one may have no entry yet.
        var segments: [UInt64]
        var recent: RecentEntries
        /// How often the end of the log was cut off, and its beginning removed.
        var cuts = 0
        var removals = 0
        var places = ReadPlaces()
    }

    private let files: SegmentEntries
    private let state: Monitor<State>
    /// Held while files are cut or removed.
    private let removing = Monitor<Void>(())

    /// - Parameter terms: What was found when the log was opened.
    init(
        _ directory: LogDirectory, databaseID: DatabaseID, terms: TermLog, segments: [UInt64],
        configuration: LogConfiguration
    ) {
        files = SegmentEntries(directory: directory, databaseID: databaseID)
        let recent = RecentEntries(sizeMax: configuration.recentSizeMax)
        state = Monitor(State(start: terms.base, end: terms.last.index, segments: segments, recent: recent))
    }

    /// The position before the oldest entry.
    package var start: LogPosition { state.withLock { $0.start } }

    /// Reads entries from `first` on, as they stood at some moment during the call.
    ///
    /// There may be fewer than up to `last`, where the log ends, `maxBytes` are reached, or memory takes over from the
    /// segments: ask again behind the last one. At least one entry comes if the log has `first`.
    /// - Parameters:
    ///   - last: The last entry wanted.
    ///   - maxBytes: Most bytes of all entries as they lie in a segment, 41 and the body each. Only a single entry may be larger.
    /// - Throws: `.corrupted` with file and offset, `.ioFailed`; asking for other entries still works.
    package func entries(
        from first: UInt64, through last: UInt64 = .max, maxBytes: Int
    ) throws(LogError) -> Answer {
        while true {
            let plan = state.withLock { $0.plan(from: first, through: last, maxBytes: maxBytes) }
            guard case .files(let request, let cuts, let removals) = plan else {
                guard case .known(let answer) = plan else { continue }
                return answer
            }
            do {
                let (entries, place) = try files.read(request)
                let isCurrent = state.withLock { state in
                    // What is cut off may have been read from what follows in its place, or from a file that is gone.
                    guard state.cuts == cuts else { return false }
                    state.places.add(place)
                    return true
                }
                if isCurrent { return .entries(entries) }
            } catch {
                guard state.withLock({ $0.cuts != cuts || $0.removals != removals }) else { throw error }
            }
        }
    }

    /// Entries as `entries` gives them, where that needs no reading from disk: nil where it does.
    func recent(from first: UInt64, through last: UInt64, maxBytes: Int) -> [LogEntry]? {
        let plan = state.withLock { $0.plan(from: first, through: last, maxBytes: maxBytes) }
        guard case .known(.entries(let entries)) = plan else { return nil }
        return entries
    }

    /// Whether there is a segment that `removeSegments` could remove.
    package var hasOlderSegments: Bool { state.withLock { $0.segments.count > 1 } }

    /// Removes the segments whose entries all lie below `index`, oldest first; the newest segment always stays.
    ///
    /// Any thread may call it while the log is written. Dying in the middle leaves a log without gaps.
    /// - Returns: How many were removed.
    package func removeSegments(below index: UInt64) throws(LogError) -> Int {
        try removing.withLock { (_: inout Void) throws(LogError) in
            let directory = files.directory
            return try Log.removeSegments(below: index, in: directory.path, fileSystem: directory.fileSystem) {
                kept throws(LogError) in
                let start = try directory.cursor(firstIndex: kept, databaseID: files.databaseID).header.previous
                // Readers have to know before files are gone.
                state.withLock { state in
                    state.start = start
                    state.segments.removeAll { $0 < kept }
                    state.removals += 1
                }
            }
        }
    }

    // MARK: - For the writer

    /// A segment got its name.
    func began(segment firstIndex: UInt64) { state.withLock { $0.segments.append(firstIndex) } }

    /// Entries were written to the segments that began; they follow the last.
    func appended(_ entries: [LogEntry]) {
        guard let last = entries.last else { return }
        state.withLock { state in
            state.end = last.position.index
            state.recent.append(entries)
        }
    }

    /// Cuts the end of the log off: nothing behind `index` is read from the moment on at which `body` says that it begins.
    func cut<Result>(
        after index: UInt64, _ body: (_ begin: () -> Void) throws(LogError) -> Result
    ) throws(LogError) -> Result {
        try removing.withLock { (_: inout Void) throws(LogError) in
            try body {
                state.withLock { state in
                    state.end = min(state.end, index)
                    state.segments.removeAll { $0 > index }
                    state.recent.cut(after: index)
                    state.places = ReadPlaces()
                    state.cuts += 1
                }
            }
        }
    }
}

extension LogEntries.State {
    enum Plan {
        case known(LogEntries.Answer)
        case files(SegmentEntries.Request, cuts: Int, removals: Int)
    }

    func plan(from first: UInt64, through last: UInt64, maxBytes: Int) -> Plan {
        if first <= start.index { return .known(.begins(behind: start)) }
        let last = min(last, end)
        if first > last { return .known(.entries([])) }
        let inMemory = recent.first ?? .max
        if first >= inMemory {
            return .known(.entries(recent.entries(from: first, through: last, bytes: maxBytes)))
        }
        let segments = segments
        var start = segments.endIndex
        while start > 0, segments[start - 1] > first { start -= 1 }
        let from = max(start - 1, 0)
        let request = SegmentEntries.Request(
            first: first, last: min(last, inMemory - 1), maxBytes: maxBytes, segments: segments[from...],
            place: places.place(of: first, inSegment: segments[from]))
        return .files(request, cuts: cuts, removals: removals)
    }
}
