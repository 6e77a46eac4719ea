import T4Protocols

/// A segment of the log as it lies on disk.
package struct LogSegment: Hashable, Sendable {
    /// The segment's file.
    package var path: String
    /// Database, term and predecessor.
    package var header: SegmentHeader
    /// The footer of a sealed segment; nil while it is open.
    package var footer: SegmentFooter?

    /// Bytes of a sealed segment, footer included: what is uploaded. The file may be longer, by zeros.
    package var sealedSize: UInt64? { footer.map { $0.offset + UInt64(SegmentFooter.byteCount) } }
}

/// Names and headers of the segments in one directory; reads only.
struct LogDirectory {
    var path: String
    var fileSystem: any LogFileSystem

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func segmentPath(firstIndex: UInt64) -> String { file(LogFormat.segmentName(firstIndex: firstIndex)) }

    /// First indexes of all segments, rising.
    func firstIndexes() throws(LogError) -> [UInt64] {
        var indexes: [UInt64] = []
        for name in try fileSystem.list(path) where name.hasSuffix(LogFormat.nameSuffix) {
            guard let index = LogFormat.firstIndex(ofName: name) else {
                throw LogError(.corrupted, "not the name of a log segment; move the file away", path: file(name))
            }
            indexes.append(index)
        }
        return indexes.sorted()
    }

    /// Opens the segment of that first index and checks that its header belongs to this log.
    func cursor(firstIndex: UInt64, databaseID: DatabaseID?) throws(LogError) -> SegmentCursor {
        let path = segmentPath(firstIndex: firstIndex)
        let cursor = try SegmentCursor(try fileSystem.open(path), path: path)
        if let databaseID, cursor.header.databaseID != databaseID {
            throw LogError(
                .wrongDatabase,
                "a segment of database \(cursor.header.databaseID), not of \(databaseID); wrong data directory?",
                path: path, offset: 16)
        }
        guard cursor.header.firstIndex == firstIndex else {
            throw .damaged("the header says first index \(cursor.header.firstIndex)", path: path, offset: 40)
        }
        return cursor
    }

    /// The footer of a segment that has a successor, without reading its frames where it lies at the end of the file.
    func footer(of cursor: consuming SegmentCursor) throws(LogError) -> SegmentFooter {
        let file = try fileSystem.open(cursor.path)
        let size = try file.size()
        let footerSize = UInt64(SegmentFooter.byteCount)
        if size >= UInt64(SegmentHeader.byteCount) + footerSize {
            let bytes = try file.read(SegmentFooter.byteCount, at: size - footerSize)
            let seed = cursor.header.checksumSeed
            if let footer = SegmentFooter(bytes, offset: size - footerSize, seed: seed) { return footer }
        }
        // The node died between sealing and cutting off the zeros behind, or the segment is damaged: read it to tell.
        while true {
            switch try cursor.next(withBody: false) {
            case .entry: continue
            case .footer(let footer): return footer
            case .bad(let what): throw cursor.damaged("\(what), but a later segment follows")
            }
        }
    }

    /// Checks that `next` continues where the log ended: no gap, same predecessor, no falling term.
    static func checkLink(_ next: borrowing SegmentCursor, after end: LogPosition, term: UInt64) throws(LogError) {
        guard next.header.previous == end else {
            throw .damaged(
                "the segment continues \(next.header.previous), the one before it ends with \(end)", path: next.path,
                offset: 48)
        }
        guard next.header.term >= term else {
            throw .damaged(
                "the segment has term \(next.header.term), the one before it \(term)", path: next.path, offset: 32)
        }
    }
}

/// What a visitor wants after an entry.
package enum LogStep: Sendable {
    /// The next entry.
    case next
    /// No more.
    case stop
}
