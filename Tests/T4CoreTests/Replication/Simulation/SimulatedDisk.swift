import T4Protocols

@testable import T4Core

/// The disk of a node: its log, of which a crash takes what was not fsynced, and the engine.
struct SimulatedDisk {
    /// Fresh with each disk.
    var instance: String
    /// The log begins behind this entry.
    var base = LogPosition.zero
    var entries: [SimulatedEntry] = []
    /// Fsynced up to here.
    var synced: UInt64 = 0
    /// What the engine has, and a digest of it; which of it would survive a crash.
    var applied: UInt64 = 0
    var digest: UInt64 = 0
    var flushed: (index: UInt64, digest: UInt64) = (0, 0)

    var last: LogPosition { entries.last?.position ?? base }

    var termLog: TermLog {
        var log = TermLog(base: base)
        for entry in entries { log.append(term: entry.term) }
        return log
    }

    func entry(_ index: UInt64) -> SimulatedEntry? {
        guard index > base.index, index <= last.index else { return nil }
        return entries[Int(index - base.index) - 1]
    }

    func entries(from first: UInt64, through last: UInt64) -> [SimulatedEntry] {
        guard first <= last else { return [] }
        return Array(entries[Int(first - base.index) - 1..<Int(last - base.index)])
    }

    mutating func append(_ entry: SimulatedEntry) {
        precondition(entry.index == last.index + 1 && entry.term >= last.term, "a gap in the log")
        entries.append(entry)
    }

    mutating func cut(after index: UInt64) {
        guard index < last.index else { return }
        entries.removeLast(Int(last.index - index))
        synced = min(synced, index)
    }

    mutating func forget(through index: UInt64) {
        guard index > base.index, let entry = entry(index) else { return }
        entries.removeFirst(Int(index - base.index))
        base = entry.position
    }

    mutating func apply(through index: UInt64) {
        while applied < index, let entry = entry(applied + 1) {
            digest = combine(digest, entry)
            applied += 1
        }
    }

    mutating func restore(_ head: SimulatedHead) {
        base = head.covered
        entries = []
        synced = base.index
        applied = base.index
        digest = head.digest
        flushed = (applied, digest)
    }

    /// The power fails: some of what was not fsynced is lost, and of what the engine had not flushed all.
    mutating func crash(keeping kept: UInt64) {
        cut(after: max(synced, min(kept, last.index)))
        synced = last.index
        (applied, digest) = flushed
    }
}
