import T4Core

/// Brings keys into the order in which they were written, in bounded memory; see `RowSorter`.
struct ChangeSorter: ~Copyable {
    /// Where a change stands among all.
    struct Place: Hashable {
        var revision: Revision
        var sub: UInt32
    }

    private var sorter: RowSorter

    /// Sorts with temporary files in `directory`.
    init(directory: String, memoryBytes: Int = 16 << 20) {
        sorter = RowSorter(directory: directory, memoryBytes: memoryBytes)
    }

    /// Adds a key; no two may have the same place.
    mutating func add(_ key: [UInt8], at place: Place) throws {
        var name: [UInt8] = []
        name.reserveCapacity(12)
        name.append(bigEndian: place.revision.rawValue)
        name.append(bigEndian: place.sub)
        try sorter.add(name: name.span.bytes, value: key.span.bytes)
    }

    /// Visits all keys, those that were written first at the front.
    consuming func forEach(_ visit: (Place, [UInt8]) throws -> Void) throws {
        var rows = try sorter.sorted()
        while let row = try rows.next() {
            let name = row.name.span.bytes
            try visit(Place(revision: Revision(name.bigEndian(at: 0)), sub: name.bigEndian(at: 8)), row.value)
        }
    }
}
