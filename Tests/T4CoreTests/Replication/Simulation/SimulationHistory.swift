@testable import T4Core

/// What clients and nodes saw, and what may never be otherwise.
struct SimulationHistory {
    /// What was committed, by index; whoever commits an index later has to agree.
    private(set) var committed: [UInt64: SimulatedEntry] = [:]
    private(set) var committedMax: UInt64 = 0
    /// The highest index whose write was acknowledged to a client.
    private(set) var acknowledged: UInt64 = 0
    private(set) var acknowledgedCount = 0
    private(set) var readCount = 0
    private(set) var takeOvers = 0
    private(set) var values: UInt64 = 0
    /// Who led each term.
    private var leaders: [UInt64: Int] = [:]

    mutating func newValue() -> UInt64 {
        values += 1
        return values
    }

    /// - Returns: What is wrong, if anything.
    mutating func commit(_ entry: SimulatedEntry, by node: Int) -> String? {
        if let other = committed[entry.index] {
            return other == entry ? nil : "node \(node) commits \(entry), where \(other) was committed"
        }
        committed[entry.index] = entry
        committedMax = max(committedMax, entry.index)
        return nil
    }

    /// The newest term whose leader acknowledged a write.
    private(set) var newestTerm: UInt64 = 0

    mutating func acknowledge(_ entry: SimulatedEntry, by term: UInt64) -> String? {
        guard committed[entry.index] == entry else {
            return "\(entry) is acknowledged, but \(String(describing: committed[entry.index])) is committed"
        }
        acknowledged = max(acknowledged, entry.index)
        acknowledgedCount += 1
        newestTerm = max(newestTerm, term)
        return nil
    }

    mutating func answerRead(_ index: UInt64, required: UInt64, by node: Int) -> String? {
        readCount += 1
        guard index >= required else {
            return "node \(node) answers a read at \(index), after \(required) was acknowledged"
        }
        guard index <= committedMax else { return "node \(node) answers a read at \(index), which is not committed" }
        return nil
    }

    mutating func lead(_ term: UInt64, by node: Int) -> String? {
        takeOvers += 1
        defer { leaders[term] = node }
        return leaders[term].map { "nodes \($0) and \(node) both lead term \(term)" }
    }
}
