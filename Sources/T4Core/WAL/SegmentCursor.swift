import T4Protocols

/// Reads one segment frame by frame and checks everything the format promises.
///
/// Damage of a single frame is an answer (`.bad`), as only the caller knows whether the log may end here; a frame that
/// is intact but does not belong here is an error.
struct SegmentCursor: ~Copyable {
    enum Item {
        /// An intact entry; without its body unless asked for.
        case entry(LogEntry)
        /// The footer; it agrees with everything read.
        case footer(SegmentFooter)
        /// No intact frame starts at `offset`.
        case bad(String)
    }

    /// Where a read stands.
    struct Place: Sendable {
        /// Offset of the next frame.
        var offset: UInt64
        /// The entry before it, and its time.
        var last: LogPosition
        var lastTime: UInt64
    }

    let path: String
    let header: SegmentHeader
    /// Where the next frame starts; the end of what was read and checked so far.
    private(set) var offset = UInt64(SegmentHeader.byteCount)
    /// What the entries so far add up to.
    private(set) var tally: SegmentTally
    /// Over everything before `offset`, the footer excepted; not kept up after `skip`.
    private(set) var hash = SHA256()
    private var isHashing = true

    private let file: any LogFile
    private let seed: UInt32
    private var window: [UInt8] = []
    private var windowStart: UInt64 = 0
    private static let windowSize = 256 << 10

    /// Opens a segment and checks its header.
    init(_ file: any LogFile, path: String) throws(LogError) {
        let bytes = try file.read(SegmentHeader.byteCount, at: 0)
        header = try SegmentHeader(bytes, path: path)
        seed = header.checksumSeed
        tally = SegmentTally(after: header.previous)
        hash.update(bytes.span.bytes)
        self.file = file
        self.path = path
    }

    /// Takes one step; after `.bad` and `.footer` the cursor stays where it is.
    mutating func next(withBody: Bool = true) throws(LogError) -> Item {
        guard try load(LogFormat.frameHeaderSize) else { return .bad("the file ends") }
        let word: UInt32 = window.littleEndian(at: Int(offset - windowStart))
        if word == 0 { return .bad("no entry") }
        if word == LogFormat.footerMark { return try footer() }
        guard let payloadSize = FrameHeader.payloadSize(ofLengthWord: word) else {
            return .bad("impossible length \(word & ~LogFormat.firstOfBatch)")
        }
        guard try load(LogFormat.frameHeaderSize + payloadSize) else { return .bad("the file ends inside the entry") }
        let start = Int(offset - windowStart)
        guard let frame = FrameHeader(window, at: start, seed: seed) else {
            return .bad("the checksum of the entry does not match")
        }
        try check(frame)
        if isHashing { hash.update(window.span.bytes.extracting(start..<start + frame.size)) }
        tally.add(position: frame.position, time: frame.time, revision: frame.revision)
        offset += UInt64(frame.size)
        let bodyStart = start + LogFormat.frameHeaderSize + LogFormat.payloadSizeMin
        let body = withBody ? Array(window[bodyStart..<start + frame.size]) : []
        return .entry(
            LogEntry(
                position: frame.position, time: frame.time, revision: frame.revision, kind: frame.kind, body: body))
    }

    /// Where this cursor stands.
    var place: Place { Place(offset: offset, last: tally.lastPosition, lastTime: tally.lastTime) }

    /// Goes to a place where a cursor on this segment stood. From then on entries are checked as ever, but neither `hash` nor
    /// the whole tally is known, so there is no `.footer` any more: it is `.bad`.
    mutating func skip(to place: Place) {
        offset = place.offset
        (tally.lastPosition, tally.lastTime) = (place.last, place.lastTime)
        isHashing = false
    }

    /// Forgets what was read ahead, for files that another process still writes.
    mutating func refresh() { window = [] }

    /// After `.bad`: where a frame or footer lies behind that can only be there if everything before it was synced.
    func markBehind() throws(LogError) -> UInt64? {
        try SyncMark(seed: seed, after: tally.lastPosition).find(in: file, from: offset + 1)
    }

    /// The error for damage at the place where the cursor stands.
    func damaged(_ what: String) -> LogError { .damaged(what, path: path, offset: offset) }

    private func check(_ frame: FrameHeader) throws(LogError) {
        let last = tally.lastPosition
        guard frame.position.index == last.index + 1 else {
            throw damaged("entry \(frame.position) where index \(last.index + 1) belongs")
        }
        // Readers count one further than the last entry.
        guard frame.position.index < .max else {
            throw damaged("entry \(frame.position) has the index that none may have")
        }
        guard frame.position.term >= last.term else {
            throw damaged("entry \(frame.position) has a lower term than the one before, \(last)")
        }
        guard frame.time >= tally.lastTime else {
            throw damaged("entry \(frame.position) has an earlier time than the one before")
        }
    }

    private mutating func footer() throws(LogError) -> Item {
        guard isHashing else { return .bad("the segment ends") }
        guard try load(SegmentFooter.byteCount) else { return .bad("the file ends inside the footer") }
        let start = Int(offset - windowStart)
        let bytes = Array(window[start..<start + SegmentFooter.byteCount])
        guard let footer = SegmentFooter(bytes, offset: offset, seed: seed) else {
            return .bad("the checksum of the footer does not match")
        }
        guard footer.tally == tally else { throw damaged("the footer does not agree with the entries") }
        guard footer.hash == hash.digest() else {
            throw damaged("the SHA-256 in the footer does not match the segment")
        }
        return .footer(footer)
    }

    /// Brings the next `count` bytes into the window; false if the file ends before.
    private mutating func load(_ count: Int) throws(LogError) -> Bool {
        let available = Int64(windowStart) + Int64(window.count) - Int64(offset)
        if offset >= windowStart && available >= Int64(count) { return true }
        // Lengths come from the file: believe them only as far as the file reaches.
        guard try file.size() >= offset + UInt64(count) else { return false }
        window = try file.read(max(count, Self.windowSize), at: offset)
        windowStart = offset
        return window.count >= count
    }
}
