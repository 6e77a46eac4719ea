import NIOCore

/// How often something may happen: so often in one go, and what is used up comes back over time.
struct Allowance {
    private let burst: Double
    private let perNanosecond: Double
    private var left: Double
    private var latest: NIODeadline?

    init(burst: Int, perSecond: Int) {
        self.burst = Double(burst)
        perNanosecond = Double(perSecond) / 1e9
        left = Double(burst)
    }

    /// False if it is one too many.
    mutating func take(at now: NIODeadline) -> Bool {
        if let latest { left = min(burst, left + Double((now - latest).nanoseconds) * perNanosecond) }
        latest = now
        guard left >= 1 else { return false }
        left -= 1
        return true
    }
}
