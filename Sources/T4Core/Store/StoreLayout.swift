package import T4Protocols

/// Names of the objects under a database's prefix. Code and `docs/formats.md` agree on them.
package enum StoreLayout {
    /// Identity of the database; written once.
    package static let database: ObjectKey = "database"
    /// Names the newest checkpoint; replaced only by compare-and-swap.
    package static let head: ObjectKey = "manifest/latest"
    /// What the names of all checkpoints start with.
    package static let checkpoints: ObjectKey = "checkpoint/"
    /// What the names of all tables start with.
    package static let tables: ObjectKey = "sst/"
    /// What the names of all log objects start with.
    package static let log: ObjectKey = "wal/"

    /// `checkpoint/TERM/REVISION/manifest.json`; one without a revision of its own has its index in the name.
    /// - Parameter index: Given when another checkpoint has that term and revision already.
    package static func checkpoint(term: UInt64, revision: Revision, index: UInt64?) -> ObjectKey {
        let suffix = index.map { "-\(padded($0, 20))" } ?? ""
        return ObjectKey(
            "checkpoint/\(padded(term, 10))/\(padded(UInt64(revision.rawValue), 20))/manifest\(suffix).json")
    }

    /// Whether a key has the form of a checkpoint's.
    package static func isCheckpoint(_ key: ObjectKey) -> Bool {
        let parts = key.rawValue.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "checkpoint" && isNumber(parts[1], 10) && isNumber(parts[2], 20)
            && (parts[3] == "manifest.json"
                || (parts[3].hasPrefix("manifest-") && parts[3].hasSuffix(".json")
                    && isNumber(parts[3].dropFirst(9).dropLast(5), 20)))
    }

    /// `sst/SHA256-EPOCH`, the epoch that of the collection state when the checkpoint began.
    package static func table(_ id: TableID, epoch: UInt64) -> ObjectKey { ObjectKey("sst/\(id)-\(epoch)") }

    /// The id and epoch in the name of a table; nil for other names.
    package static func table(_ key: ObjectKey) -> (id: TableID, epoch: UInt64)? {
        guard key.rawValue.hasPrefix("sst/") else { return nil }
        let parts = key.rawValue.dropFirst(4).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let id = TableID(hex: parts[0]), let epoch = UInt64(parts[1]),
            table(id, epoch: epoch) == key
        else { return nil }
        return (id, epoch)
    }

    /// `wal/FIRSTINDEX`.
    package static func log(firstIndex: UInt64) -> ObjectKey { ObjectKey("wal/\(padded(firstIndex, 20))") }

    /// The first index in the name of a log object; nil for other names.
    package static func firstIndex(_ key: ObjectKey) -> UInt64? {
        guard key.rawValue.hasPrefix("wal/"), isNumber(key.rawValue.dropFirst(4), 20) else { return nil }
        return UInt64(key.rawValue.dropFirst(4))
    }

    private static func padded(_ number: UInt64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func isNumber(_ text: some StringProtocol, _ width: Int) -> Bool {
        text.utf8.count == width && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
}
