import T4Protocols

@testable import T4Core

extension FuzzTarget {
    /// Tables. After an even first byte comes a table, after an odd one a block, which a checksum guards otherwise.
    static let tables = FuzzTarget(name: "tables") { input in
        guard let choice = input.first else { return }
        let bytes = Array(input.dropFirst())
        if choice & 1 == 1 {
            guard let rows = TableBlock.rows(bytes) else { return }
            var again: [UInt8] = []
            var previous: [UInt8] = []
            for row in rows {
                TableBlock.append(row, after: previous, to: &again)
                previous = row.name
            }
            try FuzzFailure.unless(TableBlock.rows(again) == rows, "rows change when they are written again")
            return
        }
        do {
            let reader = try TableReader(name: "sst/fuzz", bytes: bytes, id: nil)
            var rows = reader.rows()
            while try rows.next() != nil {}
        } catch is CheckpointError {}
    }

    /// The small objects in JSON. The first byte chooses the kind.
    static let manifests = FuzzTarget(name: "manifests") { input in
        guard let choice = input.first else { return }
        let bytes = Array(input.dropFirst())
        let key = ObjectKey("manifest/fuzz")
        do {
            switch choice % 5 {
            case 0: try unchanged(try ManifestFile.decode(bytes, key: key).encoded(), bytes)
            case 1: try unchanged(try Head.decode(bytes, key: key).encoded(), bytes)
            case 2: try unchanged(try CollectionState.decode(bytes, key: key).encoded(), bytes)
            case 3: try unchanged(try CondemnedList.decode(bytes, key: key).encoded(), bytes)
            default: try unchanged(try Pin.decode(bytes, key: key).encoded(), bytes)
            }
        } catch is CheckpointError {}
    }

    private static func unchanged(_ written: [UInt8], _ read: [UInt8]) throws {
        try FuzzFailure.unless(written == read, "an object changes when it is written again")
    }
}
