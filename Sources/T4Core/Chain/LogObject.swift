package import T4Protocols

/// A sealed log segment as it lies in the object store.
package struct LogObject: Sendable {
    package let header: SegmentHeader
    package let footer: SegmentFooter
    package let entries: [LogEntry]

    /// The last entry.
    package var end: LogPosition { footer.tally.lastPosition }

    /// Reads and checks an object.
    /// - Throws: `LogError` with the object's name and the offset: `.corrupted`, `.wrongDatabase`, `.unsupported`.
    package init(_ bytes: [UInt8], key: ObjectKey, databaseID: DatabaseID) throws(LogError) {
        let path = key.rawValue
        var cursor = try SegmentCursor(BytesFile(bytes), path: path)
        guard cursor.header.databaseID == databaseID else {
            throw LogError(
                .wrongDatabase, "a segment of database \(cursor.header.databaseID), not of \(databaseID)", path: path)
        }
        guard StoreLayout.log(firstIndex: cursor.header.firstIndex) == key else {
            throw LogError(.corrupted, "the header says first index \(cursor.header.firstIndex)", path: path)
        }
        header = cursor.header
        var entries: [LogEntry] = []
        while true {
            switch try cursor.next() {
            case .entry(let entry): entries.append(entry)
            case .footer(let footer):
                guard footer.offset + UInt64(SegmentFooter.byteCount) == UInt64(bytes.count), !entries.isEmpty else {
                    throw LogError(.corrupted, "the object does not end with its footer", path: path)
                }
                self.footer = footer
                self.entries = entries
                return
            case .bad(let what): throw LogError(.corrupted, what, path: path, offset: cursor.offset)
            }
        }
    }

    /// The object of consecutive entries, at least one.
    /// - Parameters:
    ///   - term: Of the node that uploads it.
    ///   - previous: The entry before the first one.
    package static func encode(
        _ entries: [LogEntry], databaseID: DatabaseID, term: UInt64, previous: LogPosition
    ) -> [UInt8] {
        precondition(entries.first?.position.index == previous.index + 1)
        let header = SegmentHeader(databaseID: databaseID, term: term, previous: previous)
        let seed = header.checksumSeed
        var bytes = header.encoded()
        bytes.reserveCapacity(entries.reduce(bytes.count + SegmentFooter.byteCount) { $0 + LogFormat.frameSize($1) })
        var tally = SegmentTally(after: previous)
        for entry in entries {
            bytes.appendFrame(entry, isFirstOfBatch: tally.entryCount == 0, seed: seed)
            tally.add(position: entry.position, time: entry.time, revision: entry.revision)
        }
        let hash = SHA256.digest(of: bytes.span.bytes)
        let footer = SegmentFooter(tally: tally, offset: UInt64(bytes.count), hash: hash)
        return bytes + footer.encoded(seed: seed)
    }
}

/// Bytes in memory as a file that can only be read.
private final class BytesFile: LogFile {
    private let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func size() -> UInt64 { UInt64(bytes.count) }

    func read(_ count: Int, at offset: UInt64) -> [UInt8] {
        let start = min(Int(clamping: offset), bytes.count)
        return Array(bytes[start..<min(start + count, bytes.count)])
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(LogError) { throw BytesFile.refusal }
    func syncData() throws(LogError) { throw BytesFile.refusal }
    func truncate(to size: UInt64) throws(LogError) { throw BytesFile.refusal }

    private static var refusal: LogError { LogError(.invalidArgument, "an object in memory cannot be changed") }
}
