/// How rows are cut into tables. Part of a database's parameters: fixed by its first checkpoint, so that tables of
/// unchanged ranges keep their ids for ever.
package struct TableCut: Hashable, Sendable {
    /// A table ends nowhere before it has this many raw bytes.
    package var sizeMin: Int
    /// A table of this many raw bytes ends with its current key.
    package var sizeMax: Int
    /// A table ends behind a key whose hash has this many low bits zero.
    package var hashBits: Int

    package init(sizeMin: Int, sizeMax: Int, hashBits: Int) {
        self.sizeMin = sizeMin
        self.sizeMax = sizeMax
        self.hashBits = hashBits
    }

    /// Cuts for rows of that mean size: 1 MiB at least, about 4 MiB in the mean, 16 MiB at most.
    package init(meanRowSize: Int) {
        let rows = max(1, (3 << 20) / max(1, meanRowSize))
        self.init(
            sizeMin: 1 << 20, sizeMax: 16 << 20, hashBits: min(40, UInt64(rows).bitWidth - 1 - rows.leadingZeroBitCount)
        )
    }

    /// Whether a table of `rawSize` bytes ends behind the key whose rows start with `prefix`.
    func ends(behind prefix: ArraySlice<UInt8>, rawSize: Int) -> Bool {
        guard rawSize >= sizeMin else { return false }
        if rawSize >= sizeMax { return true }
        let key = Array(prefix)
        let hash = SHA256.digest(of: key.span.bytes)
        let low = hash.span.bytes.bigEndian(at: SHA256.byteCount - 8, as: UInt64.self)
        return low & (UInt64(1) << hashBits - 1) == 0
    }
}

/// Cuts rows into tables. Versions of one key are never split, nor are versions and system rows mixed.
package struct TableCutter {
    private let cut: TableCut
    private var writer = TableWriter()
    /// Of the last row added.
    private var prefix: ArraySlice<UInt8> = []
    private var wasVersion = true

    package init(_ cut: TableCut) { self.cut = cut }

    /// Whether the table so far ends before `row`. True when there is none.
    func ends(before row: TableRow) -> Bool {
        if writer.properties.rowCount == 0 { return true }
        if row.keyPrefix == prefix { return false }
        return wasVersion != row.isVersion || cut.ends(behind: prefix, rawSize: writer.rawSize)
    }

    /// Adds a row; gives the table that ended before it, if one did.
    package mutating func add(_ row: TableRow) throws(CheckpointError) -> Table? {
        let finished = ends(before: row) ? writer.finish() : nil
        prefix = row.keyPrefix
        wasVersion = row.isVersion
        try writer.add(row)
        return finished
    }

    /// The last table, if rows are left.
    package mutating func finish() -> Table? { writer.finish() }
}
