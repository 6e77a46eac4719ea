/// A block: rows one after another, each name without the bytes it shares with the one before.
///
/// Row: shared bytes, own bytes, value bytes * 2 + 1 for a removal (three LEB128 numbers), own bytes of the name, value.
enum TableBlock {
    /// Adds a row behind the one named `previous`; empty for the first of a block.
    static func append(_ row: TableRow, after previous: [UInt8], to bytes: inout [UInt8]) {
        let limit = min(previous.count, row.name.count)
        var shared = 0
        while shared < limit && previous[shared] == row.name[shared] { shared += 1 }
        bytes.append(varint: shared)
        bytes.append(varint: row.name.count - shared)
        bytes.append(varint: row.value.count << 1 | (row.isRemoval ? 1 : 0))
        bytes += row.name[shared...]
        bytes += row.value
    }

    /// Takes a block apart; nil when it is not one, or its names do not rise.
    static func rows(_ bytes: [UInt8]) -> [TableRow]? {
        var reader = TableBytes(bytes)
        var rows: [TableRow] = []
        var name: [UInt8] = []
        while !reader.isAtEnd {
            guard let shared = reader.varint(), let own = reader.varint(), let value = reader.varint(),
                shared <= name.count
            else { return nil }
            var next: [UInt8] = []
            next.reserveCapacity(shared + min(own, bytes.count))
            next += name[..<shared]
            guard reader.append(own, to: &next), let content = reader.take(value >> 1) else { return nil }
            let row = TableRow(name: next, isRemoval: value & 1 != 0, value: content)
            guard row.isValid, rows.isEmpty || name.lexicographicallyPrecedes(next) else { return nil }
            rows.append(row)
            name = next
        }
        return rows.isEmpty ? nil : rows
    }
}

/// What the indexes say of one block.
struct TableBlockEntry: Hashable {
    /// Name of the block's last row.
    var lastName: [UInt8]
    var rawSize: Int
    /// SHA-256 of the raw block.
    var hash: [UInt8]
    /// Where the stored block starts.
    var offset: UInt64
    var storedSize: Int
    var codec: UInt8
    /// CRC-32C of the stored block.
    var checksum: UInt32
}

extension [TableBlockEntry] {
    /// What belongs to the table's identity.
    var logicalIndex: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(varint: count)
        for block in self {
            bytes.append(varint: block.lastName.count)
            bytes += block.lastName
            bytes.append(varint: block.rawSize)
            bytes += block.hash
        }
        return bytes
    }

    /// How the blocks lie in this file.
    var physicalIndex: [UInt8] {
        var bytes: [UInt8] = []
        for block in self {
            bytes.append(varint: block.storedSize)
            bytes.append(block.codec)
            bytes.appendLittleEndian(block.checksum)
        }
        return bytes
    }

    /// Reads both indexes of a file whose blocks end at `end`; nil when they contradict each other.
    init?(logical: [UInt8], physical: [UInt8], end: UInt64) {
        var names = TableBytes(logical)
        var places = TableBytes(physical)
        guard let count = names.varint(), count <= logical.count else { return nil }
        self = []
        reserveCapacity(count)
        var offset = UInt64(TableFormat.headerSize)
        for _ in 0..<count {
            guard let nameSize = names.varint(), let name = names.take(nameSize), let rawSize = names.varint(),
                rawSize <= TableFormat.blockSizeMax, let hash = names.take(SHA256.byteCount),
                let storedSize = places.varint(), let codec: UInt8 = places.integer(),
                let checksum: UInt32 = places.integer()
            else { return nil }
            append(
                TableBlockEntry(
                    lastName: name, rawSize: rawSize, hash: hash, offset: offset, storedSize: storedSize, codec: codec,
                    checksum: checksum))
            offset += UInt64(storedSize)
        }
        guard names.isAtEnd, places.isAtEnd, offset == end else { return nil }
    }
}
