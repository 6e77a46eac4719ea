/// What clients did with a list to which elements are appended by swaps: each element is another one.
struct ListHistory: Sendable {
    enum Outcome: Hashable, Sendable { case done, refused, unknown }

    struct Append: Hashable, Sendable {
        var element: String
        var outcome: Outcome
        var begin: Duration
        var end: Duration
    }

    struct Read: Hashable, Sendable {
        var elements: [String]
        var begin: Duration
        var end: Duration
    }

    var appends: [Append] = []
    var reads: [Read] = []

    /// What is wrong, if the list is this one in the end.
    func faults(finally list: [String]) -> [String] {
        var faults: [String] = []
        let places = Dictionary(list.enumerated().map { ($1, $0 + 1) }) { first, _ in first }
        if places.count != list.count { faults.append("an element is there twice: \(list)") }
        let asked = Dictionary(uniqueKeysWithValues: appends.map { ($0.element, $0) })
        for element in list where asked[element].map({ $0.outcome == .refused }) ?? true {
            faults.append("\(element) was refused, or asked for by nobody")
        }
        var versions = VersionHistory()
        for append in appends {
            if let place = places[append.element] {
                versions.note(
                    Int64(place), isWrite: true, from: append.begin,
                    to: append.outcome == .done ? append.end : nil)
            } else if append.outcome == .done {
                faults.append("lost: \(append)")
            }
        }
        for read in reads {
            if Array(list.prefix(read.elements.count)) != read.elements {
                faults.append("no prefix of what came of it: \(read)")
            }
            versions.note(Int64(read.elements.count), isWrite: false, from: read.begin, to: read.end)
        }
        return faults + versions.faults
    }
}
