import T4Core

/// Brings keys into the order in which they were written, in bounded memory.
///
/// Holds up to `memoryBytes` of keys and their places; what is more goes to a temporary file in sorted runs, which are
/// merged with `Run.chunkBytes` of memory for each.
struct ChangeSorter: ~Copyable {
    /// Where a change stands among all.
    struct Place: Comparable {
        var revision: Revision
        var sub: UInt32

        static func < (left: Place, right: Place) -> Bool {
            (left.revision, left.sub) < (right.revision, right.sub)
        }
    }

    private struct Entry {
        var place: Place
        var key: Range<Int>
    }

    private let directory: String
    private let memoryBytes: Int
    private var entries: [Entry] = []
    private var keys: [UInt8] = []
    private var spilled: TemporaryFile?
    private var runs: [Run] = []

    /// Sorts with temporary files in `directory`.
    init(directory: String, memoryBytes: Int = 16 << 20) {
        self.directory = directory
        self.memoryBytes = memoryBytes
    }

    /// Adds a key; no two may have the same place.
    mutating func add(_ key: [UInt8], at place: Place) throws {
        entries.append(Entry(place: place, key: keys.count..<keys.count + key.count))
        keys.append(contentsOf: key)
        if entries.count * MemoryLayout<Entry>.stride + keys.count >= memoryBytes { try spill() }
    }

    /// Visits all keys, those that were written first at the front.
    consuming func forEach(_ visit: (Place, [UInt8]) throws -> Void) throws {
        guard !runs.isEmpty else {
            entries.sort { $0.place < $1.place }
            for entry in entries { try visit(entry.place, Array(keys[entry.key])) }
            return
        }
        try spill()
        guard let file = spilled.take() else { preconditionFailure("runs without a file") }
        for index in runs.indices { try runs[index].advance(in: file) }
        // Few runs: each stands for `memoryBytes` of keys.
        while let first = runs.indices.min(by: { runs[$0].isBefore(runs[$1]) }), let (place, key) = runs[first].head {
            try visit(place, key)
            try runs[first].advance(in: file)
        }
    }

    /// Writes what is in memory as one more run.
    private mutating func spill() throws {
        var file = if let file = spilled.take() { file } else { try TemporaryFile(in: directory) }
        let start = file.byteCount
        entries.sort { $0.place < $1.place }
        var row: [UInt8] = []
        for entry in entries {
            row.removeAll(keepingCapacity: true)
            row.append(bigEndian: entry.place.revision.rawValue)
            row.append(bigEndian: entry.place.sub)
            row.append(bigEndian: UInt32(entry.key.count))
            row.append(contentsOf: keys[entry.key])
            try file.append(row.span.bytes)
        }
        try file.flush()
        runs.append(Run(rest: start..<file.byteCount))
        spilled = consume file
        entries.removeAll(keepingCapacity: true)
        keys.removeAll(keepingCapacity: true)
    }
}

/// A sorted part of the temporary file, read from its beginning.
private struct Run {
    /// More than the longest row.
    private static let chunkBytes = Keyspace.userKeyBytesMax * 2
    private static let headerBytes = 16

    /// What has not been read.
    var rest: Range<Int>
    private var chunk: [UInt8] = []
    private var offset = 0
    /// The first row that was not visited; nil at the end.
    private(set) var head: (place: ChangeSorter.Place, key: [UInt8])?

    init(rest: Range<Int>) { self.rest = rest }

    /// Ends come last.
    func isBefore(_ other: Run) -> Bool {
        guard let head else { return false }
        guard let otherHead = other.head else { return true }
        return head.place < otherHead.place
    }

    /// Goes to the next row.
    mutating func advance(in file: borrowing TemporaryFile) throws {
        if !rest.isEmpty, chunk.count - offset < Run.headerBytes + Keyspace.userKeyBytesMax {
            let more = try file.read(min(Run.chunkBytes, rest.count), at: rest.lowerBound)
            chunk = Array(chunk[offset...] + more)
            offset = 0
            rest = rest.lowerBound + more.count..<rest.upperBound
        }
        guard offset < chunk.count else {
            head = nil
            return
        }
        let revision: Int64 = chunk.span.bytes.bigEndian(at: offset)
        let sub: UInt32 = chunk.span.bytes.bigEndian(at: offset + 8)
        let keyBytes: UInt32 = chunk.span.bytes.bigEndian(at: offset + 12)
        let start = offset + Run.headerBytes
        offset = start + Int(keyBytes)
        head = (ChangeSorter.Place(revision: Revision(revision), sub: sub), Array(chunk[start..<offset]))
    }
}
