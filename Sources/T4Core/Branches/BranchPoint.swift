/// Where a branch leaves its parent: a checkpoint, or an entry of the log behind one.
public struct BranchPoint: Hashable, Sendable, CustomStringConvertible {
    /// The parent's prefix in the store.
    public var prefix: String
    /// Name of the parent's checkpoint below that prefix.
    public var checkpoint: String
    /// The last entry of the parent's log that is in; nil for the checkpoint's.
    public var index: UInt64?

    /// The point behind that entry, or at the checkpoint.
    public init(prefix: String, checkpoint: String, index: UInt64? = nil) {
        self.prefix = prefix
        self.checkpoint = checkpoint
        self.index = index
    }

    /// Reads what `description` gives: `CHECKPOINT`, or `CHECKPOINT@INDEX`. Nil where the index is no number.
    public init?(prefix: String, _ text: String) {
        guard let at = text.lastIndex(of: "@") else {
            self.init(prefix: prefix, checkpoint: text)
            return
        }
        guard let index = UInt64(text[text.index(after: at)...]) else { return nil }
        self.init(prefix: prefix, checkpoint: String(text[..<at]), index: index)
    }

    /// What a branch's node is given beside the prefix.
    public var description: String { index.map { "\(checkpoint)@\($0)" } ?? checkpoint }
}
