package import T4Protocols

/// Names of the objects under a database's prefix. Code and `docs/formats.md` agree on them.
package enum StoreLayout {
    /// Identity of the database; written once.
    package static let database: ObjectKey = "database"
    /// Names the newest checkpoint; replaced only by compare-and-swap.
    package static let head: ObjectKey = "manifest/latest"
    /// The election record; replaced only by compare-and-swap.
    package static let election: ObjectKey = "leader-lock"
    /// What the names of all checkpoints start with.
    package static let checkpoints: ObjectKey = "checkpoint/"
    /// What the names of all tables start with.
    package static let tables: ObjectKey = "sst/"
    /// What the names of all log objects start with.
    package static let log: ObjectKey = "wal/"
    /// Where collections of garbage stand; replaced only by compare-and-swap.
    package static let collectionState: ObjectKey = "gc/state"
    /// What the names of all lists of condemned objects start with.
    package static let condemnedLists: ObjectKey = "gc/condemned/"

    /// `checkpoint/TERM/REVISION/manifest.json`; one without a revision of its own has its index in the name.
    /// - Parameters:
    ///   - index: Given when another checkpoint has that term and revision already.
    ///   - attempt: Above 1 when another one with that index exists, too; needs an index.
    package static func checkpoint(term: UInt64, revision: Revision, index: UInt64?, attempt: Int = 1) -> ObjectKey {
        var suffix = index.map { "-\(padded($0, 20))" } ?? ""
        if index != nil, attempt > 1 { suffix += "-\(attempt)" }
        return ObjectKey(
            "checkpoint/\(padded(term, 10))/\(padded(UInt64(revision.rawValue), 20))/manifest\(suffix).json")
    }

    /// The term and revision in the name of a checkpoint, which order as checkpoints do; nil for other names.
    package static func checkpoint(_ key: ObjectKey) -> (term: UInt64, revision: UInt64)? {
        let parts = key.rawValue.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "checkpoint", isNumber(parts[1], 10), isNumber(parts[2], 20),
            parts[3].hasPrefix("manifest"), parts[3].hasSuffix(".json"),
            let term = UInt64(parts[1]), let revision = UInt64(parts[2])
        else { return nil }
        let suffix = parts[3].dropFirst(8).dropLast(5).split(separator: "-", omittingEmptySubsequences: false)
        switch suffix.count {
        case 1: return suffix[0].isEmpty ? (term, revision) : nil
        case 2, 3:
            guard suffix[0].isEmpty, isNumber(suffix[1], 20) else { return nil }
            if suffix.count == 3 {
                guard let attempt = Int(suffix[2]), attempt > 1, String(attempt) == suffix[2] else { return nil }
            }
            return (term, revision)
        default: return nil
        }
    }

    /// Whether a key has the form of a checkpoint's.
    package static func isCheckpoint(_ key: ObjectKey) -> Bool { checkpoint(key) != nil }

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

    /// `gc/condemned/EPOCH`.
    package static func condemnedList(epoch: UInt64) -> ObjectKey { ObjectKey("gc/condemned/\(epoch)") }

    /// The epoch in the name of a list; nil for other names.
    package static func condemnedList(_ key: ObjectKey) -> UInt64? {
        guard key.rawValue.hasPrefix("gc/condemned/"), let epoch = UInt64(key.rawValue.dropFirst(13)),
            condemnedList(epoch: epoch) == key
        else { return nil }
        return epoch
    }

    /// `branches/ID/NONCE`, `backups/ID/NONCE`, `readers/ID/NONCE`. A name is used once: what removes a pin and comes late
    /// does not meet a later pin of that id.
    package static func pin(_ kind: PinKind, id: String, nonce: String) -> ObjectKey {
        ObjectKey("\(kind.rawValue)/\(id)/\(nonce)")
    }

    /// The id and nonce in the name of a pin; nil for other names. Pins were written without a nonce in the name once.
    package static func pin(_ key: ObjectKey, of kind: PinKind) -> (id: String, nonce: String?)? {
        let prefix = pins(kind).rawValue
        guard key.rawValue.hasPrefix(prefix) else { return nil }
        let parts = key.rawValue.dropFirst(prefix.count).split(separator: "/", omittingEmptySubsequences: false)
        guard let id = parts.first, Pin.isValid(id: String(id)), parts.count <= 2 else { return nil }
        guard parts.count == 2 else { return (String(id), nil) }
        return DatabaseID(hex: String(parts[1])).map { _ in (String(id), String(parts[1])) }
    }

    /// What the names of all pins of a kind start with.
    package static func pins(_ kind: PinKind) -> ObjectKey { ObjectKey("\(kind.rawValue)/") }

    private static func padded(_ number: UInt64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    private static func isNumber(_ text: some StringProtocol, _ width: Int) -> Bool {
        text.utf8.count == width && text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
}
