/// A finished table.
package struct Table: Hashable, Sendable {
    package var id: TableID
    package var properties: TableProperties
    /// The whole object.
    package var bytes: [UInt8]
}

/// Builds one table in memory from rows in strictly rising order.
///
/// The result is a function of the rows alone.
package struct TableWriter {
    /// What the rows so far add up to; `rawSize` counts finished blocks.
    package private(set) var properties = TableProperties()
    private var bytes = TableFormat.header
    private var blocks: [TableBlockEntry] = []
    private var block: [UInt8] = []
    private var lastNameInBlock: [UInt8] = []

    package init() {}

    /// Bytes of the rows so far before they are stored.
    package var rawSize: Int { Int(properties.rawSize) + block.count }

    /// Adds a row.
    /// - Throws: `.invalidArgument` when it is malformed or not above the last one.
    package mutating func add(_ row: TableRow) throws(CheckpointError) {
        guard row.isValid, properties.rowCount == 0 || properties.lastName.lexicographicallyPrecedes(row.name) else {
            throw CheckpointError(.invalidArgument, "row \(row.name.hex) is malformed or out of order")
        }
        TableBlock.append(row, after: lastNameInBlock, to: &block)
        lastNameInBlock = row.name
        properties.add(row)
        if block.count >= TableFormat.blockSize { endBlock() }
    }

    /// The table; nil without rows. The writer is empty afterwards.
    package mutating func finish() -> Table? {
        defer { self = TableWriter() }
        guard properties.rowCount > 0 else { return nil }
        endBlock()
        let indexOffset = UInt64(bytes.count)
        let (logical, physical, encoded) = (blocks.logicalIndex, blocks.physicalIndex, properties.encoded())
        let index = logical + physical + encoded
        let footer = TableFooter(
            indexOffset: indexOffset, logicalSize: UInt32(logical.count), physicalSize: UInt32(physical.count),
            propertiesSize: UInt32(encoded.count), checksum: CRC32C.checksum(index.span.bytes))
        return Table(
            id: TableID(logicalIndex: logical, properties: encoded), properties: properties,
            bytes: bytes + index + footer.encoded())
    }

    private mutating func endBlock() {
        guard !block.isEmpty else { return }
        let hash = SHA256.digest(of: block.span.bytes)
        blocks.append(
            TableBlockEntry(
                lastName: lastNameInBlock, rawSize: block.count, hash: hash, offset: UInt64(bytes.count),
                storedSize: block.count, codec: TableFormat.codecNone, checksum: CRC32C.checksum(block.span.bytes)))
        bytes += block
        properties.rawSize += UInt64(block.count)
        block.removeAll(keepingCapacity: true)
        lastNameInBlock = []
    }
}
