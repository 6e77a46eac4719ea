/// Where to look for a write whose answer did not come: in the changes after a compaction, and, as the server may have
/// compacted past it before it was killed, in the state at the compacted revision.
struct WriteEvidence {
    /// Changes after the compacted revision, by key.
    private let changes: [String: [Change]]
    /// The keys at the compacted revision.
    private let base: [String: Change]
    private let compacted: Int64

    init(changes: [Change], base: [Change], compacted: Int64) {
        self.changes = Dictionary(grouping: changes, by: \.key)
        self.base = Dictionary(uniqueKeysWithValues: base.map { ($0.key, $0) })
        self.compacted = compacted
    }

    /// The revision at which an operation wrote a key; nil if it did not.
    ///
    /// The operation is its writer's last one, and nobody else writes the key. A deletion that was compacted leaves no
    /// revision: the compacted one stands for it.
    func revision(of operation: Writer.Operation, on key: String, after known: Writer.KeyState?) -> Int64? {
        let last = known?.revision ?? 0
        if let change = changes[key]?.last(where: { $0.value == operation.value && $0.revision > last }) {
            return change.revision
        }
        guard last <= compacted else { return nil }
        if let value = operation.value {
            return base[key].flatMap { $0.value == value && $0.revision > last ? $0.revision : nil }
        }
        return compacted > 0 && known?.value != nil && base[key] == nil ? compacted : nil
    }
}
