import T4Protocols

/// Finds the first object of each term in the part of the log that is to go.
///
/// Terms in the headers never fall along the chain, so where two objects of it have the same term nothing lies between
/// them: that leaves few to read. Whether an object belongs to the chain its name does not say: one that a deposed leader
/// left behind lies inside the range of another one. So only objects into which no other reaches serve as such a point,
/// and at each end of a term the chain is followed object by object.
struct LogFences {
    private struct Header {
        var term: UInt64
        var previous: LogPosition
        var checksumSeed: UInt32
    }

    /// An object is not what the listing said: it was joined with others meanwhile.
    struct Changed: Error {
        var key: ObjectKey
    }

    private let store: BlockingStore
    private let databaseID: DatabaseID
    private let floor: CollectionFloor
    /// Those behind the floor, in order.
    private let objects: [LogListing.Element]
    /// The last entry that the objects up to each may hold, by their sizes.
    private let reach: [UInt64]
    private var headers: [Int: Header] = [:]
    private var ends: [Int: LogPosition] = [:]
    /// Of the objects, how many begin at or before the cut.
    private var count = 0
    private var found: [UInt64] = []
    private var lastTerm: UInt64 = 0

    /// Fewer objects than this are followed one by one.
    private static let walkCount = 16
    /// Objects that are tried as a point, and those that may reach into each, at most.
    private static let pointsMax = 8
    private static let reachingMax = 64

    /// - Parameters:
    ///   - floor: Where the last collection left the log.
    ///   - objects: All objects behind it, at least up to where the log will be cut.
    init(
        _ store: BlockingStore, databaseID: DatabaseID, floor: CollectionFloor,
        objects: [LogListing.Element]
    ) {
        self.store = store
        self.databaseID = databaseID
        self.floor = floor
        self.objects = objects
        var last: UInt64 = 0
        reach = objects.map { object in
            let ends = UInt64(SegmentHeader.byteCount + SegmentFooter.byteCount)
            let entries =
                (object.size - min(object.size, ends)) / UInt64(LogFormat.frameHeaderSize + LogFormat.payloadSizeMin)
            last = max(last, object.first + max(entries, 1) - 1)
            return last
        }
    }

    /// The floor of the log when it is cut behind the entry `index`, where an object of the chain ends.
    /// - Throws: `Changed` where another listing may help; when the log has a gap, or no object ends there; of objects that
    ///   cannot be read.
    mutating func floor(at index: UInt64) throws -> CollectionFloor {
        var result = floor
        count = objects.prefix { $0.first <= index }.count
        guard count > 0 else { return result }
        if floor.logIndex > 0, objects[0].first != floor.logIndex + 1 {
            throw gap(after: floor.logIndex)
        }
        found = []
        let term = try header(0).term
        if floor.logIndex == 0 || term > floor.logTerm { found.append(objects[0].first) }
        try explore(0, count, cut: index)
        result.logIndex = index
        result.logTerm = lastTerm
        result.fences += found
        return result
    }

    /// - Parameters:
    ///   - low: An object of the chain, as is `high` unless it is `count`.
    private mutating func explore(_ low: Int, _ high: Int, cut: UInt64) throws {
        if high < count, try header(low).term == header(high).term { return }
        if high - low > LogFences.walkCount {
            let middle = (low + high) / 2
            for point in middle..<min(high, middle + LogFences.pointsMax) where try isInChain(point) {
                try explore(low, point, cut: cut)
                try explore(point, high, cut: cut)
                return
            }
        }
        try walk(low, high, cut: cut)
    }

    /// Whether no other object reaches into this one, as far as that can be told cheaply.
    private mutating func isInChain(_ position: Int) throws -> Bool {
        let first = objects[position].first
        var tried = 0
        for other in (0..<position).reversed() {
            guard reach[other] >= first else { return true }
            tried += 1
            if tried > LogFences.reachingMax { return false }
            if try end(other).index >= first { return false }
        }
        return true
    }

    /// Follows the chain from one object of it to another one, or to the cut.
    private mutating func walk(_ low: Int, _ high: Int, cut: UInt64) throws {
        var position = low
        while position != high {
            let (end, term) = (try end(position), try header(position).term)
            if end.index >= cut {
                guard high == count, end.index == cut else {
                    throw CheckpointError(
                        .corrupted,
                        "\(objects[position].key) ends with entry \(end.index), across the end of a checkpoint, \(cut)")
                }
                lastTerm = term
                return
            }
            let following = objects[(position + 1)..<min(high + 1, count)]
            guard let next = following.firstIndex(where: { $0.first > end.index }),
                objects[next].first == end.index + 1
            else { throw gap(after: end.index) }
            let header = try header(next)
            guard header.previous == end, header.term >= term else {
                throw CheckpointError(.corrupted, "\(objects[next].key) does not continue \(objects[position].key)")
            }
            if header.term > term { found.append(objects[next].first) }
            position = next
        }
    }

    private func gap(after index: UInt64) -> CheckpointError {
        CheckpointError(.corrupted, "\(StoreLayout.log(firstIndex: index + 1)) is missing from the log in the store")
    }

    private mutating func header(_ position: Int) throws -> Header {
        if let header = headers[position] { return header }
        let key = objects[position].key
        let bytes = try read(position, 0..<UInt64(SegmentHeader.byteCount))
        let read = try SegmentHeader(bytes, path: key.rawValue)
        guard read.databaseID == databaseID, read.firstIndex == objects[position].first else {
            throw CheckpointError(.corrupted, "the header of \(key) is that of another object")
        }
        let header = Header(term: read.term, previous: read.previous, checksumSeed: read.checksumSeed)
        headers[position] = header
        return header
    }

    private func read(_ position: Int, _ bytes: Range<UInt64>) throws -> [UInt8] {
        let key = objects[position].key
        do throws(ObjectStoreError) {
            let stored = try store.get(key, bytes: bytes)
            if stored.info.size == objects[position].size { return stored.bytes }
        } catch {
            guard error.code == .notFound else { throw error }
        }
        throw Changed(key: key)
    }

    /// The last entry of an object.
    private mutating func end(_ position: Int) throws -> LogPosition {
        if let end = ends[position] { return end }
        let (key, size) = (objects[position].key, objects[position].size)
        let seed = try header(position).checksumSeed
        let offset = size - min(size, UInt64(SegmentFooter.byteCount))
        guard let footer = SegmentFooter(try read(position, offset..<size), offset: offset, seed: seed)
        else { throw CheckpointError(.corrupted, "\(key) does not end with its footer") }
        ends[position] = footer.tally.lastPosition
        return footer.tally.lastPosition
    }
}
