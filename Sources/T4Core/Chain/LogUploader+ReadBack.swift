import T4Protocols

extension LogUploader {
    /// The entries of consecutive batches; those that were not kept in memory are read in as few goes as possible, since
    /// each go looks for its beginning in the log.
    func entries(of batches: [Batch]) throws -> [LogEntry] {
        var entries: [LogEntry] = []
        var rest = batches[...]
        while let batch = rest.first {
            if let kept = batch.entries {
                entries += kept
                rest.removeFirst()
                continue
            }
            let gone = rest.prefix { $0.entries == nil }
            rest.removeFirst(gone.count)
            entries += try read(batch.first, through: gone.last?.last ?? batch.last)
        }
        return entries
    }

    private func read(_ first: UInt64, through last: LogPosition) throws -> [LogEntry] {
        let entries = try readBack(first...last.index)
        guard entries.first?.position.index == first, entries.last?.position == last,
            UInt64(entries.count) == last.index - first + 1
        else { throw Failure(description: "the local log does not hold entries \(first) to \(last.index)") }
        return entries
    }
}
