import Glibc
import T4Core

/// Brings rows into the order of their names, in bounded memory.
///
/// Holds up to `memoryBytes` of rows; what is more goes to a temporary file in sorted runs, which are merged with
/// `RowFile.chunkBytes` of memory, or one row where that is larger, for each.
struct RowSorter: ~Copyable {
    private struct Entry {
        var start: Int
        var nameBytes: Int32
        var valueBytes: Int32
    }

    private let directory: String
    private let memoryBytes: Int
    private var entries: [Entry] = []
    /// Names and values of the entries.
    private var bytes: [UInt8] = []
    private var spilled: RowFile?
    private var runs: [RowFile.Reader] = []

    /// Sorts with temporary files in `directory`.
    init(directory: String, memoryBytes: Int) {
        self.directory = directory
        self.memoryBytes = memoryBytes
    }

    /// Adds a row of less than 2 GiB.
    mutating func add(name: RawSpan, value: RawSpan) throws {
        entries.append(
            Entry(start: bytes.count, nameBytes: Int32(name.byteCount), valueBytes: Int32(value.byteCount)))
        name.withUnsafeBytes { bytes.append(contentsOf: $0) }
        value.withUnsafeBytes { bytes.append(contentsOf: $0) }
        if entries.count * MemoryLayout<Entry>.stride + bytes.count >= memoryBytes { try spill() }
    }

    /// All rows in order; those with the same name in any.
    consuming func sorted() throws -> Rows {
        // What fits into memory needs no file.
        if runs.isEmpty {
            sortEntries()
            return Rows(memory: (bytes, entries.map { ($0.start, Int($0.nameBytes), Int($0.valueBytes)) }))
        }
        try spill()
        guard let file = spilled.take() else { preconditionFailure("runs without a file") }
        return try Rows(file, runs)
    }

    private mutating func sortEntries() {
        let names = bytes
        var sorted = entries
        entries = []
        names.withUnsafeBytes { raw in
            sorted.sort { left, right in
                let (first, second) = (Int(left.nameBytes), Int(right.nameBytes))
                guard let base = raw.baseAddress else { return first < second }
                let order = memcmp(base + left.start, base + right.start, min(first, second))
                return order == 0 ? first < second : order < 0
            }
        }
        entries = sorted
    }

    /// Writes what is in memory as one more run.
    private mutating func spill() throws {
        guard !entries.isEmpty else { return }
        var file = if let file = spilled.take() { file } else { try RowFile(in: directory) }
        let start = file.byteCount
        sortEntries()
        let all = bytes
        let rows = all.span.bytes
        for entry in entries {
            let middle = entry.start + Int(entry.nameBytes)
            try file.append(
                name: rows.extracting(entry.start..<middle),
                value: rows.extracting(middle..<middle + Int(entry.valueBytes)))
        }
        try file.flush()
        runs.append(RowFile.Reader(start..<file.byteCount))
        spilled = consume file
        entries.removeAll(keepingCapacity: true)
        bytes.removeAll(keepingCapacity: true)
    }

    /// The sorted rows, one after the other.
    struct Rows: ~Copyable {
        private var memory: (bytes: [UInt8], rows: [(start: Int, nameBytes: Int, valueBytes: Int)])?
        private var position = 0
        private var file: RowFile?
        private var runs: [RowFile.Reader] = []

        fileprivate init(memory: (bytes: [UInt8], rows: [(start: Int, nameBytes: Int, valueBytes: Int)])) {
            self.memory = memory
        }

        fileprivate init(_ file: consuming RowFile, _ runs: [RowFile.Reader]) throws {
            self.runs = runs
            for index in runs.indices { try self.runs[index].advance(in: file) }
            self.file = consume file
        }

        /// The next row; nil at the end.
        mutating func next() throws -> RowFile.Row? {
            if let memory {
                guard position < memory.rows.count else { return nil }
                let row = memory.rows[position]
                position += 1
                let middle = row.start + row.nameBytes
                return RowFile.Row(
                    name: Array(memory.bytes[row.start..<middle]),
                    value: Array(memory.bytes[middle..<middle + row.valueBytes]))
            }
            // Few runs: each stands for the sorter's whole memory.
            guard let first = runs.indices.min(by: { runs[$0].isBefore(runs[$1]) }), let row = runs[first].head,
                let open = file.take()
            else { return nil }
            try runs[first].advance(in: open)
            file = consume open
            return row
        }
    }
}

/// Rows in a temporary file, one behind the other: bytes of the name (4), of the value (4), name, value.
struct RowFile: ~Copyable {
    struct Row: Hashable {
        var name: [UInt8]
        var value: [UInt8]
    }

    /// Read at a time, at least.
    static let chunkBytes = 64 * 1024
    private static let headerBytes = 8

    private var file: TemporaryFile

    init(in directory: String) throws { file = try TemporaryFile(in: directory) }

    var byteCount: Int { file.byteCount }

    mutating func append(name: RawSpan, value: RawSpan) throws {
        var header: [UInt8] = []
        header.append(bigEndian: UInt32(name.byteCount))
        header.append(bigEndian: UInt32(value.byteCount))
        try file.append(header.span.bytes)
        try file.append(name)
        try file.append(value)
    }

    /// Makes what was appended readable.
    mutating func flush() throws { try file.flush() }

    /// Reads a part of the file that holds whole rows, from its beginning.
    struct Reader {
        /// What has not been read.
        private var rest: Range<Int>
        private var chunk: [UInt8] = []
        private var offset = 0
        /// The row that `advance` came to; nil before the first and behind the last.
        private(set) var head: Row?

        init(_ rest: Range<Int>) { self.rest = rest }

        /// Ends come last.
        func isBefore(_ other: Reader) -> Bool {
            guard let head else { return false }
            guard let otherHead = other.head else { return true }
            return head.name.precedes(otherHead.name.span.bytes)
        }

        /// Goes to the next row.
        mutating func advance(in file: borrowing RowFile) throws {
            guard offset < chunk.count || !rest.isEmpty else {
                head = nil
                return
            }
            try fill(RowFile.headerBytes, file)
            let (nameBytes, valueBytes) = (Int(size(at: offset)), Int(size(at: offset + 4)))
            try fill(RowFile.headerBytes + nameBytes + valueBytes, file)
            let start = offset + RowFile.headerBytes
            offset = start + nameBytes + valueBytes
            head = Row(
                name: Array(chunk[start..<start + nameBytes]), value: Array(chunk[start + nameBytes..<offset]))
        }

        private func size(at offset: Int) -> UInt32 { chunk.span.bytes.bigEndian(at: offset) }

        /// Has at least `count` bytes behind `offset` in memory.
        private mutating func fill(_ count: Int, _ file: borrowing RowFile) throws {
            guard chunk.count - offset < count else { return }
            let wanted = max(RowFile.chunkBytes, count - (chunk.count - offset))
            let more = try file.file.read(min(wanted, rest.count), at: rest.lowerBound)
            chunk = Array(chunk[offset...]) + more
            offset = 0
            rest = rest.lowerBound + more.count..<rest.upperBound
        }
    }
}
