import T4Protocols

extension Inspection {
    /// What a span of revisions did to one key.
    public struct KeyChange: Sendable {
        /// How the key differs between the two ends.
        public enum Kind: String, Sendable {
            case created
            case deleted
            case updated
        }

        /// The key.
        public var key: [UInt8]
        /// How it differs; a key made and deleted in between counts as updated, absent on both sides.
        public var kind: Kind
        /// Its first change in the span.
        public var firstRevision: Revision
        /// Its last change in the span.
        public var lastRevision: Revision
        /// Number of its changes in the span.
        public var operations: Int
        /// Its value before the span; nil when it did not exist.
        public var before: [UInt8]?
        /// Its value at the end of the span; nil when it does not exist.
        public var after: [UInt8]?
    }

    /// Changes of the keys with a prefix, in key order.
    /// - Parameters:
    ///   - from: First revision of the span; raised to what compaction has left.
    ///   - to: Last revision of the span.
    /// - Returns: The changes, and the first revision that was looked at.
    public func diff(
        prefix: [UInt8], from: Revision, to: Revision
    ) throws -> (changes: [KeyChange], first: Revision) {
        let first = max(from, reader.meta.compacted.next)
        var found: [ByteKey: (first: Revision, last: Revision, operations: Int)] = [:]
        if first <= to {
            try reader.snapshot.scan(Keyspace.changes(from: first, through: to), order: .ascending) { name, row in
                let change = ChangeRow(row)
                let revision = Revision(name.bigEndian(at: 1, as: Int64.self))
                if change.key.starts(with: prefix) {
                    let key = ByteKey(change.key)
                    let seen = found[key]
                    found[key] = (seen?.first ?? revision, revision, (seen?.operations ?? 0) + 1)
                }
                return .next
            }
        }
        let before = Revision(first.rawValue - 1)
        let changes = try found.map { key, seen in
            let old = try reader.version(of: key.bytes, at: before)
            let new = try reader.version(of: key.bytes, at: to)
            let kind: KeyChange.Kind =
                old == nil && new != nil ? .created : old != nil && new == nil ? .deleted : .updated
            return KeyChange(
                key: key.bytes, kind: kind, firstRevision: seen.first, lastRevision: seen.last,
                operations: seen.operations, before: old?.value, after: new?.value)
        }
        return (changes.sorted { $0.key.lexicographicallyPrecedes($1.key) }, first)
    }
}
