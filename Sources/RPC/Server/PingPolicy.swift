import NIOCore

/// Counts pings that come too early, as grpc-go's server does.
struct PingPolicy {
    /// A client that may not ping at all without calls gets its strikes for pings within this time. Two hours.
    private static let intervalWithoutCalls: Int64 = 7_200_000_000_000

    private var lastPing: NIODeadline?
    private var strikes = 0
    private var isForgiven = false

    /// Something other than a ping's answer was sent: the client may well want to know whether we live.
    @inline(__always)
    mutating func sentSomething() { isForgiven = true }

    /// Takes note of a ping; false if it was one too many.
    mutating func pinged(at now: NIODeadline, intervalMin: Int64, strikesMax: Int, mayPing: Bool) -> Bool {
        defer { lastPing = now }
        if isForgiven {
            isForgiven = false
            strikes = 0
            return true
        }
        let interval = mayPing ? intervalMin : Self.intervalWithoutCalls
        if let lastPing, (now - lastPing).nanoseconds < interval { strikes += 1 }
        return strikes <= strikesMax
    }
}
