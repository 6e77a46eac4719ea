import T4Protocols

/// The last entries of a log in memory, without a gap.
struct RecentEntries {
    /// Bytes counted for an entry beside its body: about what it takes in memory.
    static let overhead = 96

    private var entries: [LogEntry] = []
    /// What lies before is given up already.
    private var head = 0
    private var size = 0
    private let sizeMax: Int

    /// - Parameter sizeMax: Bytes; the oldest entries go where there are more.
    init(sizeMax: Int) { self.sizeMax = sizeMax }

    /// The index of the oldest entry; nil if there is none.
    var first: UInt64? { head < entries.count ? entries[head].position.index : nil }

    /// Adds entries that follow the last one.
    mutating func append(_ new: [LogEntry]) {
        guard sizeMax > 0 else { return }
        for entry in new { size += Self.size(entry) }
        entries += new
        while size > sizeMax {
            size -= Self.size(entries[head])
            // The array still holds the place for a while, not what it takes.
            entries[head].body = []
            head += 1
        }
        guard head > entries.count / 2 else { return }
        entries.removeFirst(head)
        head = 0
    }

    /// Takes everything behind `index` away.
    mutating func cut(after index: UInt64) {
        while head < entries.count, let last = entries.last, last.position.index > index {
            size -= Self.size(last)
            entries.removeLast()
        }
    }

    /// Entries from one that is there, see `LogEntries.entries`.
    func entries(from index: UInt64, through last: UInt64, bytes: Int) -> [LogEntry] {
        guard let first, index >= first, index <= last else { return [] }
        let start = head + Int(index - first)
        var end = start
        var left = bytes
        while end < entries.count, entries[end].position.index <= last {
            left -= LogFormat.frameSize(entries[end])
            if left < 0, end > start { break }
            end += 1
        }
        return Array(entries[min(start, entries.count)..<end])
    }

    private static func size(_ entry: LogEntry) -> Int { entry.body.count + overhead }
}
