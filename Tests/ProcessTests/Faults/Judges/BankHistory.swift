/// What reads of all accounts at once showed, while amounts went from one to another.
struct BankHistory: Sendable {
    struct Read: Hashable, Sendable {
        var balances: [Int]
        var revision: Int64
    }

    var total: Int
    var accounts: Int
    var reads: [Read] = []

    /// What is wrong. Reads of one revision show the same.
    var faults: [String] {
        var faults: [String] = []
        var known: [Int64: [Int]] = [:]
        for read in reads {
            if read.balances.count != accounts || read.balances.reduce(0, +) != total
                || read.balances.contains(where: { $0 < 0 })
            {
                faults.append("not \(total) in \(accounts) accounts: \(read)")
            }
            if let other = known.updateValue(read.balances, forKey: read.revision), other != read.balances {
                faults.append("two states of revision \(read.revision): \(other) and \(read.balances)")
            }
        }
        return faults
    }
}
