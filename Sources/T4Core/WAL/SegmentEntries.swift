import T4Protocols

/// Reads entries out of segments that are known to hold them.
struct SegmentEntries: Sendable {
    let directory: LogDirectory
    let databaseID: DatabaseID

    /// What to read.
    struct Request {
        var first: UInt64
        /// At or behind `first`, and in the log.
        var last: UInt64
        var maxBytes: Int
        /// First indexes of segments, the first of which holds `first`.
        var segments: ArraySlice<UInt64>
        /// Where `first` stands in that segment, if that is known.
        var place: SegmentCursor.Place?
    }

    /// The entries wanted, at least one, and where the one behind them stands.
    func read(_ request: Request) throws(LogError) -> ([LogEntry], ReadPlaces.Element) {
        var entries: [LogEntry] = []
        var left = request.maxBytes
        var end: (position: LogPosition, headerTerm: UInt64)?
        var place = request.place
        var next = request.segments
        while let segment = next.popFirst() {
            var cursor = try directory.cursor(firstIndex: segment, databaseID: databaseID)
            if let end { try LogDirectory.checkLink(cursor, after: end.position, term: end.headerTerm) }
            cursor.skip(to: place ?? cursor.place)
            place = nil
            let last = min(request.last, next.first.map { $0 - 1 } ?? .max)
            while cursor.tally.lastPosition.index < last {
                let before = cursor.place
                switch try cursor.next(withBody: before.last.index + 1 >= request.first) {
                case .entry(let entry):
                    guard entry.position.index >= request.first else { continue }
                    left -= LogFormat.frameSize(entry)
                    if left < 0, !entries.isEmpty { return (entries, ReadPlaces.Element(segment, before)) }
                    entries.append(entry)
                case .footer: throw cursor.damaged("the segment ends before entry \(last)")
                case .bad(let what): throw cursor.damaged("\(what), but the log has entries up to \(last)")
                }
            }
            if last == request.last { return (entries, ReadPlaces.Element(segment, cursor.place)) }
            end = (cursor.tally.lastPosition, cursor.header.term)
        }
        throw LogError(.corrupted, "no segment holds entry \(request.last)", path: directory.path)
    }
}

/// Where reads ended lately: a follower that is read for goes on there, and nothing before it is read again.
struct ReadPlaces: Sendable {
    /// A place, and the segment in which it is.
    struct Element: Sendable {
        var segment: UInt64
        var place: SegmentCursor.Place

        init(_ segment: UInt64, _ place: SegmentCursor.Place) { (self.segment, self.place) = (segment, place) }
    }

    /// More than there are followers.
    private static let countMax = 16
    private var elements: [Element] = []

    /// Remembers a place; the oldest one may be forgotten for it.
    mutating func add(_ element: Element) {
        elements.removeAll { $0.place.last == element.place.last }
        if elements.count == Self.countMax { elements.removeFirst() }
        elements.append(element)
    }

    /// The place of the entry with that index; nil if it is not known.
    func place(of index: UInt64, inSegment segment: UInt64) -> SegmentCursor.Place? {
        elements.last { $0.segment == segment && $0.place.last.index + 1 == index }?.place
    }
}
