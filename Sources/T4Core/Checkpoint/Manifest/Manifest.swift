package import T4Protocols

/// What a checkpoint is: the state of a database after one log entry, as runs of tables.
///
/// A function of the history and the schedule of checkpoints alone. Who wrote it, when and where tables lie stands in
/// `ManifestFile.Envelope`, so that the same history gives the same `id` on every engine and machine.
package struct Manifest: Hashable, Sendable, Codable {
    /// The highest format that this version knows.
    package static let latestFormat = 2

    /// Format version: 2 where there are rows about authentication, so that an earlier version, which would serve such a
    /// state to everybody, refuses it; 1 without, which every version reads.
    package private(set) var format: Int
    /// The database, 32 hexadecimal digits.
    package var database: String
    /// Where the database came from; nil unless it began as a part of another one.
    package var lineage: Lineage?
    /// The last entry whose changes are in: everything up to it, nothing behind.
    package var term: UInt64
    package var index: UInt64
    /// Where the state stands after that entry.
    package var revision: Int64
    package var compacted: Int64
    /// Keys that exist.
    package var keys: UInt64
    /// `StateDigest` of the state.
    package var digest: Digest
    package var parameters: Parameters
    /// Tables of the base run, in key order and disjoint.
    package var base: [TableEntry]
    /// Runs on top of the base, the newest first.
    package var deltas: [Delta]

    /// The parent of a database that was forked or cut from it.
    package struct Lineage: Hashable, Sendable, Codable {
        package var database: String
        package var term: UInt64
        package var index: UInt64
        package var revision: Int64

        package init(database: String, term: UInt64, index: UInt64, revision: Int64) {
            self.database = database
            self.term = term
            self.index = index
            self.revision = revision
        }
    }

    /// A digest and how it was made.
    package struct Digest: Hashable, Sendable, Codable {
        /// `sum-sha256`.
        package var algorithm: String
        /// 64 hexadecimal digits.
        package var value: String

        package init(algorithm: String, value: String) {
            self.algorithm = algorithm
            self.value = value
        }
    }

    /// Fixed by the first checkpoint of a database.
    package struct Parameters: Hashable, Sendable, Codable {
        package var cutSizeMin: Int
        package var cutSizeMax: Int
        package var cutHashBits: Int

        package init(_ cut: TableCut) {
            (cutSizeMin, cutSizeMax, cutHashBits) = (cut.sizeMin, cut.sizeMax, cut.hashBits)
        }

        package var cut: TableCut { TableCut(sizeMin: cutSizeMin, sizeMax: cutSizeMax, hashBits: cutHashBits) }
    }

    /// Rows that came with the entries behind `from` up to `to`.
    package struct Delta: Hashable, Sendable, Codable {
        package var from: UInt64
        package var to: UInt64
        package var tables: [TableEntry]

        package init(from: UInt64, to: UInt64, tables: [TableEntry]) {
            self.from = from
            self.to = to
            self.tables = tables
        }
    }

    /// A table of a run.
    package struct TableEntry: Hashable, Sendable, Codable {
        /// `TableID`, 64 hexadecimal digits.
        package var id: String
        /// Names of its first and last row, hexadecimal.
        package var first: String
        package var last: String
        package var rows: UInt64
        package var tombstones: UInt64
        package var rawSize: UInt64
        /// Of a base table: it holds everything of its range up to this index. Deltas that end there or before add
        /// nothing to it.
        package var upTo: UInt64?

        package init(_ id: TableID, _ properties: TableProperties, upTo: UInt64?) {
            self.id = id.description
            first = properties.firstName.hex
            last = properties.lastName.hex
            rows = properties.rowCount
            tombstones = properties.tombstoneCount
            rawSize = properties.rawSize
            self.upTo = upTo
        }
    }

    package init(
        database: DatabaseID, lineage: Lineage?, position: LogPosition, meta: MetaRow, cut: TableCut,
        base: [TableEntry], deltas: [Delta]
    ) {
        format = meta.hasAuth ? Manifest.latestFormat : 1
        self.database = database.description
        self.lineage = lineage
        (term, index) = (position.term, position.index)
        (revision, compacted) = (meta.revision.rawValue, meta.compacted.rawValue)
        keys = meta.keys
        digest = Digest(algorithm: StateDigest.algorithm, value: meta.digest.bytes.hex)
        parameters = Parameters(cut)
        self.base = base
        self.deltas = deltas
    }

    /// The last entry whose changes are in.
    package var position: LogPosition { LogPosition(term: term, index: index) }

    /// Where the state stands; nil when the digest is not one this build can make.
    package var meta: MetaRow? {
        guard digest.algorithm == StateDigest.algorithm, let sum = [UInt8](hex: digest.value),
            sum.count == StateDigest.byteCount
        else { return nil }
        return MetaRow(
            revision: Revision(revision), compacted: Revision(compacted), keys: keys,
            digest: StateDigest(sum.span.bytes), hasAuth: format >= Manifest.latestFormat)
    }

    /// All tables, the newest run first.
    package var tables: [TableEntry] { deltas.flatMap(\.tables) + base }
}
