import T4Protocols

extension Inspection {
    /// What a span of revisions did to one key.
    public struct KeyChange: Hashable, Sendable {
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
        /// Its first change in the span, of those that are left; `.none` when compaction has removed all.
        public var firstRevision: Revision
        /// Its last change in the span; `.none` as well.
        public var lastRevision: Revision
        /// Number of its changes in the span, of those that are left.
        public var operations: Int
        /// Its value before the span; nil when it did not exist.
        public var before: [UInt8]?
        /// Its value at the end of the span; nil when it does not exist.
        public var after: [UInt8]?

        /// - Parameter revisions: Of its changes in the span, in any order.
        init(key: [UInt8], revisions: [Revision], before: StoredRecord?, after: StoredRecord?) {
            self.key = key
            kind = before == nil && after != nil ? .created : before != nil && after == nil ? .deleted : .updated
            firstRevision = revisions.min() ?? .none
            lastRevision = revisions.max() ?? .none
            operations = revisions.count
            self.before = before?.value
            self.after = after?.value
        }
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
        var found: [ByteKey: [Revision]] = [:]
        if first <= to {
            try forEachChange(prefix, first...to) { key, revision in found[ByteKey(key), default: []].append(revision) }
        }
        let before = Revision(first.rawValue - 1)
        let changed = found.sorted { $0.key.bytes.lexicographicallyPrecedes($1.key.bytes) }
        let changes = try changed.map { key, revisions in
            KeyChange(
                key: key.bytes, revisions: revisions, before: try reader.version(of: key.bytes, at: before),
                after: try reader.version(of: key.bytes, at: to))
        }
        return (changes, first)
    }
}
