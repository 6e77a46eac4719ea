/// Reads a table wherever it lies, and believes no byte of it before its hash or checksum was compared.
package struct TableReader {
    /// Reads bytes of the object.
    package typealias Fetch = (Range<UInt64>) throws -> [UInt8]

    package let id: TableID
    package let properties: TableProperties
    private let name: String
    private let fetch: Fetch
    private let blocks: [TableBlockEntry]
    /// Read along with the footer in one request; enough for the indexes of most tables.
    private static let tailSize = 64 << 10

    /// Opens a table.
    /// - Parameters:
    ///   - name: Of the object, for errors.
    ///   - size: Of the object in bytes.
    ///   - id: The table must have; nil to take any.
    /// - Throws: `.corrupted` and `.laterVersion` with the name; what `fetch` throws.
    package init(name: String, size: UInt64, id expected: TableID?, fetch: @escaping Fetch) throws {
        func corrupted(_ what: String) -> CheckpointError { CheckpointError(.corrupted, "\(what) of \(name)") }
        guard size >= UInt64(TableFormat.headerSize + TableFormat.footerSize) else {
            throw CheckpointError(.corrupted, "\(name) is not a table: it has \(size) bytes")
        }
        let tailStart = size - min(size, UInt64(TableReader.tailSize))
        var tail = try TableReader.read(tailStart..<size, of: name, fetch)
        let footer = try TableFooter(Array(tail.suffix(TableFormat.footerSize)), size: size, name: name)
        if footer.indexOffset < tailStart {
            tail = try TableReader.read(footer.indexOffset..<tailStart, of: name, fetch) + tail
        }
        let index = Array(tail.dropLast(TableFormat.footerSize).suffix(footer.indexSize))
        guard CRC32C.checksum(index.span.bytes) == footer.checksum else {
            throw corrupted("the checksum of the index does not match that in the footer")
        }
        let physicalEnd = Int(footer.logicalSize) + Int(footer.physicalSize)
        let logical = Array(index[..<Int(footer.logicalSize)])
        let encoded = Array(index[physicalEnd...])
        guard let properties = TableProperties(encoded),
            let blocks = [TableBlockEntry](
                logical: logical, physical: Array(index[Int(footer.logicalSize)..<physicalEnd]),
                end: footer.indexOffset)
        else { throw corrupted("the index or the properties contradict the rest") }
        id = TableID(logicalIndex: logical, properties: encoded)
        if let expected, id != expected {
            throw CheckpointError(.corrupted, "\(name) has the content of table \(id), not of \(expected)")
        }
        self.name = name
        self.fetch = fetch
        self.properties = properties
        self.blocks = blocks
    }

    /// Opens a table that is in memory.
    package init(name: String, bytes: [UInt8], id: TableID?) throws {
        try self.init(name: name, size: UInt64(bytes.count), id: id) { range in
            Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)])
        }
        // The header is part of the identity, but not of what was read for it.
        guard bytes.starts(with: TableFormat.header) else {
            throw CheckpointError(.corrupted, "the header of \(name) is not that of a table")
        }
    }

    /// All rows.
    package func rows() -> Rows { Rows(reader: self, next: 0, from: []) }

    /// The rows from `name` on; blocks before it are not read.
    package func rows(from name: [UInt8]) -> Rows {
        var (low, high) = (0, blocks.count)
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle].lastName.lexicographicallyPrecedes(name) { low = middle + 1 } else { high = middle }
        }
        return Rows(reader: self, next: low, from: name)
    }

    /// Rows of a table in order, read block by block.
    package struct Rows: TableRows {
        private let reader: TableReader
        private var nextBlock: Int
        private let start: [UInt8]
        private var rows: ArraySlice<TableRow> = []

        fileprivate init(reader: TableReader, next: Int, from start: [UInt8]) {
            self.reader = reader
            nextBlock = next
            self.start = start
        }

        package mutating func next() throws -> TableRow? {
            while true {
                if let row = rows.popFirst() {
                    if row.name.lexicographicallyPrecedes(start) { continue }
                    return row
                }
                guard nextBlock < reader.blocks.count else { return nil }
                rows = try reader.block(nextBlock)[...]
                nextBlock += 1
            }
        }
    }

    private func block(_ number: Int) throws -> [TableRow] {
        let entry = blocks[number]
        func corrupted(_ what: String) -> CheckpointError {
            CheckpointError(.corrupted, "\(what) of block \(number) at offset \(entry.offset) of \(name)")
        }
        let stored = try TableReader.read(entry.offset..<entry.offset + UInt64(entry.storedSize), of: name, fetch)
        guard CRC32C.checksum(stored.span.bytes) == entry.checksum else { throw corrupted("wrong checksum") }
        guard entry.codec == TableFormat.codecNone else {
            throw CheckpointError.laterVersion(
                name, has: "a block, \(number), stored with codec \(entry.codec)", known: "\(TableFormat.codecNone)")
        }
        guard stored.count == entry.rawSize, SHA256.digest(of: stored.span.bytes) == entry.hash else {
            throw corrupted("wrong SHA-256")
        }
        guard let rows = TableBlock.rows(stored), rows.last?.name == entry.lastName else {
            throw corrupted("malformed rows")
        }
        return rows
    }

    private static func read(_ range: Range<UInt64>, of name: String, _ fetch: Fetch) throws -> [UInt8] {
        let bytes = try fetch(range)
        guard bytes.count == range.count else {
            throw CheckpointError(
                .corrupted, "\(name) gave \(bytes.count) bytes at offset \(range.lowerBound), not \(range.count)")
        }
        return bytes
    }
}
