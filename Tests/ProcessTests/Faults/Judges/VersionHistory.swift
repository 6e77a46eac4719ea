/// Operations on something that only grows, and the version that each of them made or saw, in the order of time.
///
/// Where versions are known this is all of linearizability: nothing that began later saw less, or made what was there before.
struct VersionHistory: Sendable {
    struct Entry: Hashable, Sendable {
        /// Made by this operation, or seen by it.
        var version: Int64
        var isWrite: Bool
        var begin: Duration
        /// Nil where no answer came.
        var end: Duration?
        /// For whoever reads of a fault.
        var label = ""
    }

    var entries: [Entry] = []

    mutating func note(
        _ version: Int64, isWrite: Bool, from begin: Duration, to end: Duration?, _ label: String = ""
    ) {
        entries.append(Entry(version: version, isWrite: isWrite, begin: begin, end: end, label: label))
    }

    /// What is wrong.
    var faults: [String] {
        var faults: [String] = []
        let begins = entries.sorted { $0.begin < $1.begin }
        let ends = entries.filter { $0.end != nil }.sorted { $0.end! < $1.end! }
        var ended = ends[...]
        var newest: Entry?
        for entry in begins {
            while let first = ended.first, let end = first.end, end < entry.begin {
                if newest.map({ $0.version < first.version }) ?? true { newest = first }
                ended.removeFirst()
            }
            guard let newest else { continue }
            let isRight = entry.isWrite ? entry.version > newest.version : entry.version >= newest.version
            if !isRight { faults.append("\(entry) came after \(newest)") }
        }
        let made = Dictionary(grouping: entries.filter(\.isWrite), by: \.version).filter { $0.value.count > 1 }
        faults += made.values.map { "made twice: \($0)" }
        return faults
    }
}
