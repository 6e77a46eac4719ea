package import T4Protocols

/// Which term each entry of a log has: all that the protocol needs to know of it.
///
/// Terms never decrease along a log, so a log of any length is a few runs.
package struct TermLog: Hashable, Sendable {
    /// The log is kept from the entry behind this one.
    package private(set) var base: LogPosition
    /// The last entry, `base` for a log without entries.
    package private(set) var last: LogPosition
    /// The first entry of each run of one term, behind `base`.
    private var runs: [LogPosition] = []

    /// A log that has no entry behind `base`.
    package init(base: LogPosition = .zero) {
        self.base = base
        self.last = base
    }

    /// Adds entries of one term.
    /// - Parameter term: Not below that of the last entry.
    package mutating func append(term: UInt64, count: UInt64 = 1) {
        precondition(term >= last.term, "terms never decrease along a log")
        guard count > 0 else { return }
        if term > last.term || runs.isEmpty { runs.append(LogPosition(term: term, index: last.index + 1)) }
        last = LogPosition(term: term, index: last.index + count)
    }

    /// Adds what another log has behind the end of this one, up to `index`.
    package mutating func append(from other: TermLog, through index: UInt64) {
        for run in other.runs(from: last.index + 1, through: index) { append(term: run.term, count: run.count) }
    }

    /// The term of an entry; nil for one before `base` or behind the end.
    package func term(at index: UInt64) -> UInt64? {
        if index == base.index { return base.term }
        guard index > base.index, index <= last.index else { return nil }
        return runs[run(of: index)].term
    }

    /// The first entry that has the same term as the one at `index`, and lies behind `base`.
    package func firstOfTerm(at index: UInt64) -> UInt64 { runs[run(of: index)].index }

    /// Whether there is an entry of that term.
    package func hasEntry(ofTerm term: UInt64) -> Bool { runs.contains { $0.term == term } }

    /// The terms of some entries, which are all there.
    package func runs(from first: UInt64, through last: UInt64) -> [TermRun] {
        guard first <= last else { return [] }
        precondition(first > base.index && last <= self.last.index, "entries that are not there")
        var result: [TermRun] = []
        var next = first
        var run = run(of: first)
        while next <= last {
            let end = run + 1 < runs.count ? min(last, runs[run + 1].index - 1) : last
            result.append(TermRun(term: runs[run].term, count: end - next + 1))
            next = end + 1
            run += 1
        }
        return result
    }

    /// Takes everything behind `index` away.
    package mutating func cut(after index: UInt64) {
        guard index < last.index else { return }
        precondition(index >= base.index, "the log does not reach so far back")
        while let run = runs.last, run.index > index { runs.removeLast() }
        last = runs.last.map { LogPosition(term: $0.term, index: index) } ?? base
    }

    /// Lets the log begin behind `index`.
    package mutating func forget(through index: UInt64) {
        guard index > base.index, let term = term(at: index) else { return }
        base = LogPosition(term: term, index: index)
        guard index < last.index else {
            runs = []
            return
        }
        let first = run(of: index + 1)
        runs.removeFirst(first)
        runs[0].index = max(runs[0].index, index + 1)
    }

    /// The last entry that both logs have, if they can tell: nil where they share no index whose term both know, or differ at
    /// the first one.
    package func agreement(with other: TermLog) -> UInt64? {
        let first = max(base.index, other.base.index)
        var index = min(last.index, other.last.index)
        while index >= first, let mine = term(at: index), let theirs = other.term(at: index) {
            if mine == theirs { return index }
            // Where terms differ, no entry of the higher one is in the other log at or before this index.
            let log = mine > theirs ? self : other
            guard index > log.base.index else { return nil }
            let start = log.firstOfTerm(at: index)
            guard start > first else { return nil }
            index = start - 1
        }
        return nil
    }

    /// The run in which an entry behind `base` lies.
    private func run(of index: UInt64) -> Int {
        var (low, high) = (0, runs.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if runs[middle].index <= index { low = middle } else { high = middle }
        }
        return low
    }
}

/// Entries of one term, one behind the other.
package struct TermRun: Hashable, Sendable {
    /// Their term.
    package var term: UInt64
    /// How many.
    package var count: UInt64

    /// Fills in a run.
    package init(term: UInt64, count: UInt64) {
        self.term = term
        self.count = count
    }
}
